"""Searches among routes beside everything else: in turns, long ones one after the other.

Each caller has one place in the queue of long ones, however much they ask: nobody waits for more than one
search of everybody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from weakref import WeakValueDictionary

from bgpsvc.queries import RouteQueries
from bgpsvc.route_order import RouteOrder
from bgpsvc.turns import TURN, in_turns
from bgpsvc.views import Page

PATIENT = 0.001
"""Seconds of a turn of work that nobody waits for."""
IDLE = 300.0
"""Seconds after the last search at which nothing of it is kept any more."""


class Searches:
    """Works off the generators of `RouteQueries`, and afterwards what makes the next ones quick."""

    def __init__(self, queries: RouteQueries) -> None:
        self._queries = queries
        self._one_long = asyncio.Lock()
        self._places: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """By caller, while they wait."""
        self._building: dict[RouteOrder, asyncio.Task[None]] = {}
        self._forgetting: asyncio.TimerHandle | None = None

    def stop(self) -> None:
        """End the work that nobody waits for."""
        for task in self._building.values():
            task.cancel()
        if self._forgetting is not None:
            self._forgetting.cancel()

    async def page(self, search: Generator[None, None, Page], caller: str) -> Page:
        """The page that a search finds. Raises what it raises."""
        try:
            found = await self._found(search, caller)
        finally:
            search.close()
            self._forget_later()
        for order in self._queries.due():
            if order not in self._building:
                self._building[order] = asyncio.create_task(self._build(order))
        return found

    def _forget_later(self) -> None:
        if self._forgetting is not None:
            self._forgetting.cancel()
        self._forgetting = asyncio.get_running_loop().call_later(IDLE, self._queries.forget)

    async def _build(self, order: RouteOrder) -> None:
        try:
            await in_turns(order.build(), PATIENT)
        finally:
            del self._building[order]

    async def _found(self, search: Generator[None, None, Page], caller: str) -> Page:
        # Most are found at once and wait for nobody. Of those that take longer each would make all others
        # wait for its turn, and REST with them.
        clock = asyncio.get_running_loop().time
        ends = clock() + TURN
        while clock() < ends:
            try:
                next(search)
            except StopIteration as stop:
                page: Page = stop.value
                return page
        place = self._places.setdefault(caller, asyncio.Lock())
        async with place, self._one_long:
            return await in_turns(search)
