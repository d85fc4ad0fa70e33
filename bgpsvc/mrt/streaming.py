"""Dumps beside everything else that the event loop has to do: in turns, a few at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Generator

from bgpsvc.port import TooManyDumps
from bgpsvc.turns import TURN

AT_ONCE = 4
"""Dumps that are written at a time: each keeps references to all prefixes while its reader takes its time."""
CHUNK = 256 * 1024
"""Octets that a reader gets at once, at most about."""


class Dumps:
    """Drives dumps. All of them together have the event loop for no longer than one turn in a row."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._running = 0

    def check(self) -> None:
        """TooManyDumps if no more can be written now."""
        if self._running >= AT_ONCE:
            raise TooManyDumps(f"{AT_ONCE} dumps are being read already; wait until one of them is through")

    async def written(self, work: Generator[bytes, None, None]) -> AsyncGenerator[bytes, None]:
        """What the generator makes, in chunks; closed with this. Raises what it raises, and TooManyDumps."""
        self.check()
        self._running += 1
        try:
            while chunk := await self._next(work):
                yield chunk
        finally:
            self._running -= 1
            work.close()

    async def _next(self, work: Generator[bytes, None, None]) -> bytes:
        """Some octets; none at the end."""
        while True:
            parts: list[bytes] = []
            size = 0
            async with self._turn:
                ends = time.perf_counter() + TURN
                while size < CHUNK and time.perf_counter() < ends:
                    part = next(work, None)
                    if part is None:
                        return b"".join(parts)
                    parts.append(part)
                    size += len(part)
                # With the turn kept: others that wait for it go on after those who wait for nothing.
                await asyncio.sleep(0)
            if size:
                return b"".join(parts)
