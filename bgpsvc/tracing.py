"""Traces as the daemon makes them: spans of what takes time and crosses parts of it.

What a trace is sent by is behind `Tracer` (`bgpsvc/otel.py`). Without one, `NOT_TRACED` stands in and costs a
call that does nothing. Attributes carry names and numbers, never secrets.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from bgpsvc.journal import Journal
from bgpsvc.switchboard import Switchboard
from bgpsvc.views import EventView

Attributes = Mapping[str, str | int | float | bool]


class Span(Protocol):
    """One that has begun."""

    def name(self, name: str) -> None:
        """Call it otherwise."""

    def set(self, attributes: Attributes) -> None:
        """More about it."""

    def fail(self, reason: str) -> None:
        """What it was about did not succeed."""

    def end(self) -> None:
        """It is over."""


class Tracer(Protocol):
    """Makes spans."""

    @property
    def on(self) -> bool:
        """Whether anybody looks at them."""

    def span(
        self, name: str, attributes: Attributes | None = None, parent: Mapping[str, str] | None = None
    ) -> AbstractContextManager[Span]:
        """A span around a block; what begins in the block is its child.

        `parent` are the headers of a request that may name the caller's span (W3C Trace Context): it is then
        a span of a server. An exception fails the span and goes on.
        """

    def begin(self, name: str, attributes: Attributes | None = None) -> Span:
        """A child of the span that runs now, which `end` ends."""

    def past(self, name: str, began: float, ended: float, attributes: Attributes) -> None:
        """A trace of its own of what is over; Unix times in seconds."""

    def close(self) -> None:
        """Hand over what is left; takes a second at most."""


class _NoSpan:
    def name(self, name: str) -> None:
        return

    def set(self, attributes: Attributes) -> None:
        return

    def fail(self, reason: str) -> None:
        return

    def end(self) -> None:
        return


class NoTracer:
    """Makes none."""

    @property
    def on(self) -> bool:
        return False

    def span(
        self, name: str, attributes: Attributes | None = None, parent: Mapping[str, str] | None = None
    ) -> AbstractContextManager[Span]:
        return contextlib.nullcontext(_NO_SPAN)

    def begin(self, name: str, attributes: Attributes | None = None) -> Span:
        return _NO_SPAN

    def past(self, name: str, began: float, ended: float, attributes: Attributes) -> None:
        return

    def close(self) -> None:
        return


_NO_SPAN = _NoSpan()
NOT_TRACED = NoTracer()


async def trace_moves(journal: Journal, board: Switchboard, tracer: Tracer) -> None:
    """For ever: a trace of each switchover and failback.

    The engine's goes from when it heard of the reason up to the event, the nexthop groups are replaced in
    between; the guard's from when it had moved the groups, up to when the daemon heard.
    """
    async for event in journal.subscribe(None):
        began = _began(event, board)
        if began is not None:
            told: dict[str, str | int] = {f"bgpsvc.{name}": str(value) for name, value in event.data.items()}
            told |= {
                "bgpsvc.subject": event.subject,
                "bgpsvc.event_id": event.id,
                "bgpsvc.what": event.message,
            }
            tracer.past(event.kind, min(began, event.time), event.time, told)


def _began(event: EventView, board: Switchboard) -> float | None:
    """When what an event tells began, Unix time; None if it is no move of traffic."""
    if event.kind == "guard.switched":
        return event.time - float(event.data.get("heard_ms", 0.0)) / 1000
    if event.kind not in ("connection.switchover", "connection.failback"):
        return None
    switch = board.switches.get(event.subject)
    if switch is None or switch.last_at is None:
        return event.time
    # By the clock of the event: it may have been set since the daemon started.
    return time.time() - (time.monotonic() - switch.last_at)


async def end_when(done: Awaitable[None], span: Span) -> None:
    """End a span when something is done; it fails with what that raises."""
    try:
        await done
    except (OSError, RuntimeError) as error:
        span.fail(str(error))
    finally:
        span.end()
