"""Dumps of routes in MRT: octets that are written while they are sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from api.export import Allowed, NotAllowedAnyMore

MEDIA_TYPE = "application/octet-stream"
"""MRT has no registered type of its own."""
FILE: dict[str, Any] = {
    "description": "The file, MRT (RFC 6396); `Content-Disposition` names it.",
    "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}, "example": "(octets)"}},
}


STALL = 60.0
"""Seconds in which a reader has to take something: few dumps are under way at a time, others wait for it."""


class NotRead(Exception):
    """The reader stopped reading: the connection breaks."""


class DumpResponse(StreamingResponse):
    """A file in MRT called `name` and the time: the first octets, and the rest while `allowed` says so."""

    def __init__(self, name: str, first: bytes, rest: AsyncGenerator[bytes, None], allowed: Allowed) -> None:
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        headers = {"Content-Disposition": f'attachment; filename="{name}-{moment}.mrt"'}
        self._body = _body(first, rest, allowed)
        super().__init__(self._body, media_type=MEDIA_TYPE, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            try:
                async with asyncio.timeout(STALL):
                    await send(message)
            except TimeoutError:
                raise NotRead(f"nothing of a dump was read for {STALL:.0f} s") from None

        try:
            await super().__call__(scope, receive, send_in_time)
        finally:
            # Now, not when somebody collects garbage: few may be under way at a time.
            await self._body.aclose()


async def _body(
    first: bytes, rest: AsyncGenerator[bytes, None], allowed: Allowed
) -> AsyncGenerator[bytes, None]:
    try:
        yield first
        async for chunk in rest:
            if not await allowed():
                raise NotAllowedAnyMore
            yield chunk
    finally:
        await rest.aclose()
