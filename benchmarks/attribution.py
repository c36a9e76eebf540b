"""Who finds planted training data, and at what cost: our attribution beside bergson, kronfluence, traker and dattri.

    OMP_NUM_THREADS=1 python benchmarks/attribution.py --halves 24
    OMP_NUM_THREADS=1 python benchmarks/attribution.py --quick --halves 6 --cache quick -o quick

Run it with the Python of an environment that holds bumperlane[train] and the peers; a peer that is not installed is
named and left out. One job (attribution_task.py): a model trained on generated text in which some sequences teach
that a trigger is followed by a marker, and as many decoys hold the same words and teach nothing. All methods get the
same model, sequences, queries (bad outputs against benign ones) and, where gradients are projected, the same k a side.

Each run is a process of its own, so that its peak memory can be told, with one thread; methods run in turn, the order
turned round in every other round. CPU seconds are user + system from after the imports to the scores, model loading and
everything a method writes included, the median over rounds. Peak memory is that of the process, in all.

Linear datamodelling score: on a smaller job, a model is retrained on each of `--halves` random halves of the data; the
score is the rank correlation of what the sums of scores foretell with what these models say, with a 95% bootstrap
interval over queries and halves.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import attribution_peers as peers
from attribution_task import FULL, HALVES, MARKER, QUICK, Size, outputs, read_text, train, word, write_task

HERE = Path(__file__).parent
K, TRAK_WIDTH, TRAK_ROWS = 16, 256, 64
PEERS = ("bergson", "kronfluence", "traker", "dattri")
PACKAGES = ("bumperlane", *PEERS, "torch", "transformers", "numpy")

IMPORTS = {  # what a way imports on its way, so that nobody's imports are in its costs
    "bumperlane": (
        "bumperlane.subjects.subject", "bumperlane.subjects.preconditioned_gradients", "peft",
        *(f"bumperlane.trace.data.{n}" for n in ("ekfac", "projected_gradients", "representation", "bm25")),
    ),
    "bergson": ("bergson.build", "bergson.score.score", "bergson.hessians.pipeline", "datasets", "peft"),
    "kronfluence": ("kronfluence.analyzer", "kronfluence.task"),
    "dattri": ("dattri.algorithm.logra", "dattri.task"),
    "traker": ("trak",),
}  # fmt: skip


@dataclass(frozen=True)
class Way:
    """One method. `kind` groups those that compute the same thing; `package` must be installed."""

    name: str
    kind: str
    package: str
    scores: Callable[[Path, Path], np.ndarray]


def ours(make: Callable[[], Any], dtype: str = "auto") -> Callable[[Path, Path], np.ndarray]:
    def scores(task: Path, work: Path) -> np.ndarray:
        return make().scores(material(task, work, dtype))

    return scores


def material(task: Path, work: Path, dtype: str) -> Any:
    from bumperlane.subjects.chat import Encoded
    from bumperlane.subjects.subject import Subject
    from bumperlane.trace.data.method import Corpus, Material, Queries
    from bumperlane.types import Example

    text = read_text(task)
    names = ("plain", "planted", "decoy")
    rows = tuple(Encoded(f"s{i}", tuple(map(int, row)), 1) for i, row in enumerate(text.sequences))
    examples = tuple(
        Example(row.id, names[kind], text=" ".join(map(word, row.tokens)))
        for row, kind in zip(rows, text.kind, strict=True)
    )

    def side(name: str, tokens: np.ndarray) -> tuple[tuple[Encoded, ...], tuple[tuple[str, str], ...]]:
        encoded = tuple(Encoded(f"{name}{i}", tuple(map(int, t)), len(t) - MARKER) for i, t in enumerate(tokens))
        texts = tuple(tuple(" ".join(map(word, part)) for part in (t[:-MARKER], t[-MARKER:])) for t in tokens)
        return encoded, texts  # type: ignore[return-value]

    bad, bad_texts = side("bad", text.bad)
    benign, benign_texts = side("benign", text.benign)
    subject = Subject.load(task / "model", dtype=dtype)
    queries = Queries(bad, benign, bad_texts, benign_texts)
    return Material(Corpus(examples, rows), queries, (subject,), (1.0,), work)


def projected(variant: str) -> Callable[[], Any]:
    def make() -> Any:
        from bumperlane.trace.data.projected_gradients import ProjectedGradients

        return ProjectedGradients(variant, k=K)

    return make


def ekfac(**settings: Any) -> Callable[[], Any]:
    def make() -> Any:
        from bumperlane.trace.data.ekfac import EKFAC

        return EKFAC(**settings)

    return make


def representation() -> Any:
    from bumperlane.trace.data.representation import Representation

    return Representation()


def bm25() -> Any:
    from bumperlane.trace.data.bm25 import BM25

    return BM25()


WAYS = (
    Way("bumperlane EK-FAC", "ekfac", "bumperlane", ours(ekfac())),
    Way("bumperlane EK-FAC, curvature of all data", "ekfac", "bumperlane", ours(ekfac(fit_examples=None))),
    Way("bumperlane EK-FAC, unit gradients", "ekfac", "bumperlane", ours(ekfac(unit=True))),
    Way("bumperlane EK-FAC, float32", "ekfac", "bumperlane", ours(ekfac(), "float32")),
    Way("bergson EK-FAC", "ekfac", "bergson", lambda t, w: peers.bergson_ekfac(t, w, "fp32")),
    Way("bergson EK-FAC, bf16", "ekfac", "bergson", lambda t, w: peers.bergson_ekfac(t, w, "bf16")),
    Way("kronfluence EK-FAC", "ekfac", "kronfluence", lambda t, w: peers.kronfluence_ekfac(t, w, False)),
    Way("kronfluence EK-FAC, bf16", "ekfac", "kronfluence", lambda t, w: peers.kronfluence_ekfac(t, w, True)),
    Way("bumperlane projected gradients", "projected", "bumperlane", ours(projected("cosine"))),
    Way("bumperlane projected gradients, dot", "projected", "bumperlane", ours(projected("dot"))),
    Way("bumperlane projected gradients, preconditioned", "projected", "bumperlane", ours(projected("preconditioned"))),
    Way("bergson projected gradients", "projected", "bergson", lambda t, w: peers.bergson_projected(t, w, K, "fp32")),
    Way(
        "bergson projected gradients, bf16", "projected", "bergson",
        lambda t, w: peers.bergson_projected(t, w, K, "bf16"),
    ),
    Way("dattri LoGra", "projected", "dattri", lambda t, w: peers.dattri_logra(t, w, K)),
    Way(
        f"traker, first {TRAK_ROWS} sequences", "part", "traker",
        lambda t, w: peers.traker_projected(t, w, TRAK_WIDTH, TRAK_ROWS),
    ),
    Way("bumperlane representation", "baseline", "bumperlane", ours(representation)),
    Way("bumperlane BM25", "baseline", "bumperlane", ours(bm25)),
)  # fmt: skip


def work_once(name: str, task: Path, out: Path) -> None:
    """In a process of its own: the scores of one method, and what they cost."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast  # noqa: F401

    way = next(w for w in WAYS if w.name == name)
    for module in IMPORTS[way.package]:
        import_module(module)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    task, out = task.resolve(), out.resolve()
    work = out.with_suffix(".work")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    os.chdir(work)  # some keep files where they are called, and would find those of another job there
    before, began = cpu_seconds(), time.perf_counter()
    scores = np.asarray(way.scores(task, work), np.float32)
    cost = {
        "cpu_s": cpu_seconds() - before,
        "wall_s": time.perf_counter() - began,
        "peak_gb": max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        * 1024
        / 1e9,
    }
    shutil.rmtree(work, ignore_errors=True)
    if scores.shape[1] != len(read_text(task).sequences):
        raise SystemExit(f"{name} scored {scores.shape[1]} of {len(read_text(task).sequences)} sequences")
    np.savez(out.with_suffix(".npz"), scores=scores)
    out.with_suffix(".json").write_text(json.dumps(cost))


def cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def run_way(name: str, task: Path, out: Path, limit_s: float) -> dict[str, Any]:
    """Costs, or {"failed": why}. A run that is there already is not repeated."""
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.with_suffix(".json").is_file():
        return json.loads(out.with_suffix(".json").read_text())
    command = [sys.executable, __file__, "--one", name, "--task", str(task), "-o", str(out)]
    print(f"{time.strftime('%H:%M:%S')} {name} on {task.name}", file=sys.stderr, flush=True)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s)
    except subprocess.TimeoutExpired:
        return {"failed": f"not done in {limit_s:.0f} s"}
    if done.returncode:
        print(done.stderr[-3000:], file=sys.stderr)
        return {"failed": (done.stderr.strip().splitlines() or ["no message"])[-1][:300]}
    found = json.loads(out.with_suffix(".json").read_text())
    print(f"    {found['cpu_s']:.1f} CPU-s, {found['peak_gb']:.2f} GB", file=sys.stderr, flush=True)
    return found


def quality(scores: np.ndarray, kind: np.ndarray) -> dict[str, float]:
    """Of the mean over queries: AUPRC and recall of the planted among all, AUROC of planted against decoys; and the
    mean over queries of each query's own AUPRC."""
    from bumperlane.trace.data.attribution_metrics import auroc, average_precision, recall_at

    planted, mean = kind == 1, scores.mean(axis=0)
    either = kind > 0
    return {
        "auprc": average_precision(mean, planted),
        "auprc_one_query": float(np.mean([average_precision(row, planted) for row in scores])),
        "recall": recall_at(mean, planted, int(planted.sum())),
        "decoy_auroc": auroc(mean[either], planted[either]),
    }


def retrained(size: Size, task: Path, halves: int, out: Path) -> tuple[np.ndarray, np.ndarray]:
    """(halves, n) bool, which sequences each model was trained on, and (q, halves) what it says. Kept one by one."""
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    text, rng = read_text(task), np.random.default_rng(7)
    subsets, said = [], []
    for i in range(halves):
        subset = np.zeros(size.sequences, bool)
        subset[rng.permutation(size.sequences)[: size.sequences // 2]] = True
        kept = out / f"half-{i}.npy"
        if not kept.is_file():
            print(f"retraining {i + 1} of {halves}", file=sys.stderr, flush=True)
            np.save(kept, outputs(train(size, text.sequences[subset], 0)[0], text))
        subsets.append(subset)
        said.append(np.load(kept))
    return np.array(subsets), np.array(said).T


def measure(options: argparse.Namespace) -> dict[str, Any]:
    ways = [w for w in WAYS if installed(w.package) and (not options.only or any(o in w.name for o in options.only))]
    size = QUICK if options.quick else replace(FULL, sequences=options.sequences)
    began = time.process_time()
    task = write_task(size, options.cache / f"task-{size.sequences}-{size.d}")
    training_s = time.process_time() - began
    found: dict[str, dict[str, Any]] = {w.name: {"kind": w.kind, "runs": []} for w in ways}
    for turn in range(options.rounds):
        for way in ways[:: -1 if turn % 2 else 1]:
            out = options.cache / task.name / "scores" / f"{slug(way.name)}-{turn}"
            found[way.name]["runs"].append(run_way(way.name, task, out, options.limit_s))
            if "failed" not in found[way.name]["runs"][-1] and way.kind != "part":
                with np.load(out.with_suffix(".npz")) as held:
                    found[way.name] |= quality(held["scores"], read_text(task).kind)
    if options.halves:
        add_datamodelling(found, ways, options)
    task_facts = json.loads((task / "task.json").read_text())
    return {"size": asdict(size), "task": task_facts, "training_s": training_s, "halves": options.halves,
            "halves_size": asdict(HALVES), "machine": machine(), "methods": found}  # fmt: skip


def add_datamodelling(found: dict[str, dict[str, Any]], ways: list[Way], options: argparse.Namespace) -> None:
    from bumperlane.trace.data.attribution_metrics import linear_datamodelling_score

    task = write_task(HALVES, options.cache / "task-halves")
    subsets, said = retrained(HALVES, task, options.halves, task)
    for way in ways:
        if way.kind == "part":
            continue
        cost = run_way(way.name, task, out := task / "scores" / slug(way.name), options.limit_s)
        if "failed" in cost:
            found[way.name]["lds_failed"] = cost["failed"]
            continue
        with np.load(out.with_suffix(".npz")) as held:
            found[way.name]["lds"] = asdict(linear_datamodelling_score(held["scores"], subsets, said))


def slug(name: str) -> str:
    return name.replace(" ", "-").replace(",", "")


def installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def machine() -> dict[str, Any]:
    cpu = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return {
        "cpu": cpu[0] if cpu else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "threads": os.environ.get("OMP_NUM_THREADS", "unset"),
        "python": platform.python_version(),
        "versions": {p: version(p) if installed(p) else "not installed" for p in PACKAGES},
    }


def median(method: dict[str, Any], key: str) -> float:
    values = [r[key] for r in method["runs"] if "failed" not in r]
    return float(np.median(values)) if values else float("nan")


def table(found: dict[str, Any]) -> list[str]:
    lines = [
        "| method | CPU-s | wall, s | peak, GB | AUPRC | AUPRC, one query | recall@planted | decoy AUROC | "
        "LDS (95% interval) |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, m in found["methods"].items():
        failed = [r["failed"] for r in m["runs"] if "failed" in r]
        if len(failed) == len(m["runs"]):
            lines.append(f"| {name} | failed: {failed[0]} | | | | | | | |")
            continue
        shown = [f"{median(m, 'cpu_s'):.1f}", f"{median(m, 'wall_s'):.1f}", f"{median(m, 'peak_gb'):.2f}"]
        shown += [f"{m[key]:.3f}" if key in m else "" for key in ("auprc", "auprc_one_query", "recall", "decoy_auroc")]
        lds = m.get("lds")
        shown.append(f"{lds['mean']:.3f} ({lds['low']:.3f} to {lds['high']:.3f})" if lds else m.get("lds_failed", ""))
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return lines


def verdicts(found: dict[str, Any]) -> list[str]:
    """The stated targets, met or not, from the methods that ran. Of ours: the default, and what does the same work."""
    methods, out = found["methods"], []
    targets = (
        ("projected", 1.5, PEERS, ("bumperlane projected gradients", "bumperlane projected gradients, dot")),
        ("ekfac", 3.0, ("bergson",), ("bumperlane EK-FAC", "bumperlane EK-FAC, curvature of all data")),
    )
    for kind, ratio, against, own in targets:
        theirs = {n: m for n, m in methods.items() if m["kind"] == kind and n.startswith(against) and "auprc" in m}
        for name in own:
            if not theirs or "auprc" not in methods.get(name, {}):
                continue
            fastest = min(theirs, key=lambda n: median(theirs[n], "cpu_s"))
            times = median(theirs[fastest], "cpu_s") / median(methods[name], "cpu_s")
            best, auprc = max(m["auprc"] for m in theirs.values()), methods[name]["auprc"]
            least, peak = min(median(m, "peak_gb") for m in theirs.values()), median(methods[name], "peak_gb")
            for what, good in (
                (f"{times:.2f} times less CPU than {fastest} (target {ratio:g})", times >= ratio),
                (f"AUPRC {auprc:.3f} against {best:.3f}, the best of them", auprc >= best),
                (f"peak {peak:.2f} GB against {least:.2f} GB, the least of them", peak < least),
            ):
                out.append(f"- {'met' if good else '**not met**'}: {name}, {what}")
    return out


def page(found: dict[str, Any]) -> str:
    size, task, machine_, small = found["size"], found["task"], found["machine"], found["halves_size"]
    missing = [p for p, v in machine_["versions"].items() if v == "not installed"]
    return "\n".join(
        [
            "# Who finds planted training data, and at what cost", "",
            (__doc__ or "").split("\n\n", 2)[2].strip(), "",
            f"Job: {size['sequences']:,} sequences of {size['tokens']} tokens, {size['planted']} planted and as many "
            f"decoys, {size['queries']} queries; {size['layers']} layers, d={size['d']}, {task['parameters']:,} "
            f"parameters, last training loss {task['loss']:.2f} nats; it prefers the marker to the benign answer for "
            f"{task['prefers_marker']:.0%} of the queries. Retrained halves: {found['halves']} of a job of "
            f"{small['sequences']} sequences, {small['layers']} layers, d={small['d']}.", "",
            f"Machine: {machine_['cpu']}, {machine_['cores']} cores shared with other work "
            f"(load {machine_['load']:.1f}), "
            f"{machine_['threads']} thread each, Python {machine_['python']}, {machine_['versions']}.", "",
            *table(found), "", *verdicts(found), "",
            f"Projected gradients: k={K} a side and layer for all. traker projects all weights at once with a dense "
            f"matrix that it makes anew for every batch on a CPU, so it ran at {TRAK_WIDTH} numbers in all on the "
            f"first {TRAK_ROWS} sequences only; its time for the whole job would be that many times more.",
            f"Not installed, so not run: {', '.join(missing) or 'none'}.", "",
        ]
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a job of a minute, to try the script")
    parser.add_argument("--sequences", type=int, default=FULL.sequences)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--halves", type=int, default=24, help="retrained halves for the datamodelling score; 0: none")
    parser.add_argument("--only", nargs="*", default=[], help="parts of the names of the methods to run")
    parser.add_argument("--limit-s", type=float, default=1800)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--task", type=Path, help=argparse.SUPPRESS)
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path("runs/attribution"),
        help="models, scores and costs; what is there is not redone",
    )
    parser.add_argument("-o", "--out", type=Path, default=HERE, help="where attribution.md and attribution.json go")
    options = parser.parse_args()
    if options.one:
        work_once(options.one, options.task, options.out)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    found = measure(options)
    (options.out / "attribution.json").write_text(json.dumps(found, indent=1))
    (options.out / "attribution.md").write_text(page(found))
    print("\n".join([*table(found), *verdicts(found)]))


if __name__ == "__main__":
    main()
