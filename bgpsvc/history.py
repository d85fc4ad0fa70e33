"""The event log on disk: what the journal holds in memory is written behind it, in portions.

Losing the database loses no event as long as the journal still has it, and holds nothing up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from bgpsvc.control import StoreUnavailable
from bgpsvc.journal import Journal
from bgpsvc.port import EVERY_EVENT, EventFilter
from bgpsvc.views import EventView

PORTION = 500
"""Events in one transaction."""
RETRY = 5.0
"""Seconds until a database that did not answer is asked again."""
ASK_INTERVAL = 15.0
"""Seconds after which a database that had nothing to write is asked whether it would."""
PATIENCE = 10.0
"""Seconds without an answer after which it counts as unavailable: the longest writes take a few."""
PRUNE_INTERVAL = 600.0
"""Seconds between looks for what is older or more than is kept."""

log = logging.getLogger("bgpsvc")


class EventStore(Protocol):
    """Where events are kept."""

    async def add_events(self, events: Sequence[EventView]) -> None:
        """Write events with their ids. Raises control.StoreUnavailable."""

    async def events(
        self,
        after: int,
        limit: int,
        wanted: EventFilter = EVERY_EVENT,
        before: int | None = None,
        latest: bool = False,
    ) -> tuple[EventView, ...]:
        """Events between two ids, oldest first: the first `limit` of them, or the last with `latest`.

        Raises control.StoreUnavailable."""

    async def healthy(self) -> str | None:
        """Why it could take nothing now; None if it could."""

    async def prune(self, now: float) -> object:
        """Delete what is beyond retention. Raises control.StoreUnavailable."""


class History:
    """Writes the journal's events. `written` is the id of the last one on disk."""

    def __init__(self, journal: Journal, store: EventStore, written: int) -> None:
        self._journal = journal
        self._store = store
        self.written = written
        self.problem: str | None = None
        """Why the database took nothing at the last attempt; None if it did."""

    @property
    def waiting(self) -> int:
        """Events that are not on disk yet, those included that the journal dropped meanwhile."""
        return self._journal.last - max(self.written, self._journal.stored)

    async def run(self) -> None:
        """Write what comes, until cancelled; `flush` afterwards. Without events, ask how the database is."""
        prune_at = time.monotonic()
        while True:
            try:
                with contextlib.suppress(TimeoutError):
                    wait = min(ASK_INTERVAL, prune_at - time.monotonic())
                    await asyncio.wait_for(self._journal.beyond(self.written), max(0.0, wait))
                await self._patiently(self._flush_or_ask())
                self.problem = None
                if time.monotonic() >= prune_at:
                    prune_at = time.monotonic() + PRUNE_INTERVAL
                    await self._store.prune(time.time())
            except StoreUnavailable as error:
                self.problem = str(error)
                log.error("events are not stored for now: %s", error)
                await asyncio.sleep(RETRY)

    async def _patiently(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait for it, and say when that takes too long. Asking once more would only lengthen the queue."""
        task = asyncio.create_task(work)
        try:
            if not (await asyncio.wait([task], timeout=PATIENCE))[0]:
                self.problem = f"no answer for {PATIENCE:g} s"
                log.error("events are not stored for now: %s", self.problem)
            await task
        finally:
            task.cancel()

    async def _flush_or_ask(self) -> None:
        before = self.written
        await self.flush()
        problem = await self._store.healthy() if self.written == before else None
        if problem is not None:
            raise StoreUnavailable(problem)

    async def page(self, after: int, limit: int, wanted: EventFilter = EVERY_EVENT) -> tuple[EventView, ...]:
        """Events behind an id, oldest first: from the database as far as the journal does not reach back."""
        while True:
            oldest = self._journal.oldest
            found: tuple[EventView, ...] = ()
            if oldest is None or after < oldest - 1:
                found = await self._store.events(after, limit, wanted, oldest)
            if self._journal.oldest == oldest:  # else the journal dropped some of them meanwhile
                begin = max(after, (oldest or 1) - 1)
                return (*found, *self._journal.entries(begin, limit - len(found), wanted))

    async def latest(
        self, before: int | None, limit: int, wanted: EventFilter = EVERY_EVENT, after: int = 0
    ) -> tuple[EventView, ...]:
        """The last events with ids between, oldest first: from the database what the journal has no more."""
        oldest = self._journal.first
        found = self._journal.latest(before, limit, wanted, after)
        missing = limit - len(found)
        if not missing or (oldest is not None and not _reaches_beyond(oldest, wanted, after)):
            return found
        bounds = [ident for ident in (before, None if oldest is None else oldest.id) if ident is not None]
        stored = await self._store.events(after, missing, wanted, min(bounds, default=None), latest=True)
        return (*stored, *found)

    async def flush(self) -> None:
        """Write all there is. Raises StoreUnavailable."""
        while portion := self._journal.entries(self.written, PORTION):
            await self._store.add_events(portion)
            self.written = portion[-1].id


def _reaches_beyond(oldest: EventView, wanted: EventFilter, after: int) -> bool:
    """There may be events of these before the oldest one."""
    return after < oldest.id - 1 and (wanted.since is None or wanted.since < oldest.time)
