"""Server-sent events of the event log.

A stream ends when the client goes or the server closes: uvicorn waits for open responses before it
stops, so an endless one has to be told (`api.server` sets the event `closing`). Comment lines keep
idle connections open through proxies and let a dead client be noticed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

import orjson

from api.render import plain
from bgpsvc.port import EventFilter, Service
from bgpsvc.views import EventView

RECONNECT_MS = 2000
KEEP_ALIVE = b": keep-alive\n\n"


def frame(event: EventView) -> bytes:
    """One event as a message; its id lets a client resume behind it."""
    data = orjson.dumps(plain(event), default=dict)
    return b"id: %d\ndata: %b\n\n" % (event.id, data)


async def stream(
    service: Service,
    after: int | None,
    wanted: EventFilter,
    closing: asyncio.Event,
    keep_alive: float,
    allowed: Callable[[], Awaitable[bool]],
) -> AsyncGenerator[bytes, None]:
    """The events behind `after` (None: from now on), until `closing` is set or `allowed` says no.

    Every `keep_alive` seconds without one of those that are `wanted` a comment is sent, and every so many
    seconds `allowed` is asked.
    """
    source = aiter(service.subscribe(after))
    pending = asyncio.ensure_future(anext(source, None))
    closed = asyncio.ensure_future(closing.wait())
    clock = asyncio.get_running_loop().time
    asked = said = clock()
    try:
        yield f"retry: {RECONNECT_MS}\n\n".encode()
        while not closing.is_set():
            done, _ = await asyncio.wait(
                {pending, closed}, timeout=keep_alive, return_when=asyncio.FIRST_COMPLETED
            )
            if clock() - asked >= keep_alive:
                asked = clock()
                if not await allowed():
                    return
            if not done or clock() - said >= keep_alive:
                yield KEEP_ALIVE
                said = clock()
            if pending in done:
                event = pending.result()
                if event is None:
                    return
                pending = asyncio.ensure_future(anext(source, None))
                if wanted.takes(event):
                    yield frame(event)
                    said = clock()
    finally:
        pending.cancel()
        closed.cancel()
        # Cancelling a pending anext() ends the subscription's generator; wait for that.
        await asyncio.gather(pending, closed, return_exceptions=True)
