"""Child processes must not outlive the work that ordered them: the next call would find two writers in one place."""

import ctypes
import signal

PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Run in a child before it executes: Linux then kills it when its parent dies, however that happens.

    It does not reach the child's own children.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
