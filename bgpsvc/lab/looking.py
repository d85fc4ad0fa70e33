"""Looking until something is so, or saying what was there instead."""

from __future__ import annotations

import time
from collections.abc import Callable

Look = Callable[[], bool | str]
"""True, or what is there instead, in words."""
PAUSE = 0.05
"""Seconds between two looks, at least."""


class StepFailed(Exception):
    """A step did not hold: what should have been, and what was."""

    def __init__(self, expected: str, seen: str) -> None:
        super().__init__(f"expected: {expected}; seen: {seen}")
        self.expected = expected
        self.seen = seen


def look_until(expected: str, look: Look, seconds: float, between: Callable[[], None] | None = None) -> None:
    """Looks until it is True; StepFailed if it is not so in time. `between` is called after each vain look.

    The pause grows with the cost of a look, which may dump whole tables.
    """
    deadline = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        seen = look()
        if seen is True:
            return
        now = time.monotonic()
        if between is not None:
            between()
        if now > deadline:
            raise StepFailed(expected, str(seen))
        time.sleep(max(PAUSE, now - began))
