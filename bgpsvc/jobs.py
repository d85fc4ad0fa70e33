"""Background work of the engine: jobs are iterators, each step a bounded piece."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import TypeVar

from bgpsvc.bulk import RUN, spread
from bgpsvc.model import SessionId
from bgpsvc.session import Session

T = TypeVar("T")

PIECE = 2000
"""Prefixes that one piece of background work looks at."""
_FINISHED = object()


def pieces(items: list[T], size: int = PIECE) -> Iterator[list[T]]:
    """The items in portions of at most `size`, each spread over all of them.

    Tables are often in address order, in which the kernel's IPv4 trie takes deletions ten times
    slower than in one that jumps about.
    """
    portions = -(-len(items) // size)
    for number in range(portions):
        yield spread(items, number, portions, min(RUN, size))


class Jobs:
    """A queue of jobs, worked off in order."""

    def __init__(self, sessions: Mapping[SessionId, Session]) -> None:
        self._sessions = sessions
        self._queue: deque[Iterator[None]] = deque()

    def __bool__(self) -> bool:
        return bool(self._queue)

    def add(self, job: Iterator[None]) -> None:
        """Work that is right whenever it comes: each of its steps looks at what is so by then."""
        self._queue.append(job)

    def add_for(self, session: Session, job: Iterator[None]) -> None:
        """Work that is void once the session came, went, was refreshed or was removed meanwhile."""
        # The epoch is taken here: a generator begins to run only when its turn comes.
        self._queue.append(self._while_current(session, session.epoch, job))

    def _while_current(self, session: Session, epoch: int, job: Iterator[None]) -> Iterator[None]:
        while self._sessions.get(session.id) is session and session.epoch == epoch:
            if next(job, _FINISHED) is _FINISHED:
                return
            yield

    def work(self) -> bool:
        """Do one piece; False if there is nothing to do."""
        while self._queue:
            if next(self._queue[0], _FINISHED) is not _FINISHED:
                return True
            self._queue.popleft()
        return False
