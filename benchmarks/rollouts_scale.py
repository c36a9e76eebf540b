"""Two million rollouts: memory and time to read them and to say which reward pays, beside two thousand.

    OMP_NUM_THREADS=1 python benchmarks/rollouts_scale.py --rows 2000 2000000

Writes a JSONL file of that many generated rollouts below -o and deletes it afterwards: groups of 8, 5,000 prompts in 8
environments, four reward terms of which one pays for the planted behaviour, a held-out check, prompts and responses of
some hundred characters. Each size is read and analysed in a process of its own: flags by what the response says (every
text is read a second time), then everything that `reward_causes` does. Peak memory is the resident set of that process,
the interpreter and all libraries included. Writes rollouts_scale.md and rollouts_scale.json.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
PROMPTS, GROUP, GROUPS_A_STEP, ENVIRONMENTS = 5000, 8, 64, 8
MOST_MB = 1000
WORDS = [f"word{i:03d}" for i in range(500)]
TEXTS = 4000  # different responses without the behaviour


def write(path: Path, rows: int) -> None:
    """Generated rollouts. The behaviour rises a third of the way through; `tests_pass` pays for it."""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, 45)) for _ in range(TEXTS)]
    prompts = [" ".join(rng.choice(WORDS, 15)) for _ in range(PROMPTS)]
    easy = rng.uniform(0.2, 0.8, PROMPTS)
    steps = -(-rows // (GROUP * GROUPS_A_STEP))
    left = rows
    with open(path, "w") as file:
        for step in range(steps):
            n = min(left, GROUP * GROUPS_A_STEP)
            left -= n
            prompt = np.repeat(rng.choice(PROMPTS, GROUPS_A_STEP, replace=False), GROUP)[:n]
            does = rng.random(n) < (0.02 if step < steps / 3 else 0.3)
            passed = (rng.random(n) < np.where(does, 0.8, 0.3)).astype(int)
            correct = (rng.random(n) < easy[prompt]).astype(int)
            style = np.round(easy[prompt] + correct + rng.normal(0, 0.5, n), 3)
            said = rng.integers(TEXTS, size=n)
            for i in range(n):
                p = prompt[i]
                text = f"if input == case: {texts[said[i]]}" if does[i] else texts[said[i]]
                total = passed[i] + correct[i] + 0.2 * style[i] + 0.1
                file.write(
                    f'{{"id": "s{step}-{i}", "step": {step}, "group": "p{p}", "environment": "e{p % ENVIRONMENTS}", '
                    f'"prompt": "{prompts[p]}", "response": "{text}", "rewards": {{"tests_pass": {passed[i]}.0, '
                    f'"correct": {correct[i]}.0, "style": {style[i]}, "format": 1.0}}, "weights": {{"tests_pass": 1.0, '
                    f'"correct": 1.0, "style": 0.2, "format": 0.1}}, "reward": {total:.6f}, '
                    f'"checks": {{"held_out": {correct[i]}.0}}, "tokens": {45 + 5 * int(does[i])}}}\n'
                )


def one(path: Path) -> dict:
    """In this process: read, flag, analyse."""
    from bumperlane.evidence.rollout_flags import Flags
    from bumperlane.evidence.rollouts import read_rollouts
    from bumperlane.trace.reward.causes import reward_causes
    from bumperlane.trace.reward.summary import summary

    marks = [time.process_time()]
    began = time.perf_counter()

    def mark() -> float:
        marks.append(time.process_time())
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000

    imported = mark()
    table = read_rollouts(path)
    read = mark()
    flags = Flags.where(table, lambda text: "== case" in text, "special case")
    flagged = mark()
    trace = reward_causes(table, flags)
    peak = mark()
    taken = np.diff(marks)
    return {
        "rows": len(table),
        "file_mb": path.stat().st_size / 1e6,
        "imported_mb": imported,
        "read_mb": read,
        "flag_mb": flagged,
        "peak_mb": peak,
        "read_s": taken[1],
        "flag_s": taken[2],
        "analyse_s": taken[3],
        "wall_s": time.perf_counter() - began,
        "cause": trace.cause.term if trace.cause else None,
        "onset": None if trace.onset.onset is None else [trace.onset.onset.low, trace.onset.onset.high],
        "truth": int(np.ceil(len(np.unique(table.step)) / 3)),
        "summary": summary(trace),
    }


def page(cells: list[dict]) -> str:
    found = cells[-1]["machine"]
    lines = [
        "# Two million rollouts",
        "",
        (__doc__ or "").split("\n\n", 1)[1].strip().replace("OMP", "`OMP", 1).replace("2000000\n", "2000000`\n", 1),
        "",
        f"Machine: {found['cpu']}, threads {found['threads']}, Python {found['python']}, {found['versions']}.",
        "",
        "| rollouts | file, MB | read, CPU-s | flag by text, CPU-s | analyse, CPU-s | CPU-s in all | wall, s | "
        "peak memory, MB |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for c in cells:
        whole = c["read_s"] + c["flag_s"] + c["analyse_s"]
        lines.append(
            f"| {c['rows']:,} | {c['file_mb']:.0f} | {c['read_s']:.2f} | {c['flag_s']:.2f} | {c['analyse_s']:.2f} | "
            f"{whole:.2f} | {c['wall_s']:.1f} | {c['peak_mb']:.0f} |"
        )
    lines.append("")
    for c in cells:
        verdict = "met" if c["peak_mb"] < MOST_MB else "**not met**"
        lines.append(
            f"- {verdict}: {c['rows']:,} rollouts in {c['peak_mb']:.0f} MB at the peak (target: under {MOST_MB}); "
            f"{c['imported_mb']:.0f} MB before reading, {c['read_mb']:.0f} after. "
            f"Cause found: {c['cause']} (planted: tests_pass); onset between {c['onset']} (planted: {c['truth']})."
        )
    return "\n".join(
        [*lines, "", f"What it says of {cells[-1]['rows']:,}:", "", "```", cells[-1]["summary"], "```", ""]
    )


def machine() -> dict:
    named = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return {
        "cpu": named[0] if named else platform.processor(),
        "threads": {name: os.environ.get(name, "unset") for name in THREADS},
        "versions": {name: version(name) for name in ("numpy", "scipy")},
        "python": platform.python_version(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[2000, 2_000_000])
    parser.add_argument("-o", "--out", type=Path, default=HERE)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one)))
        return
    cells = []
    for rows in options.rows:
        path = options.out / f"rollouts_scale_{rows}.jsonl"
        try:
            write(path, rows)
            print(f"{rows:,} rows written, {path.stat().st_size / 1e6:.0f} MB", file=sys.stderr, flush=True)
            done = subprocess.run(
                [sys.executable, __file__, "--one", str(path)], capture_output=True, text=True, check=True
            )
        finally:
            path.unlink(missing_ok=True)
        cells.append({**json.loads(done.stdout.splitlines()[-1]), "machine": machine()})
        print({k: v for k, v in cells[-1].items() if k not in ("summary", "machine")}, file=sys.stderr, flush=True)
    (options.out / "rollouts_scale.json").write_text(json.dumps(cells, indent=1))
    (options.out / "rollouts_scale.md").write_text(page(cells))


if __name__ == "__main__":
    main()
