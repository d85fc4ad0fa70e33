"""What the two databases have to offer each in its own way."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

import asyncpg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bgpsvc.store.errors import StoreError

UNAVAILABLE = (DBAPIError, NoConnectionFree, OSError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""How drivers say that a database does not do what it is asked (TimeoutError is an OSError)."""

Migrate = Callable[[Connection], None]


class Backend(Protocol):
    """One database. A `writer` engine has one connection, on which the claim to be the only daemon hangs."""

    @property
    def location(self) -> str:
        """Where it is, without passwords."""

    def claim(self) -> None:
        """Keep other daemons out. Raises StoreInUse, StoreError."""

    def release(self) -> None:
        """Let others in. Done twice it does nothing."""

    async def create(self, migrate: Migrate) -> None:
        """Make the database if there is none, whole or not at all."""

    def writer(self) -> AsyncEngine: ...

    def readers(self) -> AsyncEngine: ...

    async def claim_connection(self, connection: AsyncConnection) -> None:
        """Called with each new connection of the writer, before it is used. Raises StoreInUse."""

    async def is_lost(self, connection: AsyncConnection) -> bool:
        """True if it is known without asking that the connection has ended."""

    async def check(self, connection: AsyncConnection) -> None:
        """Called at start. StoreError if the database is damaged or cannot keep what it's given."""

    def refusal(self, error: BaseException) -> StoreError:
        """What to say of a driver's error at start."""

    def check_in_place(self) -> None:
        """StoreUnavailable if the database was exchanged for another one meanwhile."""


def reason(error: BaseException) -> str:
    """One line about an error of a driver, without the values that the statement had."""
    cause: BaseException = getattr(error, "orig", None) or error
    # The adapter's own text repeats the class; a PostgreSQL error's further lines may show a whole row.
    cause = cause.__cause__ or cause
    text = str(cause) if isinstance(cause, OSError) or not cause.args else str(cause.args[0])
    return text.splitlines()[0] if text.strip() else type(cause).__name__


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


ENGINE: Mapping[str, Any] = {
    # The values of a statement are secrets and whole documents: they belong in no message.
    "hide_parameters": True,
    "json_serializer": partial(json.dumps, allow_nan=False, separators=(",", ":"), default=_plain),
}
"""Options of every engine."""
