"""Changes on their way into kernel and speakers: numbered, taken together where they come quickly, retried.

A change is *done* when a pass that began after it has succeeded. Passes run one at a time, and each
takes over whatever is newest, so a hundred quick writes cost a few passes.
"""

from __future__ import annotations

import asyncio

from bgpsvc.model import SessionId


class Settling:
    """Numbers of changes: requested, done, and why the rest is stuck. `retry`: seconds to the next try."""

    def __init__(self, retry: float) -> None:
        self._retry = retry
        self._requested = 0
        self._made_anew: frozenset[SessionId] = frozenset()
        self._asked = asyncio.Event()
        self._moved = asyncio.Event()
        self._error: Exception | None = None
        self._failed_at = 0
        self.done = 0

    @property
    def problem(self) -> str | None:
        """Why the last pass failed, until one succeeds."""
        return None if self._error is None else str(self._error)

    def request(self, made_anew: frozenset[SessionId]) -> int:
        """One more change, with the sessions whose records it made anew; returns its number."""
        self._requested += 1
        self._made_anew |= made_anew
        self._asked.set()
        return self._requested

    async def next(self) -> tuple[int, frozenset[SessionId]]:
        """Wait until there is something to do: what to do a pass for.

        After a failure that is at the latest when it is time to try again.
        """
        if self._error is not None:
            try:
                await asyncio.wait_for(self._asked.wait(), self._retry)
            except TimeoutError:
                self._asked.set()
        await self._asked.wait()
        self._asked.clear()
        made_anew, self._made_anew = self._made_anew, frozenset()
        return self._requested, made_anew

    def succeeded(self, number: int) -> None:
        """The pass for changes up to `number` is over."""
        self.done = number
        self._error = None
        self._tell()

    def failed(self, number: int, error: Exception, made_anew: frozenset[SessionId]) -> None:
        """The pass did not do it all; `made_anew` is told with the next one."""
        self._made_anew |= made_anew
        self._error = error
        self._failed_at = number
        self._tell()

    def _tell(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def wait(self, number: int) -> None:
        """Until a change is done; raises what kept a pass that included it from succeeding."""
        while self.done < number:
            if self._error is not None and self._failed_at >= number:
                raise self._error
            await self._moved.wait()
