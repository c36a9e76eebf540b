"""Numbers of the system calls that a sandboxed program may make: (x86-64, AArch64), None where there is none.

Source: the kernel's unistd tables; they never change. What is not named is refused, so that a call that a later
kernel brings is refused too.
"""

Numbers = dict[str, tuple[int | None, int | None]]

READING: Numbers = {
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "fstat": (5, 80), "lseek": (8, 62), "mmap": (9, 222),
    "mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214), "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "rt_sigsuspend": (130, 133), "rt_sigpending": (127, 136),
    "rt_sigtimedwait": (128, 137), "pread64": (17, 67), "pwrite64": (18, 68), "readv": (19, 65), "writev": (20, 66),
    "preadv": (295, 69), "pwritev": (296, 70), "pipe": (22, None), "pipe2": (293, 59), "select": (23, None),
    "pselect6": (270, 72), "poll": (7, None), "ppoll": (271, 73), "sched_yield": (24, 124), "mremap": (25, 216),
    "msync": (26, 227), "madvise": (28, 233), "mincore": (27, 232), "dup": (32, 23), "dup2": (33, None),
    "dup3": (292, 24), "nanosleep": (35, 101), "clock_nanosleep": (230, 115), "getitimer": (36, 102),
    "setitimer": (38, 103), "alarm": (37, None), "getpid": (39, 172), "getppid": (110, 173), "gettid": (186, 178),
    "exit": (60, 93), "exit_group": (231, 94), "uname": (63, 160), "flock": (73, 32), "fsync": (74, 82),
    "fdatasync": (75, 83), "getdents": (78, None), "getdents64": (217, 61), "getcwd": (79, 17), "chdir": (80, 49),
    "fchdir": (81, 50), "stat": (4, None), "lstat": (6, None), "newfstatat": (262, 79), "statx": (332, 291),
    "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439), "readlink": (89, None),
    "readlinkat": (267, 78), "umask": (95, 166), "gettimeofday": (96, 169), "time": (201, None),
    "getrlimit": (97, 163), "getrusage": (98, 165), "sysinfo": (99, 179), "times": (100, 153), "getuid": (102, 174),
    "getgid": (104, 176), "geteuid": (107, 175), "getegid": (108, 177), "getgroups": (115, 158),
    "getresuid": (118, 148), "getresgid": (120, 150), "getpgid": (121, 155), "getpgrp": (111, None),
    "getsid": (124, 156), "getpriority": (140, 141), "sigaltstack": (131, 132), "statfs": (137, 43),
    "fstatfs": (138, 44), "arch_prctl": (158, None), "futex": (202, 98), "sched_getaffinity": (204, 123),
    "sched_getparam": (143, 121), "sched_getscheduler": (145, 120), "epoll_create": (213, None),
    "epoll_create1": (291, 20), "epoll_ctl": (233, 21), "epoll_wait": (232, None), "epoll_pwait": (281, 22),
    "eventfd": (284, None), "eventfd2": (290, 19), "set_tid_address": (218, 96), "set_robust_list": (273, 99),
    "get_robust_list": (274, 100), "fadvise64": (221, 223), "clock_gettime": (228, 113), "clock_getres": (229, 114),
    "getrandom": (318, 278), "rseq": (334, 293), "membarrier": (324, 283), "close_range": (436, 436),
    "getcpu": (309, 168), "restart_syscall": (219, 128), "pause": (34, None), "socketpair": (53, 199),
    "recvfrom": (45, 207), "shutdown": (48, 210), "getsockopt": (55, 209), "setsockopt": (54, 208),
    "getsockname": (51, 204), "copy_file_range": (326, 285), "sendfile": (40, 71),
}  # fmt: skip

WRITING: Numbers = {
    "mkdir": (83, None), "mkdirat": (258, 34), "unlink": (87, None), "unlinkat": (263, 35), "rmdir": (84, None),
    "rename": (82, None), "renameat": (264, 38), "renameat2": (316, 276), "symlink": (88, None),
    "symlinkat": (266, 36), "truncate": (76, 45), "ftruncate": (77, 46), "creat": (85, None),
}  # fmt: skip

# Allowed with some arguments only, see `seccomp`.
CHECKED: Numbers = {
    "open": (2, None), "openat": (257, 56), "fcntl": (72, 25), "ioctl": (16, 29), "prlimit64": (302, 261),
    "sendto": (44, 206),
}  # fmt: skip
