"""The process in which programs are run: it raises walls, runs one program after the other, and answers in JSON lines.

It is started by `run` in a bare interpreter that has imported nothing else of Bumperlane.
"""

import ctypes
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import landlock, namespaces, seccomp
from .job import Limits, Raise, run_job

DIE_WITH_PARENT, DUMPABLE = 1, 4
Plan = Mapping[str, Any]


def main() -> None:
    """Read {"jobs", "limits", "walls", "folder"} from standard input; write a line on the walls, then one a job."""
    plan = json.load(sys.stdin)
    os.environ.clear()
    sys.path[:] = [os.path.realpath(p) for p in sys.path if os.path.exists(p)]
    _die_with_parent()
    whys = []
    for name, serve in (("namespaces", _in_namespaces), ("seccomp", _behind_a_filter)):
        if name not in plan["walls"]:
            whys.append(f"{name}: not asked for")
            continue
        why = _tried(serve, plan)
        if not why:
            return
        whys.append(f"{name}: {why}")
    _say({"refused": "; ".join(whys)})


def _tried(serve: Callable[[Plan], None], plan: Plan) -> str:
    """Serve in a process of its own; why that was not possible, or nothing."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _die_with_parent()
        _or_say_why(lambda: serve(plan), write)
    os.close(write)
    with os.fdopen(read) as file:
        why = file.read()
    os.waitpid(pid, 0)
    return why


def _or_say_why(act: Callable[[], None], write: int) -> None:
    status = 1
    try:
        act()
        status = 0
    except BaseException as error:
        os.write(write, f"{error}".encode() or type(error).__name__.encode())
    finally:
        os._exit(status)


def _in_namespaces(plan: Plan) -> None:
    """The first process of a new world serves; everything in it ends with it."""
    filtered = "seccomp" in plan["walls"] and _filter_holds(True)
    raise_filter = seccomp.filter_of(writes=True) if filtered else None
    namespaces.leave_the_world()  # the next process that is started is the first one of the new world

    def raise_walls() -> None:
        namespaces.become_nobody()
        if raise_filter:
            raise_filter()

    def serve(plan: Plan) -> None:
        _shut_our_own()
        empty = namespaces.furnish(plan["folder"], namespaces.library_paths(), int(plan["limits"]["disk_mb"]))
        _try_one(empty(), plan["limits"], raise_walls)
        _say({"walls": ["namespaces", *(["seccomp"] if filtered else [])]})
        for code in plan["jobs"]:
            _say(run_job(code, empty(), plan["limits"], raise_walls))
            _end_everyone()

    why = _tried(serve, plan)
    if why:
        raise OSError(why)


def _behind_a_filter(plan: Plan) -> None:
    """Without namespaces, a filter of system calls alone, and a fence around files where the kernel has one."""
    if not _filter_holds(False):
        raise OSError("a filter of system calls does not hold on this machine")
    fenced = "landlock" in plan["walls"] and landlock.version() >= landlock.ENOUGH
    readable = [*namespaces.library_paths(), *namespaces.DEVICES]
    work, raise_filter = os.path.join(plan["folder"], "work"), seccomp.filter_of(writes=fenced)

    def raise_walls() -> None:
        if fenced:
            landlock.raise_fence(readable, [work])
        namespaces.drop_capabilities()
        raise_filter()

    def emptied() -> str:
        shutil.rmtree(work, ignore_errors=True)
        os.mkdir(work, 0o700)
        return work

    _shut_our_own()
    _try_one(emptied(), plan["limits"], raise_walls)
    _say({"walls": ["seccomp", *(["landlock"] if fenced else [])]})
    for code in plan["jobs"]:
        _say(run_job(code, emptied(), plan["limits"], raise_walls))


def _filter_holds(writes: bool) -> bool:
    """Whether behind a filter a socket is really refused. Tried in a process of its own: it cannot be taken off."""
    if not seccomp.known_machine():
        return False
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            seccomp.filter_of(writes)()
            socket.socket()
        except PermissionError:
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1] == 0


def _try_one(folder: str, limits: Limits, raise_walls: Raise) -> None:
    """Run an empty program. Raises OSError when it cannot be run behind these walls."""
    done = run_job("", folder, limits, raise_walls)
    if done["outcome"] != "ok":
        raise OSError(f"an empty program came to {done['outcome']}: {done['stderr'].strip()[-300:]}")


def _end_everyone() -> None:
    """End whatever a program has left behind; we are the first process here, so this is everyone but us."""
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        return
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _die_with_parent() -> None:
    """Also: no signal has a handler, so that none from inside reaches the first process of a world."""
    ctypes.CDLL(None, use_errno=True).prctl(DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _shut_our_own() -> None:
    """No process of the same user may look into this one. Only now: it also shuts our own /proc/self to us."""
    ctypes.CDLL(None, use_errno=True).prctl(DUMPABLE, 0, 0, 0, 0)


def _say(line: Mapping[str, Any] | Sequence[Any]) -> None:
    left = memoryview(json.dumps(line).encode() + b"\n")
    while left:
        left = left[os.write(1, left) :]
