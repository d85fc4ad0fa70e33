"""How late the event loop is: what REST, the speakers and the kernel's notices wait for behind other work."""

from __future__ import annotations

import asyncio
import time

from bgpsvc.measuring.histogram import Histogram

INTERVAL = 0.25
"""Seconds between two looks: cheap, and of a longer hang all but a quarter second is seen for certain."""
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class LoopLag:
    """Looks, in the running loop, how much later than asked for it gets its turn."""

    def __init__(self) -> None:
        self.histogram = Histogram(BOUNDS)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._look(), name="loop lag")

    def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _look(self) -> None:
        while True:
            due = time.monotonic() + INTERVAL
            await asyncio.sleep(INTERVAL)
            self.histogram.observe(max(0.0, time.monotonic() - due))
