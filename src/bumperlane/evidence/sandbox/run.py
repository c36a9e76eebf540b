"""Run generated Python code where it can do no harm; where that is not possible, do not run it."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ...errors import SettingError

WALLS = ("namespaces", "seccomp", "landlock")
BATCH = 256  # programs that one process runs, one after the other
START_S = 20.0
# The jail is found as a package of its own, so that nothing else of Bumperlane is imported, or can be by a program.
BOOT = """
import sys, types
package = types.ModuleType("sandbox")
package.__path__ = [sys.argv[1]]
sys.modules["sandbox"] = package
from sandbox.jail import main
main()
"""
Outcome = Literal["ok", "error", "timeout", "killed", "refused"]


@dataclass(frozen=True)
class SandboxLimits:
    """How much one program may use.

    Args:
        cpu_s: seconds of computing, whole.
        wall_s: seconds from start to end.
        memory_mb: of address space, interpreter included.
        disk_mb: of all files in its working directory together; `file_mb` of one.
        open_files: at a time.
        output_kb: of standard output that is kept; the rest is dropped.

    It may start no process and no thread.
    """

    cpu_s: int = 2
    wall_s: float = 10.0
    memory_mb: int = 256
    disk_mb: int = 4
    file_mb: int = 1
    open_files: int = 32
    output_kb: int = 64

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value > 0 or (name != "wall_s" and value != int(value)):
                raise SettingError(f"{name} must be a positive {'number' if name == 'wall_s' else 'whole number'}, "
                                   f"got {value}.")  # fmt: skip
        if self.memory_mb < 64 or self.open_files < 8:
            raise SettingError(
                f"Python itself needs memory_mb from 64 and open_files from 8, got {self.memory_mb} and "
                f"{self.open_files}."
            )


@dataclass(frozen=True)
class Ran:
    """What came of a program.

    Attributes:
        outcome: ok (it ended by itself, status 0), error (an exception, or another status), timeout, killed (by a
            signal that was not ours), or refused: it was not run, and `stderr` says why.
        stdout: its beginning; `cut` where there was more.
        stderr: its last 4,000 bytes.
        walls: that stood around it.
    """

    outcome: Outcome
    stdout: str
    stderr: str
    cut: bool = False
    walls: tuple[str, ...] = ()


def run_code(code: str, limits: SandboxLimits | None = None, walls: Sequence[str] = WALLS) -> Ran:
    """Run one program; see `run_codes`."""
    return run_codes([code], limits, walls)[0]


def run_codes(codes: Sequence[str], limits: SandboxLimits | None = None, walls: Sequence[str] = WALLS) -> list[Ran]:
    """Run programs one after the other, each in a fresh process and an empty directory that is gone afterwards.

    What a program has: Python's standard library, 2 s of computing, 256 MB, no environment, no network, no other
    process or thread. What holds it:

    - `namespaces` and `seccomp`, where the machine permits both: no file of the machine can be read or written but
      Python's library, the shared libraries of the system and /dev/null; no network; no sight of other processes.
    - `seccomp` and `landlock`, without namespaces: the same for files; other processes' ids can be guessed, but not
      signalled or looked into.
    - `seccomp` alone: nothing can be written anywhere, and everything that the user may read can be read, the
      environment of the user's own processes included. Nothing of it can leave but by what the program prints.

    Where neither namespaces nor seccomp can be had, every program is refused: there would be no wall to the network.
    No wall holds against a fault of the kernel.

    Args:
        walls: that may be used; all that the machine permits are.
    """
    unknown = sorted(set(walls) - set(WALLS))
    if unknown:
        raise SettingError(f"unknown walls {unknown}. Known: {', '.join(WALLS)}.")
    limits = limits or SandboxLimits()
    ran: list[Ran] = []
    for start in range(0, len(codes), BATCH):
        ran += _batch(codes[start : start + BATCH], limits, walls)
    return ran


def walls_here(walls: Sequence[str] = WALLS) -> tuple[tuple[str, ...], str]:
    """(walls that stand on this machine, why none do). No walls: every program would be refused."""
    tried = run_code("", walls=walls)
    return tried.walls, tried.stderr if tried.outcome == "refused" else ""


def _batch(codes: Sequence[str], limits: SandboxLimits, walls: Sequence[str]) -> list[Ran]:
    if sys.platform != "linux":
        return _refused(codes, f"it takes Linux to wall off a program, and this is {sys.platform}.")
    with tempfile.TemporaryDirectory(prefix="bumperlane-sandbox-") as folder:
        plan = {"jobs": list(codes), "limits": asdict(limits), "walls": list(walls), "folder": os.path.realpath(folder)}
        lines, why = _served(plan, START_S + len(codes) * (limits.wall_s + 1))
    head = lines[0] if lines else {"refused": why or "the process that runs programs ended at once."}
    if "refused" in head:
        return _refused(codes, head["refused"])
    ran = [Ran(**line, walls=tuple(head["walls"])) for line in lines[1:]]
    lost = Ran("killed", "", f"the process that runs programs ended before this one: {why}", walls=tuple(head["walls"]))
    return ran + [lost] * (len(codes) - len(ran))


def _served(plan: dict[str, Any], timeout_s: float) -> tuple[list[dict[str, Any]], str]:
    """(lines of the jail, what it wrote to standard error)."""
    bare = [
        os.path.realpath(sys.executable),
        "-S",
        "-s",
        "-P",
        "-B",
        "-X",
        "utf8",
        "-c",
        BOOT,
        str(Path(__file__).parent),
    ]
    # The seed of hashes is fixed, so that a program does the same twice. Nothing else is in the environment.
    jail = subprocess.Popen(
        bare, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        env={"PYTHONHASHSEED": "0"}, cwd="/",
    )  # fmt: skip
    try:
        out, errors = jail.communicate(json.dumps(plan).encode(), timeout=timeout_s)
    except subprocess.TimeoutExpired:
        jail.kill()  # all that it has started goes with it
        out, errors = jail.communicate()
        errors += f"it took more than {timeout_s:.0f} s.".encode()
    finally:
        jail.kill()
    whole = out.decode("utf-8", "replace").split("\n")[:-1]
    return [json.loads(line) for line in whole], errors.decode("utf-8", "replace")[-2000:]


def _refused(codes: Sequence[str], why: str) -> list[Ran]:
    said = (
        f"not run: this machine lets no wall be put between a program and the network ({why.strip()}). Run where Linux "
        "permits seccomp filters or namespaces of one's own."
    )
    return [Ran("refused", "", said)] * len(codes)
