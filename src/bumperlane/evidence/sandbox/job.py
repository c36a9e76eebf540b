"""One program: the process that becomes it, and the one that watches over it."""

import os
import resource
import select
import signal
import sys
import time
import traceback
import types
from collections.abc import Callable, Mapping
from typing import Any

TAIL = 4000  # bytes of standard error that are kept
BLOCK = 65536

Raise = Callable[[], None]
Limits = Mapping[str, float]


def run_job(code: str, folder: str, limits: Limits, raise_walls: Raise) -> dict[str, Any]:
    """Run a program in `folder` behind walls. Returns {"outcome", "stdout", "stderr", "cut"}."""
    outs, errors, walled = os.pipe(), os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _become(code, folder, (outs[1], errors[1], walled[1]), limits, raise_walls)
        finally:
            os._exit(1)
    for end in (outs[1], errors[1], walled[1]):
        os.close(end)
    started = time.monotonic()
    with os.fdopen(walled[0], "rb") as file:
        stood = file.read(1) == b"1"  # nothing when the process ends before its walls stand
    held, late = _watch(pid, (outs[0], errors[0]), limits)
    status, used = held.pop("status"), held.pop("used")
    spent = used.ru_utime + used.ru_stime
    slow = late or (os.WIFSIGNALED(status) and spent >= limits["cpu_s"] - 0.1)
    if not stood:
        outcome = "refused"
    elif slow:
        outcome = "timeout"
        why = f"stopped after {time.monotonic() - started:.1f} s, of which it computed {spent:.1f} s.\n"
        held["stderr"] += why
    elif os.WIFSIGNALED(status):
        outcome = "killed"
        held["stderr"] += f"killed by {signal.Signals(os.WTERMSIG(status)).name}.\n"
    else:
        outcome = "ok" if os.WEXITSTATUS(status) == 0 else "error"
    return {"outcome": outcome, **held}


def _watch(pid: int, pipes: tuple[int, int], limits: Limits) -> tuple[dict[str, Any], bool]:
    """Read what a process writes until it has ended or its time is over. What is too much is read and dropped, so that
    nothing waits for us."""
    most = int(limits["output_kb"] * 1024)
    kept, dropped, late = {fd: bytearray() for fd in pipes}, False, False
    deadline = time.monotonic() + limits["wall_s"]
    open_pipes, poll, end = set(pipes), select.poll(), _end_of(pid)
    for fd in (*pipes, *([] if end is None else [end])):
        poll.register(fd, select.POLLIN)
    while True:
        left = deadline - time.monotonic()
        if left <= 0 and not late:
            late = True
            os.kill(pid, signal.SIGKILL)
        for fd, _ in poll.poll(1000 * max(0.001, min(left, 0.05)) if open_pipes or end is not None else 1):
            if fd == end:
                continue
            block = os.read(fd, BLOCK)
            if not block:
                poll.unregister(fd)
                open_pipes.discard(fd)
            kept[fd] += block
            if fd == pipes[0] and len(kept[fd]) > most:
                dropped = True
                del kept[fd][most:]
            elif fd == pipes[1]:
                del kept[fd][:-TAIL]
        done, status, used = os.wait4(pid, os.WNOHANG)
        if done:
            break
    for fd in pipes:
        _rest(fd, kept[fd], fd in open_pipes)
    if end is not None:
        os.close(end)
    out, errors = (bytes(kept[fd]).decode("utf-8", "replace") for fd in pipes)
    return {"stdout": out[:most], "stderr": errors[-TAIL:], "cut": dropped, "status": status, "used": used}, late


def _end_of(pid: int) -> int | None:
    """A descriptor that becomes readable when the process has ended; None where the kernel gives none."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _rest(fd: int, kept: bytearray, still_open: bool) -> None:
    """What lay in the pipe when the process ended."""
    os.set_blocking(fd, False)
    while still_open:
        try:
            block = os.read(fd, BLOCK)
        except BlockingIOError:  # somebody else still holds the other end
            break
        kept += block
        still_open = bool(block)
    os.close(fd)


def _become(code: str, folder: str, ends: tuple[int, int, int], limits: Limits, raise_walls: Raise) -> None:
    """Turn the calling process into the program; `ends`: of its output, its errors, and of the news that it is walled.
    Never returns."""
    try:
        null, news = os.open("/dev/null", os.O_RDONLY), os.dup(ends[2])
        for source, target in ((null, 0), (ends[0], 1), (ends[1], 2)):
            os.dup2(source, target)
        os.dup2(news, 3)
        os.closerange(4, 4096)
        os.chdir(folder)
        _limit(limits)
        raise_walls()
        os.write(3, b"1")
        os.close(3)
    except BaseException as error:
        os.write(2, f"the walls could not be raised: {error}\n".encode())
        os._exit(1)
    os._exit(_executed(code))


def _limit(limits: Limits) -> None:
    mbyte = 1 << 20
    cpu, file = int(limits["cpu_s"]), int(limits["file_mb"] * mbyte)
    for what, most in (
        (resource.RLIMIT_CPU, cpu), (resource.RLIMIT_AS, int(limits["memory_mb"] * mbyte)),
        (resource.RLIMIT_FSIZE, file), (resource.RLIMIT_NOFILE, int(limits["open_files"])),
        (resource.RLIMIT_NPROC, 0), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_MEMLOCK, 0),
    ):  # fmt: skip
        resource.setrlimit(what, (most, most))


def _executed(code: str) -> int:
    """Run a program as `__main__`; its exit status."""
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    status = 0
    try:
        exec(compile(code, "<program>", "exec"), main.__dict__)  # noqa: S102  the one place where generated code runs
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        if status and not isinstance(error.code, int):
            sys.stderr.write(f"{error.code}\n")
    except BaseException:
        status = 1
        traceback.print_exc()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        status = status or 1
    return status & 0xFF
