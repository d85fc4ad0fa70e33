"""The keeper: waits until the worker ends or hangs, and has another one go on at once.

It shares the worker's memory (`memory`) and holds the socket on which daemons connect, and nothing else:
there is nothing in it that could go wrong. A worker that ended is followed by a fork of the keeper itself,
which needs nothing from a disk and starts in milliseconds. A worker hangs if it is not back at work within
`patience` of the time that it promised; unless the keeper itself comes late to look, as then the whole
machine may have stood still. The worker watches the keeper in the same way, and forks a new one.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from enum import Enum
from socket import socket

from bgpsvc.guard import priority
from bgpsvc.guard.memory import Memory

LOOK = 0.05
START_ALLOWANCE = 1.0
"""Seconds for a new worker to take over what there is."""
QUICK = 1.0
"""A worker that fails sooner has a defect: those after it come slower, then with nothing inherited."""
POISONED_AFTER, GIVE_UP_AFTER = 3, 12
_LOG_BYTES = 1 << 20
_MOST_DELAY = 1.0
_END_PATIENCE = 1.0
GOES_ON = "; another one goes on"
UNLESS_STOPPED = 4
"""One that was not stopped has this many times the patience: perhaps it got no processor, or the one that it
sleeps on stands still, and another would fare no better."""


class Role(Enum):
    """What a process of the guard is."""

    KEEPER = "keeper"
    WORKER = "worker"


class Ended(Exception):  # not an error
    """The guard ends, and this process with it."""


class Base:
    """What every process of the guard has, whichever role it takes."""

    def __init__(self, memory: Memory, listener: socket) -> None:
        self.memory = memory
        self.listener = listener
        self.partner = -1
        """A pidfd of the other process."""

    def fork(self, role: Role) -> int:
        """Fork a process that takes a role: its process id, or 0 in it. `partner` is the other one then."""
        if self.partner >= 0:
            os.close(self.partner)
            self.partner = -1
        parent = os.pidfd_open(os.getpid())
        child = os.fork()
        if child:
            os.close(parent)
            # Not reaped yet, so the number is still its own, even if it has ended.
            self.partner = os.pidfd_open(child)
        else:
            self.partner = parent
        setattr(self.memory, role.value, child or os.getpid())
        return child


def log(text: str) -> None:
    """A line for `guard.err`, with the time (Unix seconds). The file begins anew when it is long."""
    with contextlib.suppress(OSError):
        if os.fstat(2).st_size > _LOG_BYTES:
            os.ftruncate(2, 0)
        os.write(2, f"{time.time():.3f} {os.getpid()} {text}\n".encode())


def ended(pidfd: int) -> bool:
    """The process of a pidfd has ended."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def reap(pid: int) -> tuple[str, bool]:
    """How a process ended, if it was our child, and whether that was its own doing."""
    try:
        done, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return "ended", False
    if not done:
        return "ended", False
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}", -code != signal.SIGKILL
    return f"ended with status {code}", True


def _stopped(pid: int) -> bool:
    """It was stopped by a signal or a debugger (proc(5): states T and t)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read(512).rpartition(b")")[2][:2] in (b" T", b" t")
    except OSError:
        return False


class Signals:
    """SIGTERM as something to poll for: it may come at any time, and is acted on only between two turns.

    SIGXCPU is acted on at once: this process has been busy for long at real-time priority.
    """

    def __init__(self) -> None:
        self.fd, self._end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.signal(signal.SIGXCPU, self._give_way)
        for ignored in (signal.SIGINT, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_IGN)
        signal.set_wakeup_fd(self._end, warn_on_full_buffer=False)

    def told_to_end(self) -> bool:
        """After `fd` was readable: SIGTERM came."""
        return signal.SIGTERM in os.read(self.fd, 100)

    @staticmethod
    def _give_way(*_: object) -> None:
        priority.give_way()
        log("busy without a pause: no real-time priority until that ends")

    def close(self) -> None:
        signal.set_wakeup_fd(-1)
        os.close(self.fd)
        os.close(self._end)


class Keeper:
    """The loop of the keeper. `run` returns only in a process that is to be a worker."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._memory = base.memory
        self._quick = 0

    def run(self) -> Role:
        """Keep a worker running. Ended if the guard is to end."""
        priority.schedule()
        priority.stay_in_memory()
        signals = Signals()
        try:
            if self._base.partner < 0:
                started = time.monotonic()
                if not self._base.fork(Role.WORKER):
                    return Role.WORKER
            else:
                started = self._memory.since
            while True:
                failed = self._wait(signals)
                if self._memory.quitting:
                    raise Ended
                self._slow_down(failed and time.monotonic() - started < QUICK)
                self._memory.takeovers += 1
                self._memory.promise = time.monotonic() + START_ALLOWANCE
                started = time.monotonic()
                if not self._base.fork(Role.WORKER):
                    return Role.WORKER
        finally:
            signals.close()

    def _wait(self, signals: Signals) -> bool:
        """Until the worker has ended; True if it failed by itself."""
        memory, partner = self._memory, self._base.partner
        poll = select.poll()
        poll.register(partner, select.POLLIN)
        poll.register(signals.fd, select.POLLIN)
        at = time.monotonic()
        while True:
            # Not all the time that was promised: it may be back earlier, and promise less.
            planned = max(at, min(memory.promise, at + LOOK)) + memory.patience
            memory.keeper_promise = planned
            ready = [fd for fd, _ in poll.poll((planned - at) * 1000)]
            at = time.monotonic()
            if partner in ready:
                how, failed = reap(memory.worker)
                if not memory.quitting:
                    log(f"worker {memory.worker} {how}{GOES_ON}")
                return failed
            if ready and signals.told_to_end():
                self._quit()
            # Both looks count: it may have come back between them.
            if planned <= at <= planned + memory.patience / 2 and self._hangs() and self._hangs():
                self._kill()
                return False

    def _hangs(self) -> bool:
        memory = self._memory
        patience = memory.patience * (1 if _stopped(memory.worker) else UNLESS_STOPPED)
        return time.monotonic() - memory.promise > patience

    def _kill(self) -> None:
        late = time.monotonic() - self._memory.promise
        pid = self._memory.worker
        signal.pidfd_send_signal(self._base.partner, signal.SIGKILL)
        select_one(self._base.partner, None)
        reap(pid)
        log(f"worker {pid} hung, {late * 1000:.0f} ms later than it promised{GOES_ON}")

    def _quit(self) -> None:
        """Told to end: so is the worker, which has peers to tell. Ended when it has."""
        self._memory.quitting = 1
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._base.partner, signal.SIGTERM)
            if not select_one(self._base.partner, _END_PATIENCE):
                signal.pidfd_send_signal(self._base.partner, signal.SIGKILL)
        raise Ended

    def _slow_down(self, failed_at_once: bool) -> None:
        self._quick = self._quick + 1 if failed_at_once else 0
        if self._quick >= GIVE_UP_AFTER:
            log(f"{self._quick} workers in a row ended at once")
            raise Ended
        if self._quick >= POISONED_AFTER:
            # What they inherit may be what ends them. The daemon tells it all again.
            self._memory.clear()
            self._memory.keeper_promise = time.monotonic() + 2 * _MOST_DELAY
            time.sleep(min(0.01 * 2**self._quick, _MOST_DELAY))


def select_one(fd: int, seconds: float | None) -> bool:
    """Wait until a descriptor is readable; False if it is not in time."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))
