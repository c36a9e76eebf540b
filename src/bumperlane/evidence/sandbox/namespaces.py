"""A world of its own: no network, no other process, and no file but Python's own library and an empty directory.

Source: namespaces(7), pivot_root(2), mount_setattr(2): Linux 5.12 and later, as root or where users may make
namespaces of their own.
"""

import ctypes
import os
import sys
from collections.abc import Callable, Sequence

NEW_MOUNTS, NEW_NAMES, NEW_MESSAGES, NEW_USERS, NEW_PROCESSES, NEW_NETWORK = (
    0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
WORLD = NEW_MOUNTS | NEW_NAMES | NEW_MESSAGES | NEW_PROCESSES | NEW_NETWORK
NO_SUID, NO_DEVICES, NO_PROGRAMS, BIND, RECURSIVE, PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
DETACH = 2
SET_ATTRIBUTES, HERE, ALL_BELOW = 442, -100, 0x8000  # mount_setattr has the same number on every machine
READ_ONLY = 1 | NO_SUID | NO_DEVICES
NOBODY = 65534
DEVICES = ("/dev/null",)
WORK = "/work"


def leave_the_world() -> None:
    """Unshare everything; the processes that are started next see no other ones. Raises OSError if not permitted."""
    libc, user, group = _libc(), os.geteuid(), os.getegid()
    if user == 0 and libc.unshare(WORLD) == 0:
        return
    _checked(libc.unshare(NEW_USERS | WORLD), "namespaces of its own")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{NOBODY} {user} 1"), ("gid_map", f"{NOBODY} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def furnish(root: str, readable: Sequence[str], mbytes: int) -> Callable[[], str]:
    """Make `root`, an empty directory, the only thing there is: with what may be read, and a working directory.

    Returns what empties the working directory and gives its path. Raises OSError.
    """
    _mount("none", "/", "", RECURSIVE | PRIVATE)
    _mount("tmpfs", root, "tmpfs", NO_SUID, "size=1m,mode=755")
    for path in (*readable, *DEVICES):
        _show(path, root)
    os.mkdir(root + WORK)
    os.chdir(root)
    libc = _libc()
    _checked(libc.pivot_root(b".", b"."), "another root")
    _checked(libc.umount2(b".", DETACH), "to leave the old root")
    os.chdir("/")
    _set_read_only("/", below=False)

    def emptied() -> str:
        os.chdir("/")
        libc.umount2(WORK.encode(), DETACH)
        size = f"size={mbytes}m,nr_inodes=1024,mode=700,uid={NOBODY},gid={NOBODY}"
        _mount("tmpfs", WORK, "tmpfs", NO_SUID | NO_DEVICES | NO_PROGRAMS, size)
        return WORK

    return emptied


def become_nobody() -> None:
    """Give up every privilege and the user's own name."""
    libc = _libc()
    for capability in range(64):
        if libc.prctl(24, capability, 0, 0, 0):  # 24: drop it from the bounding set
            break
    if os.getuid() != NOBODY:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    drop_capabilities()


def drop_capabilities() -> None:
    """Give up every privilege that the process holds now, and any that a program could bring."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _checked(_libc().capset(header, (ctypes.c_uint32 * 6)()), "fewer privileges")
    _libc().prctl(38, 1, 0, 0, 0)  # no new ones


def library_paths() -> list[str]:
    """Where Python's library and what it is linked with lie; none inside another. Links are kept as links."""
    base = sys.base_prefix
    held = [*(p for p in sys.path if p), base + "/lib", "/lib", "/lib64", "/usr/lib", "/usr/lib64"]
    paths = sorted({os.path.realpath(p) for p in held if os.path.exists(p)} | {p for p in held if os.path.islink(p)})
    files = [p for p in ("/etc/ld.so.cache",) if os.path.exists(p)]
    return [p for p in paths if not any(p.startswith(q + "/") for q in paths)] + files


def _show(path: str, root: str) -> None:
    place = root + path
    os.makedirs(os.path.dirname(place), exist_ok=True)
    if os.path.islink(path):
        os.symlink(os.readlink(path), place)
        return
    if os.path.isdir(path):
        os.makedirs(place, exist_ok=True)
    else:
        open(place, "w").close()
    _mount(path, place, "", BIND | RECURSIVE)
    if path not in DEVICES:
        _set_read_only(place, below=True)


def _set_read_only(path: str, below: bool) -> None:
    attributes = (ctypes.c_uint64 * 4)(READ_ONLY, 0, 0, 0)
    flags = ALL_BELOW if below else 0
    _checked(_libc().syscall(SET_ATTRIBUTES, HERE, path.encode(), flags, attributes, 32), f"{path} to be read only")


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    call = (source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), data.encode() or None)
    _checked(_libc().mount(*call), f"{target} to be mounted")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"the kernel does not permit {what}: {os.strerror(number)}")
