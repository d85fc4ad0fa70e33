"""How a defect in a background task becomes known: a speaker that nobody serves must not go unnoticed."""

from __future__ import annotations

import asyncio
import logging
from typing import NoReturn

log = logging.getLogger(__name__)


class Failure:
    """The first exception that ended one of several tasks which are never to end by themselves."""

    def __init__(self) -> None:
        self._error: BaseException | None = None
        self._happened = asyncio.Event()

    def watch(self, task: asyncio.Task[None]) -> None:
        """From now on; being cancelled is no failure."""
        task.add_done_callback(self._ended)

    async def wait(self) -> NoReturn:
        """Until one of the tasks failed; raises what ended it."""
        await self._happened.wait()
        assert self._error is not None
        raise self._error

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        # Said at once as well, whether somebody waits or not.
        log.critical("a task of a speaker failed", exc_info=error)
        if self._error is None:
            self._error = error
            self._happened.set()
