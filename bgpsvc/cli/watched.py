"""The daemon and who watches over it."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import MutableMapping
from dataclasses import dataclass

from bgpsvc import watchdog
from bgpsvc.effects import Log
from bgpsvc.notify import BadEnvironment, Notifier

__all__ = ["BadEnvironment", "Watched"]

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Watched:
    """How to speak to the watcher, and why our own watchdog had to start us anew ("" if it did not)."""

    notifier: Notifier
    restarted: str = ""

    @classmethod
    def of_environment(cls, environment: MutableMapping[str, str]) -> Watched:
        """What the environment says of it, which goes: our own children are none of the watcher's business.

        A daemon of our own watchdog ends with it, at once: the next watchdog needs the state directory, and
        nothing is harmed. BadEnvironment or OSError as `Notifier.of_environment`, OSError if it has ended.
        """
        parent = environment.pop(watchdog.WATCHED_BY, "")
        reason = environment.pop(watchdog.RESTARTED, "")
        if parent:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
                number = ctypes.get_errno()
                raise OSError(number, f"prctl: {os.strerror(number)}")
            if os.getppid() != int(parent):
                raise ProcessLookupError(f"the watchdog, pid {parent}, has ended")
        return cls(Notifier.of_environment(environment), reason)

    def event(self) -> Log | None:
        """That this daemon takes the place of one that crashed or hung; None if it does not."""
        if not self.restarted:
            return None
        return Log("daemon.restarted", "error", "daemon", f"started by the watchdog: {self.restarted}")
