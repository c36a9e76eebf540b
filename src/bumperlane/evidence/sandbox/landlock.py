"""A wall around files: what lies outside the named directories can be neither read nor changed. Needs no privilege.

Source: landlock(7), Linux 5.13 and later; the kernel must be built and started with it.
"""

import ctypes
import os
import struct
from collections.abc import Sequence

CREATE, ADD, RESTRICT = 444, 445, 446  # the same on every machine
VERSION = 1
BENEATH = 1
NO_NEW_PRIVILEGES = 38
READ, READ_FOLDER, WRITE, TRUNCATE = 1 << 2, 1 << 3, 1 << 1, 1 << 14
EVERYTHING = (1 << 15) - 1  # what version 3 knows; only from there on is truncation held back
ENOUGH = 3


def version() -> int:
    """The kernel's version of Landlock; 0 where there is none."""
    return max(0, _libc().syscall(CREATE, None, 0, VERSION))


def raise_fence(readable: Sequence[str], writable: Sequence[str]) -> None:
    """Put the fence around the calling process, for good. Raises OSError where the kernel refuses."""
    libc = _libc()
    ruleset = _checked(libc.syscall(CREATE, struct.pack("=Q", EVERYTHING), 8, 0))
    for paths, access in ((readable, READ | READ_FOLDER), (writable, EVERYTHING & ~1)):
        for path in paths:
            folder = os.path.isdir(path)
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            allowed = access if folder else access & (READ | WRITE | TRUNCATE)
            _checked(libc.syscall(ADD, ruleset, BENEATH, struct.pack("=Qi", allowed, place), 0))
            os.close(place)
    libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    _checked(libc.syscall(RESTRICT, ruleset, 0))
    os.close(ruleset)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), "the kernel refuses a fence around files")
    return result
