"""The worker's loop: an epoll, timers, and a sign of life before and after every piece of work."""

from __future__ import annotations

import select
import time
from collections.abc import Callable

from bgpsvc.guard.memory import Memory
from bgpsvc.guard.timers import Timers

SLEEP = 0.25
"""The longest sleep in seconds: as often at least the keeper gets a sign of life."""
_TASKS_AT_ONCE = 50
_EVENTS_AT_ONCE = 256


class Loop:
    """Runs one turn at a time: what has come is read first, so that what came in time counts as such."""

    def __init__(self, memory: Memory) -> None:
        self.epoll = select.epoll()
        self.timers = Timers()
        self.slept = 0.0
        """Seconds that no work took, since somebody set it to 0."""
        self._memory = memory
        self._handlers: dict[int, Callable[[int], None]] = {}

    def add(self, fd: int, handler: Callable[[int], None], events: int = select.EPOLLIN) -> None:
        """Have a handler called with the events of a descriptor."""
        self.epoll.register(fd, events)
        self._handlers[fd] = handler

    def route(self, fd: int, handler: Callable[[int], None]) -> None:
        """The same for a descriptor that somebody else registers with `epoll`."""
        self._handlers[fd] = handler

    def remove(self, fd: int) -> None:
        """Before the descriptor is closed. No error if it was not added."""
        if self._handlers.pop(fd, None) is not None:
            self.epoll.unregister(fd)

    def beat(self) -> float:
        """A sign of life in the middle of work; the time."""
        now = time.monotonic()
        self._memory.promise = now
        return now

    def turn(self, after: Callable[[float], None]) -> None:
        """Sleep until something comes or is due, and do it; `after` each portion of it, what follows."""
        now = time.monotonic()
        wake = min(self.timers.next(), now + SLEEP)
        self._memory.promise = max(now, wake)
        events = self.epoll.poll(max(0.0, wake - now), _EVENTS_AT_ONCE)
        looked = self.beat()
        self.slept += looked - now
        for fd, mask in events:
            handler = self._handlers.get(fd)
            if handler is not None:  # else it was closed by a handler before
                handler(mask)
                self.beat()
        if events:
            after(time.monotonic())
        # Only what was due when packets were looked for: however long all this takes, nobody is declared dead
        # whose packet came meanwhile and has not been read.
        while self.timers.next() <= looked:
            self.timers.run(looked, _TASKS_AT_ONCE)
            after(self.beat())

    def close(self) -> None:
        """Close the epoll, and forget everything.

        To be called before its descriptors are closed: in a forked process `remove` would take them from the
        epoll of the other one, which is the same.
        """
        self._handlers.clear()
        self.epoll.close()
