"""What it costs to read a subject's internals, beside a plain forward pass, and whether memory grows with the prompts.

    OMP_NUM_THREADS=1 python benchmarks/internals_capture.py --prompts 128 --repeats 7 --memory 1000 50000

Speed: CPU seconds of the process, on the same prompts in the same batches, in turn, one round after the other. Prompts
are random tokens, their lengths log-uniform: the cost of a pass does not depend on what they say. Memory: the peak
resident set of a process of its own that streams prompts from a generator through a small random model (50,000 prompts
through SmolLM2 would take hours here), once into moments and once into a store. `--skip speed` or `--skip memory`
leaves out a part and keeps its last result. Writes internals_capture.md and internals_capture.json.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
FULL, MIDDLE, TRUNK, ALL = (
    "forward with output_hidden_states", "capture of the middle layer", "bare trunk forward", "capture of all layers",
)  # fmt: skip
TARGETS = ((MIDDLE, FULL, 0.6), (ALL, TRUNK, 1.02))
GROWTH = 1.05
SMALL = {"width": 128, "layers": 4, "vocabulary": 1000, "longest": 32}
INTO = ("moments", "store")


def prompts(vocabulary: int, shortest: int, longest: int) -> Iterator[tuple[int, ...]]:
    """Without end, the same ones each time."""
    rng = np.random.default_rng(0)
    while True:
        length = int(np.exp(rng.uniform(np.log(shortest), np.log(longest + 1))))
        yield tuple(rng.integers(0, vocabulary, length).tolist())


def speed(options: argparse.Namespace) -> dict[str, Any]:
    """CPU seconds of each way to read, round by round."""
    import torch

    from bumperlane.subjects.activations import blocks_of, capture
    from bumperlane.subjects.forward import length_batches, pad
    from bumperlane.subjects.head import trunk_of
    from bumperlane.subjects.subject import Subject

    subject = Subject.load(options.model, dtype=options.dtype)
    model, pad_id = subject.model, subject.tokenizer.pad_token_id
    given = list(islice(prompts(model.config.vocab_size, options.shortest, options.longest), options.prompts))
    layers = list(range(len(blocks_of(model))))
    middle = len(layers) // 2
    batches = list(length_batches([len(p) for p in given]))

    def plain(run: Any) -> None:
        with torch.no_grad():
            for batch in batches:
                ids, mask = pad([given[i] for i in batch], pad_id, "right", "cpu")
                run(input_ids=ids, attention_mask=mask, use_cache=False)

    ways = {
        FULL: lambda: plain(lambda **inputs: model(**inputs, output_hidden_states=True)),
        MIDDLE: lambda: capture(model, given, [middle], pad_id),
        TRUNK: lambda: plain(trunk_of(model)),
        ALL: lambda: capture(model, given, layers, pad_id),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(options.repeats + 1):  # the first round warms up and does not count
        names = list(ways)[turn % len(ways) :] + list(ways)[: turn % len(ways)]
        for name in names:
            began = time.process_time()
            ways[name]()
            if turn:
                seconds[name].append(time.process_time() - began)
        print(f"round {turn} of {options.repeats}", file=sys.stderr, flush=True)
    tokens = sum(map(len, given))
    return {
        "model": options.model, "dtype": str(next(model.parameters()).dtype), "layers": len(layers), "middle": middle,
        "prompts": len(given), "tokens": tokens, "batches": len(batches), "seconds": seconds, "machine": machine(),
    }  # fmt: skip


def peak_mb(n: int, into: str) -> float:
    """Peak resident set, in MB, of a process that streams n prompts. It is started from here, so this one must be
    small: Linux counts what the parent had at the fork."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--child", str(n), "--into", into, "-o", folder]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"the process that streamed {n} prompts failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])["peak_mb"]


def stream_and_measure(n: int, into: str, folder: Path) -> None:
    """The child: stream n prompts and print the peak resident set."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from bumperlane.detect.internals.moments import Moments
    from bumperlane.evidence.activation_store import ActivationStore, StoreSettings
    from bumperlane.subjects.activations import CaptureSettings
    from bumperlane.subjects.chat import Encoded
    from bumperlane.subjects.streaming import stream

    torch.manual_seed(0)
    width, sites = SMALL["width"], tuple(range(SMALL["layers"]))
    config = LlamaConfig(
        vocab_size=SMALL["vocabulary"], hidden_size=width, intermediate_size=2 * width, num_attention_heads=4,
        num_hidden_layers=len(sites), attn_implementation="eager",
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    source = islice(prompts(SMALL["vocabulary"], 4, SMALL["longest"]), n)
    sequences = (Encoded(f"prompt {k}", tokens, len(tokens)) for k, tokens in enumerate(source))
    store = ActivationStore.begin(folder / "store", StoreSettings("benchmark", sites))
    fitted: dict[int, Moments] = {}
    given = store.unseen(sequences, "fit") if into == "store" else sequences
    for chunk in stream(model, given, CaptureSettings(sites, rows_per_chunk=512), pad_id=0):
        if into == "store":
            store.append(chunk, "fit")
        else:
            fitted = {s: fitted[s] + Moments.of(chunk[s]) if s in fitted else Moments.of(chunk[s]) for s in sites}
    if into == "store":
        fitted = {s: Moments.stream(store.shards(s, role="fit")) for s in sites}
    if {moments.n for moments in fitted.values()} != {n}:
        raise SystemExit(f"fitted {fitted[0].n} of {n} prompts")
    unit = 1e6 if platform.system() == "Darwin" else 1e3
    print(json.dumps({"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit}))


def memory(options: argparse.Namespace) -> dict[str, Any]:
    """Peaks by where the rows go and by the number of prompts; each the median over processes."""
    few, many = options.memory
    peaks: dict[str, dict[str, list[float]]] = {into: {str(few): [], str(many): []} for into in INTO}
    for turn in range(options.memory_repeats):
        for into in INTO:
            for n in (few, many):
                peaks[into][str(n)].append(peak_mb(n, into))
                print(f"memory {turn + 1} of {options.memory_repeats}: {n} into {into}", file=sys.stderr, flush=True)
    rows_mb = many * SMALL["width"] * SMALL["layers"] * 4 / 1e6
    return {"few": few, "many": many, "model": SMALL, "peaks_mb": peaks, "rows_mb": rows_mb, "machine": machine()}


def machine() -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    cpu = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return {
        "cpu": cpu[0] if cpu else platform.processor(),
        "cores": os.cpu_count(),
        "threads": {name: os.environ.get(name, "unset") for name in THREADS},
        "versions": {name: version(name) for name in ("torch", "transformers", "numpy", "pyarrow", "safetensors")},
        "python": platform.python_version(),
    }


def verdict(what: str, found: float, target: float) -> str:
    return f"- {'met' if found <= target else '**not met**'}: {what} {found:.3f} (target at most {target:g})"


def speed_table(held: dict[str, Any]) -> list[str]:
    medians = {name: float(np.median(taken)) for name, taken in held["seconds"].items()}
    lines = [
        f"## Speed: {held['model']}, {held['layers']} layers, {held['dtype']}",
        "",
        f"{held['prompts']} prompts, {held['tokens']} tokens, {held['batches']} batches, last token of each prompt; "
        f"medians of {len(held['seconds'][FULL])} rounds after one that warms up. The middle layer is block "
        f"{held['middle']}.",
        "",
        "| way | CPU s | smallest to largest |",
        "|---|---|---|",
        *(f"| {name} | {medians[name]:.2f} | {min(t):.2f} to {max(t):.2f} |" for name, t in held["seconds"].items()),
        "",
    ]
    for ours, theirs, target in TARGETS:
        rounds = np.array(held["seconds"][ours]) / np.array(held["seconds"][theirs])
        what = f"{ours}, as a share of a {theirs} (single rounds {rounds.min():.3f} to {rounds.max():.3f}),"
        lines.append(verdict(what, medians[ours] / medians[theirs], target))
    return [*lines, *machine_line(held["machine"])]


def memory_table(held: dict[str, Any]) -> list[str]:
    few, many, model = held["few"], held["many"], held["model"]
    lines = [
        "## Memory: a small random model",
        "",
        f"Llama of width {model['width']} with {model['layers']} layers, all of them read, prompts of 4 to "
        f"{model['longest']} tokens from a generator. Holding the rows of {many} prompts would take "
        f"{held['rows_mb']:.0f} MB.",
        "",
        f"| rows go into | peak MB, {few} prompts | peak MB, {many} prompts | processes each |",
        "|---|---|---|---|",
    ]
    verdicts = []
    for into, peaks in held["peaks_mb"].items():
        a, b = (float(np.median(peaks[str(n)])) for n in (few, many))
        lines.append(f"| {into} | {a:.1f} | {b:.1f} | {len(peaks[str(few)])} |")
        verdicts.append(verdict(f"peak of {many} prompts into {into}, times that of {few},", b / a, GROWTH))
    return [*lines, "", *verdicts, *machine_line(held["machine"])]


def machine_line(held: dict[str, Any]) -> list[str]:
    packages = ", ".join(f"{name} {number}" for name, number in held["versions"].items())
    threads = ", ".join(f"{name}={number}" for name, number in held["threads"].items())
    return ["", f"{held['cpu']}, {held['cores']} cores, {threads}; Python {held['python']}, {packages}.", ""]


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m", help="a directory, hub name or known model")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--prompts", type=int, default=128)
    parser.add_argument("--shortest", type=int, default=8, help="tokens")
    parser.add_argument("--longest", type=int, default=128, help="tokens")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--memory", type=int, nargs=2, default=[1000, 50000], metavar=("FEW", "MANY"))
    parser.add_argument("--memory-repeats", type=int, default=1)
    parser.add_argument("--skip", choices=["speed", "memory"])
    parser.add_argument("-o", "--out", type=Path, default=HERE)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--into", choices=INTO, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = parsed()
    if options.child is not None:
        stream_and_measure(options.child, options.into, options.out)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    kept = options.out / "internals_capture.json"
    held = json.loads(kept.read_text()) if kept.is_file() else {}
    if options.skip != "memory":  # first, while this process is small
        held["memory"] = memory(options)
    if options.skip != "speed":
        held["speed"] = speed(options)
    lines = ["# Reading internals: CPU seconds and memory", "", "Made by `python benchmarks/internals_capture.py`.", ""]
    lines += speed_table(held["speed"]) if "speed" in held else []
    lines += memory_table(held["memory"]) if "memory" in held else []
    kept.write_text(json.dumps(held, indent=1) + "\n")
    (options.out / "internals_capture.md").write_text("\n".join(lines).rstrip() + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
