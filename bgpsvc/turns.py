"""Work in steps beside everything else that the event loop has to do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

TURN = 0.005
"""Seconds that such work has the event loop for."""


async def in_turns(work: Generator[None, None, T], turn: float = TURN) -> T:
    """Runs a generator to its end, giving the event loop its turn every few milliseconds."""
    turn_ends = time.perf_counter() + turn
    while True:
        try:
            next(work)
        except StopIteration as stop:
            outcome: T = stop.value
            return outcome
        if time.perf_counter() >= turn_ends:
            await asyncio.sleep(0)
            turn_ends = time.perf_counter() + turn
