"""A filter of system calls: no sockets, no other processes, no signals, and on request no change of any file.

Only calls that are named are let through; a filter cannot be taken off again, and whatever the process becomes keeps
it. Source: seccomp(2), classic BPF.
"""

import ctypes
import os
import platform
import struct
from collections.abc import Callable, Sequence

from .syscall_numbers import CHECKED, READING, WRITING, Numbers

MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column of the table, name of its audit
X32 = 0x40000000  # x86-64 has a second table of calls above this number
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL, NOT_PERMITTED = 0x7FFF0000, 0x80000000, 0x00050001
NUMBER, MACHINE, ARGUMENTS = 0, 4, 16  # offsets in what the filter sees
NO_NEW_PRIVILEGES, SET_SECCOMP, FILTER = 38, 22, 2
CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
# What fcntl may do: duplicate, flags and locks. Not F_SETOWN and F_SETSIG, by which files can be made to kill.
FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 1030)
IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # is it a terminal, how much is there, blocking, close on exec

Line = tuple[int, int, int, int]


class Program(ctypes.Structure):
    """As the kernel takes it: how many lines, and where they lie."""

    _fields_ = [("length", ctypes.c_ushort), ("lines", ctypes.c_void_p)]


def known_machine() -> bool:
    """Whether the numbers of this machine's system calls are in the table."""
    return platform.system() == "Linux" and platform.machine() in MACHINES


def filter_of(writes: bool) -> Callable[[], None]:
    """What puts the filter on the calling process, for good; it raises OSError where the kernel refuses.

    Args:
        writes: files may be made and changed, as far as other walls let them be.
    """
    lines = program(*MACHINES[platform.machine()], writes)
    held = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in lines))
    given, libc = Program(len(lines), ctypes.addressof(held)), ctypes.CDLL(None, use_errno=True)

    def raise_filter() -> None:
        _ = held  # the kernel reads it through its address
        for call in ((NO_NEW_PRIVILEGES, 1, 0, 0, 0), (SET_SECCOMP, FILTER, ctypes.byref(given), 0, 0)):
            if libc.prctl(*call):
                raise OSError(ctypes.get_errno(), f"the kernel refuses a filter of system calls (prctl {call[0]})")

    return raise_filter


def program(column: int, machine: int, writes: bool) -> list[Line]:
    """Lines of (code, jump if true, jump if false, number)."""
    allowed: Numbers = {**READING, **(WRITING if writes else {})}
    lines: list[Line] = [(LOAD, 0, 0, MACHINE), (EQUAL, 1, 0, machine), (RETURN, 0, 0, KILL), (LOAD, 0, 0, NUMBER)]
    if column == 0:
        lines += [(AT_LEAST, 0, 1, X32), (RETURN, 0, 0, NOT_PERMITTED)]
    for name, numbers in CHECKED.items():
        number = numbers[column]
        if number is not None:
            body = _checked(name, writes)
            lines += [(EQUAL, 0, len(body), number), *body]
    for numbers in allowed.values():
        number = numbers[column]
        if number is not None:
            lines += [(EQUAL, 0, 1, number), (RETURN, 0, 0, ALLOW)]
    return [*lines, (RETURN, 0, 0, NOT_PERMITTED)]


def _checked(name: str, writes: bool) -> list[Line]:
    if name in ("open", "openat"):
        if writes:
            return [(RETURN, 0, 0, ALLOW)]
        flags = _argument(1 if name == "open" else 2)
        return [flags, (ANY_BIT, 0, 1, CHANGES), (RETURN, 0, 0, NOT_PERMITTED), (RETURN, 0, 0, ALLOW)]
    if name == "prlimit64":
        return _one_of(0, (0,))  # of itself
    if name == "sendto":
        return _one_of(5, (0,))  # along a pair, to no address: local servers can be written to by address
    return _one_of(1, FCNTL if name == "fcntl" else IOCTL)


def _one_of(argument: int, values: Sequence[int]) -> list[Line]:
    after = len(values)
    tests = [(EQUAL, after - i, 0, value) for i, value in enumerate(values)]
    return [_argument(argument), *tests, (RETURN, 0, 0, NOT_PERMITTED), (RETURN, 0, 0, ALLOW)]


def _argument(index: int) -> Line:
    """Load the lower half of an argument: the kernel reads no more of these."""
    return LOAD, 0, 0, ARGUMENTS + 8 * index
