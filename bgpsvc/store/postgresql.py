"""PostgreSQL by URL.

A session-level advisory lock keeps other daemons out. It hangs on the very connection that writes: where
the connection is lost, so is the lock, and no write can happen without it.
"""

from __future__ import annotations

import os
import socket
from urllib.parse import parse_qs, urlsplit

import asyncpg
from sqlalchemy import NullPool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from bgpsvc.store.backend import ENGINE, Migrate, reason
from bgpsvc.store.errors import StoreError, StoreInUse

CONNECT_TIMEOUT = 10.0
COMMAND_TIMEOUT = 30.0
LOCK_TIMEOUT_MS = 3000
"""A killed daemon's connection may take a moment to end at the server."""

_LOCK = "(1111974739, hashtext(current_schema()))"
_LOCK_NOT_AVAILABLE = "55P03"
_HOLDER = text(
    "SELECT a.application_name, a.client_addr FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
    " WHERE l.locktype = 'advisory' AND l.granted AND l.classid = 1111974739"
    " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND l.objid::bigint = hashtext(current_schema())::bigint & 4294967295"
)


class Postgresql:
    """A database on a server; see `backend.Backend`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._location = _without_password(url)

    @property
    def location(self) -> str:
        """The URL without password."""
        return self._location

    def claim(self) -> None:
        """Nothing to do: connections are claimed."""

    def release(self) -> None:
        """Nothing to do: the lock ends with the connection."""

    async def create(self, migrate: Migrate) -> None:
        """Nothing to do: the migration makes the tables, the administrator made the database."""

    def writer(self) -> AsyncEngine:
        """An engine without pool."""
        return create_async_engine(
            "postgresql+asyncpg://", async_creator=self._connect, poolclass=NullPool, **ENGINE
        )

    def readers(self) -> AsyncEngine:
        """A small pool; connections that the server ended meanwhile are replaced unseen."""
        return create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            pool_size=4,
            max_overflow=0,
            pool_timeout=CONNECT_TIMEOUT,
            pool_pre_ping=True,
            **ENGINE,
        )

    async def _connect(self) -> asyncpg.Connection:
        settings = {
            "application_name": f"bgpsvc on {socket.gethostname()[:32]} (pid {os.getpid()})",
            # Whatever the server's default is: what is acknowledged is on disk.
            "synchronous_commit": "on",
        }
        try:
            return await asyncpg.connect(
                self._url, timeout=CONNECT_TIMEOUT, command_timeout=COMMAND_TIMEOUT, server_settings=settings
            )
        except ValueError as error:
            raise StoreError(f"{self._location}: the URL cannot be used: {type(error).__name__}") from None

    async def claim_connection(self, connection: AsyncConnection) -> None:
        """Take the advisory lock."""
        try:
            async with connection.begin():
                await connection.exec_driver_sql(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
                await connection.exec_driver_sql(f"SELECT pg_advisory_lock{_LOCK}")
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            async with connection.begin():
                holder = (await connection.execute(_HOLDER)).first()
            who = "another daemon" if holder is None else f"{holder[0]}, address {holder[1] or 'local'},"
            raise StoreInUse(f"{who} uses {self._location}") from None

    async def is_lost(self, connection: AsyncConnection) -> bool:
        """The server has hung up, or the driver has."""
        if connection.closed or connection.invalidated:
            return True
        driver = (await connection.get_raw_connection()).driver_connection
        return driver is None or bool(driver.is_closed())

    async def check(self, connection: AsyncConnection) -> None:
        """The server checks itself; here only that it takes any text and keeps what it acknowledges."""
        async with connection.begin():
            encoding = (await connection.exec_driver_sql("SHOW server_encoding")).scalar_one()
            synced = (await connection.exec_driver_sql("SHOW fsync")).scalar_one()
        if encoding != "UTF8":
            raise StoreError(
                f"{self._location} has encoding {encoding}. Allowed: UTF8."
                " Run: createdb --encoding UTF8 --template template0 NAME"
            )
        if synced != "on":
            raise StoreError(
                f"{self._location}: the server runs with fsync = {synced} and may lose what it acknowledged."
                " Set fsync = on in its postgresql.conf."
            )

    def refusal(self, error: BaseException) -> StoreError:
        """The server's words."""
        return StoreError(f"cannot use {self._location}: {reason(error)}")

    def check_in_place(self) -> None:
        """Nothing to do: an exchanged database ends its connections."""


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    socket_dir = parse_qs(parts.query).get("host", [""])[0]
    shown = f"{user.split(':')[0]}{at}{host}{parts.path}"
    return f"postgresql://{shown}" + (f"?host={socket_dir}" if socket_dir else "")
