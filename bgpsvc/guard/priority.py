"""Being scheduled in time: locked in memory, at a low real-time priority, or at least nicer than others."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os

REALTIME_PRIORITY = 10
"""Low among the real-time ones: the kernel's own threads (50) and whoever is urgent come first."""
_NICE = -15
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4


def schedule() -> tuple[int | None, str]:
    """Have this process run before others as far as it may: its real-time priority or None, and in words."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(REALTIME_PRIORITY))
    except OSError:
        return None, _nicer()
    return REALTIME_PRIORITY, f"real-time priority {REALTIME_PRIORITY} (SCHED_RR)"


def _nicer() -> str:
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, _NICE)
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    return f"niceness {niceness}, as real-time priority is not allowed (CAP_SYS_NICE, RLIMIT_RTPRIO)"


def stay_in_memory() -> bool:
    """Never wait for a page, nor for the garbage collector. False if locking is not allowed (RLIMIT_MEMLOCK).

    Takes milliseconds, and is not inherited by a forked process.
    """
    # Nothing that lives in the loop is cyclic; a collection would stop it for milliseconds.
    gc.collect()
    gc.freeze()
    gc.disable()
    libc = ctypes.CDLL(None, use_errno=True)
    # What is there now, and what comes later as it is first used: large reserves are not filled at once.
    return not libc.mlockall(_MCL_CURRENT) and not libc.mlockall(_MCL_FUTURE | _MCL_ONFAULT)
