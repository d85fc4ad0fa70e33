"""The store: resources, accounts, audit log, events and operators' choices in SQLite or PostgreSQL.

All methods raise `control.StoreUnavailable` when the database does not answer; nothing was changed then, and
the next call tries again. A write is on disk when its method returns. Cancelling the caller of a write does
not cancel the write: shield what belongs to it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bgpsvc.control import AuditView, StoreUnavailable
from bgpsvc.port import EVERY_EVENT, EventFilter
from bgpsvc.store import logs, schema, statements
from bgpsvc.store.backend import Backend
from bgpsvc.store.connection import Database
from bgpsvc.store.errors import SecretError, StoreError
from bgpsvc.store.postgresql import Postgresql
from bgpsvc.store.records import (
    REMEMBERED_FOR,
    AuditEntry,
    Batch,
    Pruned,
    Remembered,
    Retention,
    StoredResource,
    StoredToken,
)
from bgpsvc.store.secrets import KeyRing
from bgpsvc.store.sqlite import Sqlite
from bgpsvc.views import EventView

DATABASE_FILE = "bgpsvc.db"
KEY_FILE = "secret.key"
DEFAULT_RETENTION = Retention()
TOUCH_SECONDS = 60.0
PRUNE_ROWS = 2000
"""Rows deleted per transaction, so that other writes get in between."""


class Store:
    """An open store. `clock` gives Unix seconds."""

    def __init__(
        self, database: Database, ring: KeyRing, retention: Retention, clock: Callable[[], float]
    ) -> None:
        self._database = database
        self._ring = ring
        self._retention = retention
        self._clock = clock
        self._touched: dict[str, float] = {}

    @classmethod
    async def open(
        cls,
        url: str | None,
        state_dir: Path,
        *,
        retention: Retention = DEFAULT_RETENTION,
        clock: Callable[[], float] = time.time,
    ) -> Store:
        """Claim, check and migrate the database at `url` (None: SQLite in `state_dir`).

        The keys for secrets are in `state_dir/secret.key` with either database. StoreError says why it
        cannot be used and what to do; StoreInUse that another daemon uses it; SecretError that the keys are
        missing, damaged or readable by others.
        """
        database = Database(_backend(url, state_dir), clock)
        await database.open()
        try:
            in_use = await database.read(statements.keys_in_use)
            ring = _ring(state_dir / KEY_FILE, in_use)
        except StoreUnavailable as error:
            await database.close()
            raise StoreError(str(error)) from None
        except BaseException:
            await database.close()
            raise
        return cls(database, ring, retention, clock)

    async def close(self) -> None:
        """Wait for the write that is going on, then let go of the database. Done twice it does nothing."""
        await self._database.close()

    @property
    def location(self) -> str:
        """The file's path, or the URL without password."""
        return self._database.location

    async def healthy(self) -> str | None:
        """Why the database cannot be used now; None if it can."""
        return await self._database.failing()

    # Resources ----------------------------------------------------------------------------------------------

    async def load(self) -> tuple[StoredResource, ...]:
        """All resources by kind and name, with their secrets. SecretError if one cannot be decrypted."""
        return await self._database.load(lambda c: statements.load_resources(c, self._ring))

    async def write(self, batch: Batch) -> None:
        """All of the batch or nothing.

        A put of version N follows the stored version N-1 (N = 1: there is none), a removal needs a stored
        resource, a remembered key must be new: else WriteConflict.
        """

        async def work(connection: AsyncConnection) -> None:
            await statements.write_resources(connection, batch, self._ring)
            await logs.append_audit(connection, batch.audit)
            await statements.delete_choices(connection, batch.forget)
            if batch.remember is not None:
                await statements.remember(connection, batch.remember, self._clock() - REMEMBERED_FOR)

        await self._database.write(work, decisive=bool(batch.puts or batch.removals))

    async def remembered(self, actor: str, key: str) -> Remembered | None:
        """What the request with this Idempotency-Key came to in the last 24 hours."""
        since = self._clock() - REMEMBERED_FOR
        return await self._database.read(lambda c: statements.find_remembered(c, actor, key, since))

    async def rotate(self, audit: AuditEntry) -> int:
        """Encrypt all secrets with a new key and drop the old ones; returns how many secrets there are.

        Interrupted anywhere, it loses nothing; done again, it finishes.
        """
        await self._in_file(self._ring.add)

        async def work(connection: AsyncConnection) -> int:
            count = await statements.reseal(connection, self._ring)
            await logs.append_audit(connection, (audit,))
            return count

        count = await self._database.write(work)
        # Asked anew: what another transaction put in between may need a key, too.
        in_use = await self._database.read(statements.keys_in_use)
        await self._in_file(lambda: self._ring.keep(in_use))
        return count

    async def _in_file(self, change: Callable[[], object]) -> None:
        try:
            await asyncio.to_thread(change)
        except OSError as error:
            raise StoreUnavailable(f"{self._ring.path}: {error.strerror}") from None

    # Tokens -------------------------------------------------------------------------------------------------

    async def add_token(self, token: StoredToken, audit: AuditEntry) -> None:
        """WriteConflict if there is one of that id."""

        async def work(connection: AsyncConnection) -> None:
            await statements.insert_token(connection, token)
            await logs.append_audit(connection, (audit,))

        await self._database.write(work)

    async def token(self, ident: str) -> StoredToken | None:
        """The token of that id, revoked and expired ones too."""
        return await self._database.read(lambda c: statements.find_token(c, ident))

    async def tokens(self, after: str | None, limit: int) -> tuple[StoredToken, ...]:
        """Tokens by id, those behind `after`."""
        return await self._database.read(lambda c: statements.list_tokens(c, after, limit))

    async def revoke_token(self, ident: str, at: float, audit: AuditEntry) -> StoredToken | None:
        """End a token; None if there is none. One that is revoked already stays as it is, without entry."""

        async def work(connection: AsyncConnection) -> StoredToken | None:
            if await statements.mark_revoked(connection, ident, at):
                await logs.append_audit(connection, (audit,))
            return await statements.find_token(connection, ident)

        return await self._database.write(work)

    async def touch_token(self, ident: str, at: float) -> None:
        """Note that a token was used; stored once a minute."""
        if at - self._touched.get(ident, float("-inf")) < TOUCH_SECONDS:
            return
        self._touched[ident] = at
        await self._database.write(lambda c: statements.mark_used(c, ident, at))

    # Audit log ----------------------------------------------------------------------------------------------

    async def audit(
        self,
        before: int | None,
        limit: int,
        kind: str | None = None,
        name: str | None = None,
        actor: str | None = None,
    ) -> tuple[AuditView, ...]:
        """Entries with an id below `before`, newest first."""
        filters = {"kind": kind, "name": name, "actor": actor}
        return await self._database.read(lambda c: logs.read_audit(c, before, limit, filters))

    async def add_audit(self, entries: Iterable[AuditEntry]) -> None:
        """Add entries that belong to no other write."""
        given = tuple(entries)
        await self._database.write(lambda c: logs.append_audit(c, given))

    # Operators' choices -------------------------------------------------------------------------------------

    async def choices(self) -> Mapping[tuple[str, str], Mapping[str, Any]]:
        """What operators chose, by (`auto_propagate` or `switch`, name of the resource)."""
        return await self._database.read(statements.load_choices)

    async def set_choice(
        self, kind: str, name: str, value: Mapping[str, Any] | None, audit: AuditEntry
    ) -> None:
        """Remember a choice, or forget it (None)."""

        async def work(connection: AsyncConnection) -> None:
            await statements.save_choice(connection, kind, name, value)
            await logs.append_audit(connection, (audit,))

        await self._database.write(work)

    # Events -------------------------------------------------------------------------------------------------

    async def add_events(self, events: Iterable[EventView]) -> None:
        """Add events under the ids that they have. Those that are there already are left out."""
        given = tuple(events)
        await self._database.write(lambda c: logs.append_events(c, given))

    async def events(
        self,
        after: int,
        limit: int,
        wanted: EventFilter = EVERY_EVENT,
        before: int | None = None,
        latest: bool = False,
    ) -> tuple[EventView, ...]:
        """Events with ids above `after` and below `before`, oldest first: the first `limit` of them, or the
        last with `latest`."""
        return await self._database.read(lambda c: logs.read_events(c, after, limit, wanted, before, latest))

    async def last_event_id(self) -> int | None:
        """The largest id of an event; None before the first."""
        return await self._database.read(logs.last_event)

    # Retention ----------------------------------------------------------------------------------------------

    async def prune(self, now: float) -> Pruned:
        """Take away what is too old or too much, in small transactions. `now` in Unix seconds."""
        kept = self._retention
        events, audit, remembered = schema.events, schema.audit, schema.remembered
        refused = audit.c.action == logs.REFUSED
        newest = events.c.id < select(func.max(events.c.id)).scalar_subquery()
        return Pruned(
            await self._delete(events, (events.c.time < now - kept.events_age) & newest)
            + await self._shorten(events, kept.events),
            await self._delete(audit, audit.c.time < now - kept.audit_age)
            + await self._shorten(audit, kept.refusals, refused)
            + await self._shorten(audit, kept.audit),
            await self._delete(remembered, remembered.c.time <= now - REMEMBERED_FOR)
            + await self._oldest_remembered(kept.remembered),
        )

    async def _shorten(self, table: Table, kept: int, *among: ColumnElement[bool]) -> int:
        last = await self._database.read(lambda c: logs.excess(c, table, kept, *among))
        if last is None:
            return 0
        which = table.c.id <= last
        for condition in among:
            which = which & condition
        return await self._delete(table, which)

    async def _oldest_remembered(self, kept: int) -> int:
        table = schema.remembered
        times = select(table.c.time).order_by(table.c.time.desc()).offset(kept).limit(1)

        async def bound(connection: AsyncConnection) -> float | None:
            return (await connection.execute(times)).scalar_one_or_none()

        last = await self._database.read(bound)
        return 0 if last is None else await self._delete(table, table.c.time <= last)

    async def _delete(self, table: Table, which: ColumnElement[bool]) -> int:
        total = 0
        while True:
            count = await self._database.write(lambda c: logs.delete_some(c, table, which, PRUNE_ROWS))
            total += count
            if count < PRUNE_ROWS:
                return total


def _backend(url: str | None, state_dir: Path) -> Backend:
    if url is None:
        return Sqlite(state_dir / DATABASE_FILE)
    if url.startswith(("postgresql://", "postgres://")):
        return Postgresql(url)
    if url.startswith("sqlite:///"):
        return Sqlite(Path(url.removeprefix("sqlite:///")))
    raise StoreError(
        f"the database URL begins with {url.split(':')[0]!r}."
        " Allowed: postgresql://USER@HOST/DATABASE, sqlite:////PATH, or none (SQLite in the state directory)."
    )


def _ring(path: Path, in_use: frozenset[str]) -> KeyRing:
    try:
        ring = KeyRing.load(path)
    except FileNotFoundError:
        if in_use:
            raise SecretError(KeyRing(path, {}).missing(in_use)) from None
        ring = KeyRing.create(path)
    except OSError as error:
        raise SecretError(f"{path}: {error.strerror}") from None
    lacking = in_use - set(ring.ids)
    if lacking:
        raise SecretError(ring.missing(lacking))
    return ring
