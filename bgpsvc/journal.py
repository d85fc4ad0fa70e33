"""The event log: a bounded list of what happened, with streams that can be resumed.

A slow subscriber never holds up the engine: each reads from the shared log at its own pace, and one
that falls behind what is kept continues with the oldest entry kept (ids show the gap).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from itertools import dropwhile, islice, takewhile
from typing import Any

from bgpsvc.port import EVERY_EVENT, EventFilter
from bgpsvc.views import EventKind, EventView, Severity

KEPT = 10_000


class Journal:
    """Events with rising ids. `first_id` carries the numbering over a restart, `former` the last events."""

    def __init__(self, first_id: int = 1, kept: int = KEPT, former: Iterable[EventView] = ()) -> None:
        self._entries: deque[EventView] = deque(former, maxlen=kept)
        self._next = first_id
        self.stored = first_id - 1
        """Up to this id events are those of former lives."""
        self._news = asyncio.Event()
        self.counts: dict[Severity, int] = {"info": 0, "warning": 0, "error": 0}
        """Events since the daemon started."""

    def add(
        self,
        time: float,
        kind: EventKind,
        severity: Severity,
        subject: str,
        message: str,
        data: Mapping[str, Any] | None = None,
    ) -> EventView:
        """Append an event; `time` in Unix seconds."""
        event = EventView(self._next, time, kind, severity, subject, message, data or {})
        self._next += 1
        self.counts[severity] += 1
        self._entries.append(event)
        self._news.set()
        self._news = asyncio.Event()
        return event

    @property
    def first(self) -> EventView | None:
        """The oldest event that is held here."""
        return self._entries[0] if self._entries else None

    @property
    def last(self) -> int:
        """Id of the newest event, whether it is held here or not."""
        return self._next - 1

    @property
    def oldest(self) -> int | None:
        """Its id."""
        return self._entries[0].id if self._entries else None

    def entries(self, after: int, limit: int, wanted: EventFilter = EVERY_EVENT) -> tuple[EventView, ...]:
        """The first `limit` events behind id `after`, oldest first."""
        return tuple(islice(filter(wanted.takes, self._behind(after)), limit))

    def latest(
        self, before: int | None, limit: int, wanted: EventFilter = EVERY_EVENT, after: int = 0
    ) -> tuple[EventView, ...]:
        """The last `limit` events with ids between `after` and `before` (None: of all), oldest first."""
        behind: Iterator[EventView] = reversed(self._entries)
        if before is not None:
            behind = dropwhile(lambda event: event.id >= before, behind)
        between = takewhile(lambda event: event.id > after, behind)
        return tuple(islice(filter(wanted.takes, between), limit))[::-1]

    def _behind(self, after: int) -> list[EventView]:
        # From the newest on: each of many subscribers asks for the last one or two of thousands.
        return list(takewhile(lambda event: event.id > after, reversed(self._entries)))[::-1]

    async def beyond(self, last: int) -> None:
        """Until there is an event with an id above `last`."""
        while not self._entries or self._entries[-1].id <= last:
            await self._news.wait()

    async def subscribe(self, after: int | None) -> AsyncIterator[EventView]:
        """Endless stream of the events behind id `after` (kept ones at once), or from now on."""
        # An id from the future (the clock was set back between two lives) says nothing: begin at the start.
        last = self._next - 1 if after is None else after if after < self._next else 0
        while True:
            news = self._news
            for event in self._behind(last):
                last = event.id
                yield event
            if self._next - 1 <= last:
                await news.wait()
