"""What detectors of activations cost, beside scikit-learn, PyOD and a plain loop: CPU seconds to fit and to score.

    OMP_NUM_THREADS=1 python benchmarks/internals_speed.py --d 576 2048 --n 20000 --layers 4 --repeats 3

All methods run in one process on the same float32 arrays, layer by layer, in turn. In the scored rows a tenth carries
one common shift, so that AUROC can stand beside the time; with `massive`, two dimensions have a spread of 1e3 and 1e4
and a mean of 1e4. A method that takes longer than --cheap-s is not repeated. `Activations` refuse NaN once, when they
are made, and not for each detector; what that takes is stated apart (theirs check in each call). Cells are kept:
another size adds its rows. Writes internals_speed.md and internals_speed.json.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from pyod.models.knn import KNN
from pyod.models.pca import PCA
from sklearn.covariance import EmpiricalCovariance, LedoitWolf
from sklearn.metrics import roc_auc_score

from bumperlane.detect.internals.mahalanobis import Mahalanobis
from bumperlane.detect.internals.pca_residual import PCAResidual
from bumperlane.detect.internals.quantum_entropy import QuantumEntropy
from bumperlane.types import Activations, numbered

HERE = Path(__file__).parent
PEER, THREADS = "scikit-learn EmpiricalCovariance", ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
SHIFT, LOOP_ROWS = 5.0, 32
TARGETS = {576: (3.5, 6.0), 2048: (6.0, 11.0)}  # how many times faster than PEER: Mahalanobis, fit and score
ENTROPY_S, REQUEST_MS = (72.0, 8.0), 10.0  # quantum entropy: four layers at d=2048, fit and score; one request


@dataclass(frozen=True)
class Method:
    """`fit(trusted, to be scored)` gives what `score(fitted, to be scored)` takes."""

    name: str
    fit: Callable[[Activations, Activations], Any]
    score: Callable[[Any, Activations], np.ndarray]


@dataclass(frozen=True)
class Loop:
    """What the plain loop has gathered: mean (d,) and precision (d, d)."""

    mean: np.ndarray
    precision: np.ndarray


def looped(rows: np.ndarray) -> Loop:
    """A covariance updated by one row batch at a time, as a hook in a forward loop does it."""
    n, d = 0, rows.shape[1]
    mean, scatter = np.zeros(d, np.float32), np.zeros((d, d), np.float32)
    for start in range(0, len(rows), LOOP_ROWS):
        batch = rows[start : start + LOOP_ROWS]
        n += len(batch)
        before = batch - mean
        mean = mean + before.sum(axis=0) / n
        scatter += before.T @ (batch - mean)
    return Loop(mean, np.linalg.pinv(scatter / n, hermitian=True))


def loop_scores(fitted: Loop, rows: np.ndarray) -> np.ndarray:
    out = []
    for start in range(0, len(rows), LOOP_ROWS):
        away = rows[start : start + LOOP_ROWS] - fitted.mean
        out.append(((away @ fitted.precision) * away).sum(axis=1))
    return np.concatenate(out)


METHODS = (
    Method("Mahalanobis", lambda clean, seen: Mahalanobis().fit(clean), lambda fitted, seen: fitted.score(seen).values),
    Method(
        "Mahalanobis, OAS",
        lambda clean, seen: Mahalanobis("oas").fit(clean),
        lambda fitted, seen: fitted.score(seen).values,
    ),
    Method(
        "QuantumEntropy",
        lambda clean, seen: QuantumEntropy().fit(clean, seen),
        lambda fitted, seen: fitted.score_batch(seen).values,
    ),
    Method("PCAResidual", lambda clean, seen: PCAResidual().fit(clean), lambda fitted, seen: fitted.score(seen).values),
    Method(
        PEER,
        lambda clean, seen: EmpiricalCovariance().fit(clean.rows),
        lambda fitted, seen: fitted.mahalanobis(seen.rows),
    ),
    Method(
        "scikit-learn LedoitWolf",
        lambda clean, seen: LedoitWolf().fit(clean.rows),
        lambda fitted, seen: fitted.mahalanobis(seen.rows),
    ),
    Method(
        "PyOD KNN",
        lambda clean, seen: KNN().fit(clean.rows),
        lambda fitted, seen: fitted.decision_function(seen.rows),
    ),
    Method(
        "PyOD PCA",
        lambda clean, seen: PCA().fit(clean.rows),
        lambda fitted, seen: fitted.decision_function(seen.rows),
    ),
    Method(
        f"plain loop, {LOOP_ROWS} rows a batch",
        lambda clean, seen: looped(clean.rows),
        lambda fitted, seen: loop_scores(fitted, seen.rows),
    ),
)


def scene(n: int, d: int, layer: int, massive: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Trusted rows and rows to score (n, d) float32, and which of those (the first tenth) carry the shift."""
    rng = np.random.default_rng([d, layer])
    mix = np.eye(d, dtype=np.float32) + 0.5 * rng.standard_normal((d, d), np.float32) / np.float32(np.sqrt(d))
    way = rng.standard_normal(d, np.float32)
    bad = np.arange(n) < n // 10
    clean, seen = rng.standard_normal((n, d), np.float32), rng.standard_normal((n, d), np.float32)
    seen[bad] += SHIFT * way / np.linalg.norm(way)
    clean, seen = clean @ mix, seen @ mix
    if massive:
        wide = [d // 7, d // 2]
        for rows in (clean, seen):
            rows[:, wide] = rows[:, wide] * np.array([1e3, 1e4], np.float32) + np.float32(1e4)
    return clean, seen, bad


def timed(method: Method, clean: Activations, seen: Activations) -> tuple[float, float, Any, np.ndarray]:
    began = time.process_time()
    fitted = method.fit(clean, seen)
    between = time.process_time()
    values = method.score(fitted, seen)
    return between - began, time.process_time() - between, fitted, values


def checked(rows: np.ndarray) -> tuple[Activations, float]:
    """Rows as evidence, and the CPU seconds that refusing NaN took."""
    ids = numbered(len(rows))
    began = time.process_time()
    return Activations(rows, ids), time.process_time() - began


def request_ms(fitted: Any, row: Activations) -> float:
    """Median wall-clock time of scoring one row alone, in milliseconds."""
    taken = []
    for _ in range(50):
        began = time.perf_counter()
        fitted.score_batch(row)
        taken.append(time.perf_counter() - began)
    return 1e3 * float(np.median(taken))


def layer_of(clean: Activations, seen: Activations, bad: np.ndarray, options: argparse.Namespace) -> dict:
    """{method: fit_s, score_s (each the median), runs, auroc, and request_ms of quantum entropy} at one layer."""
    methods = [m for m in METHODS if m.name not in options.skip]
    times: dict[str, list[tuple[float, float]]] = {m.name: [] for m in methods}
    out: dict[str, dict] = {}
    for _ in range(options.repeats):
        for method in methods:
            before = times[method.name]
            if before and sum(before[0]) > options.cheap_s:
                continue
            fit_s, score_s, fitted, values = timed(method, clean, seen)
            before.append((fit_s, score_s))
            if method.name in out:
                continue
            out[method.name] = {"auroc": float(roc_auc_score(bad, values))}
            if method.name == "QuantumEntropy":
                out[method.name]["request_ms"] = request_ms(fitted, Activations(seen.rows[:1], seen.ids[:1]))
            print(f"  {method.name}: fit {fit_s:.2f} score {score_s:.2f} CPU-s", file=sys.stderr, flush=True)
    for name, taken in times.items():
        fit_s, score_s = np.median(taken, axis=0)
        out[name] |= {"fit_s": float(fit_s), "score_s": float(score_s), "runs": len(taken)}
    return out


def cell(n: int, d: int, massive: bool, options: argparse.Namespace) -> dict:
    """All methods at one width: seconds summed over layers, AUROC and request averaged."""
    layers, check_s = [], 0.0
    for layer in range(options.layers):
        print(f"d={d}, massive={massive}, layer {layer + 1} of {options.layers}", file=sys.stderr, flush=True)
        trusted_rows, seen_rows, bad = scene(n, d, layer, massive)
        (clean, one_s), (seen, other_s) = checked(trusted_rows), checked(seen_rows)
        check_s += one_s + other_s
        layers.append(layer_of(clean, seen, bad, options))
    methods = {}
    for name in layers[0]:
        rows = [layer[name] for layer in layers]
        methods[name] = {key: float(np.sum([row[key] for row in rows])) for key in ("fit_s", "score_s")}
        methods[name] |= {
            key: float(np.mean([row[key] for row in rows])) for key in ("auroc", "request_ms") if key in rows[0]
        }
        methods[name]["runs"] = min(row["runs"] for row in rows)
    sizes = {"n": n, "d": d, "massive": massive, "layers": options.layers}
    return {**sizes, "check_s": check_s, "methods": methods, "machine": machine()}


def machine() -> dict:
    model = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return {
        "cpu": model[0] if model else platform.processor(),
        "threads": {name: os.environ.get(name, "unset") for name in THREADS},
        "versions": {name: version(name) for name in ("numpy", "scipy", "scikit-learn", "pyod")},
        "python": platform.python_version(),
    }


def verdicts(held: dict) -> list[str]:
    """One line for each stated target that this cell can speak about."""
    methods, out = held["methods"], []
    peer, entropy = methods[PEER], methods["QuantumEntropy"]

    def line(what: str, found: float, limit: float, good: bool) -> None:
        out.append(f"- {'met' if good else '**not met**'}: {what} {found:.3g} (target {limit:g})")

    if held["d"] in TARGETS:
        for name in ("Mahalanobis", "Mahalanobis, OAS"):
            for key, limit in zip(("fit_s", "score_s"), TARGETS[held["d"]], strict=True):
                ratio = peer[key] / methods[name][key]
                line(f"{name}, times faster than EmpiricalCovariance to {key[:-2]}", ratio, limit, ratio >= limit)
    if held["d"] == 2048 and held["layers"] == 4:
        for key, limit in zip(("fit_s", "score_s"), ENTROPY_S, strict=True):
            line(f"QuantumEntropy, CPU seconds to {key[:-2]}, at most", entropy[key], limit, entropy[key] <= limit)
    found = entropy["request_ms"]
    line("QuantumEntropy, milliseconds for one request, at most", found, REQUEST_MS, found < REQUEST_MS)
    return out


def table(held: dict) -> list[str]:
    peer = held["methods"][PEER]
    lines = [
        f"## d={held['d']}, {'with' if held['massive'] else 'without'} two massive dimensions, "
        f"{held['layers']} layers, {held['n']} rows fitted and {held['n']} scored",
        "",
        "| method | fit, CPU-s | score, CPU-s | fit, times faster | score, times faster | AUROC | runs |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    left_out = [m.name for m in METHODS if m.name not in held["methods"]]
    for name, m in held["methods"].items():
        lines.append(
            f"| {name} | {m['fit_s']:.3f} | {m['score_s']:.3f} | {peer['fit_s'] / m['fit_s']:.2f} | "
            f"{peer['score_s'] / m['score_s']:.2f} | {m['auroc']:.3f} | {m['runs']} |"
        )
    checks = f"Refusing NaN in all rows, once for all of our detectors: {held['check_s']:.3f} CPU-s."
    if left_out:
        checks += f" Not run at this size: {', '.join(left_out)}."
    return [*lines, "", checks, "", *verdicts(held), ""]


def page(cells: list[dict]) -> str:
    """The whole report. AUROC lost to massive dimensions is given where both cells are there."""
    lines = ["# What detectors of activations cost", "", (__doc__ or "").split("\n\n", 1)[1].strip(), ""]
    found = cells[-1]["machine"]
    lines += [
        f"Times faster: than {PEER}. Machine: {found['cpu']}, threads {found['threads']}, Python {found['python']}, "
        f"{found['versions']}.",
        "",
    ]
    for held in cells:
        lines += table(held)
    for held in cells:
        plain = next((c for c in cells if not c["massive"] and size(c) == size(held)), None)
        if held["massive"] and plain:
            lost = {k: plain["methods"][k]["auroc"] - held["methods"][k]["auroc"] for k in held["methods"]}
            said = ", ".join(f"{name} {value:+.4f}" for name, value in lost.items())
            lines.append(f"AUROC lost to two massive dimensions at d={held['d']}, {held['layers']} layers: {said}.")
            lines.append("")
    return "\n".join(lines)


def size(held: dict) -> tuple[int, int, int]:
    return held["d"], held["n"], held["layers"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--d", type=int, nargs="+", default=[576, 2048])
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cheap-s", type=float, default=5.0, help="CPU seconds a layer above which nothing repeats")
    parser.add_argument("--skip", nargs="*", default=[], help="names of methods that are left out, and said to be")
    parser.add_argument("--massive", choices=("both", "with", "without"), default="both")
    parser.add_argument("-o", "--out", type=Path, default=HERE)
    options = parser.parse_args()
    for method in METHODS:  # what is imported or compiled at first use is nobody's cost
        timed(method, *(checked(rows)[0] for rows in scene(400, 16, 0, False)[:2]))
    kept = options.out / "internals_speed.json"
    cells = json.loads(kept.read_text()) if kept.is_file() else []
    for d in options.d:
        for massive in {"both": (False, True), "with": (True,), "without": (False,)}[options.massive]:
            new = cell(options.n, d, massive, options)
            cells = [c for c in cells if (*size(c), c["massive"]) != (*size(new), massive)] + [new]
            cells.sort(key=lambda c: (*size(c), c["massive"]))
            kept.write_text(json.dumps(cells, indent=1))
            (options.out / "internals_speed.md").write_text(page(cells))


if __name__ == "__main__":
    main()
