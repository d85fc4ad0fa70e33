"""Being scheduled in time: locked in memory, at a low real-time priority, or at least nicer than others."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource

REALTIME_PRIORITY = 10
"""Low among the real-time ones: the kernel's own threads (50) and whoever is urgent come first."""
_NICE = -15
PATIENCE_US = 2_000_000
"""Processor time without a pause after which the kernel says so (SIGXCPU, RLIMIT_RTTIME)."""
_CAP_IPC_LOCK = 14
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4


def schedule() -> tuple[int | None, str]:
    """Have this process run before others as far as it may: its real-time priority or None, and in words."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(REALTIME_PRIORITY))
    except OSError:
        return None, _nicer()
    hard = resource.getrlimit(resource.RLIMIT_RTTIME)[1]
    soft = PATIENCE_US if hard == resource.RLIM_INFINITY else min(PATIENCE_US, hard)
    resource.setrlimit(resource.RLIMIT_RTTIME, (soft, hard))
    return REALTIME_PRIORITY, f"real-time priority {REALTIME_PRIORITY} (SCHED_RR)"


def is_urgent() -> bool:
    """This process runs at real-time priority now."""
    return os.sched_getscheduler(0) == os.SCHED_RR


def give_way() -> None:
    """Go on among all others: who is always busy keeps them from their work, and may have lost its way."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    _nicer()


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
    if libc.mlockall(_MCL_CURRENT):
        return False
    if _may_lock_all():
        # What comes later too, as it is first used: large reserves are not filled at once.
        libc.mlockall(_MCL_FUTURE | _MCL_ONFAULT)
    return True


def _may_lock_all() -> bool:
    """Nothing limits what may be locked. Under a limit, memory would be refused that goes beyond it."""
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY:
        return True
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        effective = next(line for line in file if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> _CAP_IPC_LOCK & 1)
