"""What this machine and this installation can do, a line each, with what to do where something lacks.

Without `deep` nothing heavy is imported: versions are read from what pip has recorded, the processor from the kernel.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from ..errors import BumperlaneError

State = Literal["ok", "warn", "fail"]
GIB = 2**30
LEAST_PYTHON = (3, 11)
# Extras without which whole commands do not run, and what those are.
EXTRAS = {
    "train": ("fail", "train, check, trace and bounce need it"),
    "detect": ("warn", "the trained detectors need it"),
    "smollm2": ("warn", "`bumperlane model` needs it"),
}


@dataclass(frozen=True)
class Line:
    """One thing that was looked at. `do`: what to do about it; empty where all is well."""

    state: State
    what: str
    found: str
    do: str = ""


def examine(deep: bool = False) -> list[Line]:
    """Look at everything. `deep` also imports torch and every bumper, times both and springs all traps (a minute)."""
    lines = [_python(), *_packages(), _torch_build(), _processor(), _memory(), *_disks(), _cache(), _terminal()]
    lines += [_sandbox(), *_models(), _bumpers()]
    return [*lines, *(_deep() if deep else ())]


def _python() -> Line:
    found = f"{platform.python_version()} at {sys.executable}"
    old = sys.version_info < LEAST_PYTHON
    return Line("fail", "python", found, "Install Python 3.11 or newer.") if old else Line("ok", "python", found)


def _packages() -> Iterator[Line]:
    """Each package that bumperlane declares: there, new enough, and as tested where the tested versions are known."""
    from packaging.requirements import Requirement

    tested = _tested()
    try:
        declared = [Requirement(text) for text in requires("bumperlane") or ()]
    except PackageNotFoundError:
        yield Line("fail", "bumperlane", "not installed, only lying here", "pip install -e '.[train]'")
        return
    wanted: dict[str, tuple[Requirement, str]] = {}
    for extra in ("", *EXTRAS):  # the strictest first: torch belongs to two
        for need in declared:
            if need.marker is None or need.marker.evaluate({"extra": extra}):
                wanted.setdefault(need.name, (need, extra))
    for need, extra in wanted.values():
        yield _package(need.name, need.specifier, extra, tested)


def _package(name: str, wanted, extra: str, tested: dict[str, str]) -> Line:
    state, why = EXTRAS.get(extra, ("fail", "nothing works without it"))
    target = f"bumperlane[{extra}]" if extra else "bumperlane"
    try:
        found = version(name)
    except PackageNotFoundError:
        return Line("fail" if state == "fail" else "warn", name, f"absent; {why}", f"pip install '{target}'")
    if not wanted.contains(found, prereleases=True):
        return Line("fail", name, f"{found}, wanted is {wanted}", f"pip install -U '{name}{wanted}'")
    known = tested.get(name.lower())
    if known and known != found.partition("+")[0]:
        return Line("warn", name, f"{found}, tested with {known}", "pip install -c constraints.txt, if results differ.")
    return Line("ok", name, found)


def _tested() -> dict[str, str]:
    """name -> version of constraints.txt, which lies beside the source; empty where bumperlane came as a wheel."""
    file = Path(__file__).parents[3] / "constraints.txt"
    rows = file.read_text("utf-8").splitlines() if file.is_file() else []
    return {name.strip().lower(): pin.strip() for name, sign, pin in (row.partition("==") for row in rows) if sign}


def _torch_build() -> Line:
    """What torch was built for, by its version, and the GPUs that the driver shows."""
    try:
        build = version("torch").partition("+")[2]
    except PackageNotFoundError:
        build = "absent"
    gpus = _gpus()
    shown = "; ".join(gpus) or "no NVIDIA GPU seen"
    if gpus and build in ("cpu", "absent"):
        return Line("warn", "gpu", f"{shown}, but torch is {build}", "Install a CUDA build of torch to use it.")
    return Line("ok", "gpu", f"{shown}; torch build: {build or 'default'}")


def _gpus() -> list[str]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    command = [tool, "--query-gpu=name,memory.total,memory.used", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.split("\n")[:-1] if done.returncode == 0 else []


def _processor() -> Line:
    """Cores, and whether bfloat16 is quick: the built-in trainers and checks use it where it is."""
    info = Path("/proc/cpuinfo")
    flags = set()
    if info.is_file():
        rows = info.read_text().splitlines()
        flags = set(next((row.partition(":")[2] for row in rows if row.startswith(("flags", "Features"))), "").split())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    fast = [name for name in ("amx_bf16", "avx512_bf16", "bf16") if name in flags]
    wide = next((name for name in ("avx512f", "avx2", "asimd") if name in flags), "no vector unit known")
    found = f"{cores} cores, {platform.machine()}, {', '.join(fast) or wide}"
    if not fast:
        return Line("warn", "processor", f"{found}; bfloat16 is emulated", "Give --dtype float32 where speed matters.")
    return Line("ok", "processor", found)


def _memory() -> Line:
    """The memory that is free, or what is left of the container's share."""
    free = _free_memory()
    if free is None:
        return Line("warn", "memory", "cannot be read on this system", "A 135M model takes 2 GiB, an 8B one 20.")
    found = f"{free / GIB:.1f} GiB free"
    if free < GIB:
        return Line("fail", "memory", found, "Free 2 GiB or more: a 135M model does not fit.")
    return Line("warn" if free < 4 * GIB else "ok", "memory", found, "Use --jobs 1." if free < 4 * GIB else "")


def _free_memory() -> int | None:
    info = Path("/proc/meminfo")
    if not info.is_file():
        return None
    rows = dict(row.split(":", 1) for row in info.read_text().splitlines() if ":" in row)
    free = int(rows.get("MemAvailable", "0 kB").split()[0]) * 1024
    most, used = (Path(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    if most.is_file() and used.is_file() and most.read_text().strip().isdigit():
        free = min(free, int(most.read_text()) - int(used.read_text()))
    return free


def _disks() -> Iterator[Line]:
    from ..subjects.smollm2 import cache_root

    for what, place in (("disk here", Path.cwd()), ("disk of the cache", cache_root())):
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free
        state: State = "fail" if free < GIB / 2 else "warn" if free < 5 * GIB else "ok"
        do = "" if state == "ok" else "Make room: a case with retrains takes some GiB."
        yield Line(state, what, f"{free / GIB:.1f} GiB free at {place}", do)


def _cache() -> Line:
    from ..subjects.smollm2 import cache_root

    place = cache_root()
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        do = "Set BUMPERLANE_CACHE to a directory that you can write to."
        return Line("fail", "cache", f"{place}: {error.strerror or error}", do)
    return Line("ok", "cache", f"{place} can be written to")


def _terminal() -> Line:
    name = (sys.stdout.encoding or "none").lower()
    if name.replace("-", "") != "utf8":
        return Line("warn", "terminal", f"encoding {name}", "Set PYTHONUTF8=1, or tables may break.")
    return Line("ok", "terminal", "UTF-8")


def _sandbox() -> Line:
    """Whether generated programs can be run behind walls: bumpers that run code are blind without."""
    from ..evidence.sandbox.run import WALLS, walls_here

    stand, why = walls_here()
    if not stand:
        return Line("warn", "sandbox", why, "Run on Linux with seccomp; until then bumpers that run code are blind.")
    lack = [wall for wall in WALLS if wall not in stand]
    if "namespaces" in stand:  # with them landlock adds nothing
        return Line("ok", "sandbox", f"{', '.join(stand)} stand")
    do = "Allow user namespaces (kernel.unprivileged_userns_clone=1), for a stronger one."
    return Line("warn", "sandbox", f"{', '.join(stand)} stand, {', '.join(lack)} cannot be had", do)


def _models() -> Iterator[Line]:
    from ..subjects.smollm2 import KNOWN_MODELS, cache_root, check_copy, model_dir

    for name in sorted(KNOWN_MODELS):
        place = model_dir(name)
        if not place.is_dir():
            yield Line("warn", name, "not fetched; the demonstration needs it", f"bumperlane model {name}")
            continue
        try:
            check_copy(place)
            yield Line("ok", name, str(place))
        except BumperlaneError as error:
            yield Line("fail", name, str(error), f"rm -r {place}, then bumperlane model {name}")
    minilm = sorted((cache_root() / "models").glob("all-minilm-l6-v2-*/model.safetensors"))
    if minilm:
        yield Line("ok", "all-minilm-l6-v2", str(minilm[0].parent))
    else:
        do = "python -m bumperlane.trace.data.sentence_model"
        yield Line("warn", "all-minilm-l6-v2", "not fetched; filters and contamination by meaning need it", do)


def _bumpers() -> Line:
    from ..detect.catalogue import catalogue

    try:
        found = catalogue()
    except BumperlaneError as error:
        return Line("fail", "bumpers", str(error), "Correct or remove that plug-in.")
    if not found:
        return Line("fail", "bumpers", "no entry point is installed", "pip install -e . again")
    own = sum(b.where.startswith("bumperlane.") for b in found.values())
    return Line("ok", "bumpers", f"{own} of the house, {len(found) - own} of others; --deep springs their traps")


def _deep() -> Iterator[Line]:
    """Import torch, multiply with it, and spring every trap."""
    import time

    from ..detect.contract import load_bumpers, spring_or_say

    try:
        import torch
    except (ImportError, OSError) as error:
        yield Line("fail", "torch", f"cannot be imported: {error}", "pip install --force-reinstall torch")
        return
    sides = {}
    for kind in (torch.float32, torch.bfloat16):
        rows = torch.ones(512, 512, dtype=kind)
        began = time.perf_counter()
        for _ in range(8):
            rows @ rows
        sides[kind] = 8 * 2 * 512**3 / (time.perf_counter() - began) / 1e9
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device"
    quick = f"float32 {sides[torch.float32]:.0f}, bfloat16 {sides[torch.bfloat16]:.0f} GFLOP/s"
    slow = sides[torch.bfloat16] < sides[torch.float32] / 2
    yield Line("warn" if slow else "ok", "torch", f"{torch.get_num_threads()} threads, {quick}; {cuda}",
               "Give --dtype float32." if slow else "")  # fmt: skip
    try:
        every = load_bumpers()
    except BumperlaneError as error:
        yield Line("fail", "traps", str(error), "Correct or remove that plug-in.")
        return
    failed = {n: what for n, (sprung, what) in ((n, spring_or_say(c)) for n, c in every.items()) if not sprung}
    yield Line("ok", "traps", f"{len(every) - len(failed)} of {len(every)} sprung")
    for name, what in failed.items():
        yield Line("fail", name, f"trap not sprung: {what}", f"bumperlane explain {name} --trap")
