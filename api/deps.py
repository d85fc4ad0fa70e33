"""What the handlers share: the service, list parameters, cursors, conditional requests.

Handlers are `async def` throughout: the service may only be called in the event loop's thread.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Awaitable
from typing import Annotated, TypeVar

from fastapi import Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from api.problems import NotStored
from bgpsvc.control import Control
from bgpsvc.port import InvalidQuery, PreconditionFailed, Service

T = TypeVar("T")

MAX_LIMIT = 1000
MAX_ID = 2**63 - 1
"""Ids of events are far below; a larger number is a mistake, and no index could be that large."""
DEFAULT_LIMIT = 100


async def get_service(request: Request) -> Service:
    """The service that `create_app` was given."""
    service: Service = request.app.state.service
    return service


async def get_control(request: Request) -> Control:
    """What changes the service."""
    control: Control = request.app.state.control
    return control


ServiceDep = Annotated[Service, Depends(get_service)]
ControlDep = Annotated[Control, Depends(get_control)]


class PageQuery(BaseModel):
    """Parameters of every list. Unknown ones are refused: a filter with a typo must not return everything."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(
        default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Most items to return.", examples=[100]
    )
    cursor: str | None = Field(
        default=None,
        max_length=512,
        description="`next_cursor` of the page before; without it the list begins at its start.",
    )


PageDep = Annotated[PageQuery, Query()]


class NoQuery(BaseModel):
    """The query of an operation that has no parameters: whatever is given was meant for something else."""

    model_config = ConfigDict(extra="forbid")


async def no_query(_query: Annotated[NoQuery, Query()]) -> None:
    """Dependency of operations without query parameters: refuses any."""


NO_QUERY = Depends(no_query)


async def stored(change: Awaitable[T]) -> T:
    """The outcome of a change that the service stores first; NotStored if its disk does not take it."""
    try:
        return await change
    except OSError as error:
        raise NotStored(f"the change was not made: {error.strerror or error}") from error


def encode_cursor(key: str) -> str:
    """An opaque cursor: behind the item with this key."""
    return urlsafe_b64encode(key.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """The key of a cursor; InvalidQuery if we did not make it."""
    try:
        key = b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise InvalidQuery("cursor", "is not a cursor of this list") from None
    return key


def quote_etag(etag: str) -> str:
    """An ETag as the header has it."""
    return f'"{etag}"'


def check_if_match(header: str | None, etag: str) -> str | None:
    """The ETag for the service to check, None for any. PreconditionFailed if the header names only others.

    Comparison is strong, so weak ETags never match (RFC 9110 13.1.1).
    """
    if header is None or header.strip() == "*":
        return None
    given = [part.strip() for part in header.split(",")]
    if quote_etag(etag) not in given:
        raise PreconditionFailed(
            f"the resource has changed since it was read: its ETag is now {quote_etag(etag)}"
        )
    return etag
