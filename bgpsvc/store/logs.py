"""Audit log and events: append, read backwards or on, and keep within bounds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Table, delete, func, insert, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from bgpsvc.control import AuditView
from bgpsvc.port import EventFilter
from bgpsvc.store import schema
from bgpsvc.store.records import AuditEntry
from bgpsvc.store.statements import chunks, clean, rows, upsert
from bgpsvc.views import EventView

LARGEST_ID = 2**63 - 1
REFUSED = "authentication.failed"


def bounded(ident: int) -> int:
    """An id from outside, within what the databases can compare."""
    return max(0, min(ident, LARGEST_ID))


async def append_audit(connection: AsyncConnection, entries: Iterable[AuditEntry]) -> None:
    """Add entries in their order."""
    records = (
        {
            "time": entry.time,
            "actor": clean(entry.actor),
            "source": clean(entry.source),
            "action": clean(entry.action),
            "kind": None if entry.kind is None else clean(entry.kind),
            "name": None if entry.name is None else clean(entry.name),
            "old": entry.old,
            "new": entry.new,
        }
        for entry in entries
    )
    for chunk in chunks(records):
        await connection.execute(insert(schema.audit), chunk)


async def read_audit(
    connection: AsyncConnection, before: int | None, limit: int, filters: dict[str, str | None]
) -> tuple[AuditView, ...]:
    """Entries with an id below `before` that have these values, newest first."""
    table = schema.audit
    statement = select(table).order_by(table.c.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(table.c.id < bounded(before))
    for column, value in filters.items():
        if value is not None:
            statement = statement.where(table.c[column] == clean(value))
    found: list[AuditView] = []
    async for chunk in rows(connection, statement):
        found += (
            AuditView(
                row.id, row.time, row.actor, row.source, row.action, row.kind, row.name, row.old, row.new
            )
            for row in chunk
        )
    return tuple(found)


async def append_events(connection: AsyncConnection, events: Iterable[EventView]) -> None:
    """Add events; those whose id is there already are left out, so that adding can be repeated."""
    records = (
        {
            "id": event.id,
            "time": event.time,
            "kind": event.kind,
            "severity": event.severity,
            "subject": clean(event.subject),
            "message": clean(event.message),
            "data": event.data,
        }
        for event in events
    )
    statement = upsert(connection, schema.events).on_conflict_do_nothing(index_elements=["id"])
    for chunk in chunks(records):
        await connection.execute(statement, chunk)


async def read_events(
    connection: AsyncConnection,
    after: int,
    limit: int,
    wanted: EventFilter,
    before: int | None,
    latest: bool,
) -> tuple[EventView, ...]:
    """Events with ids between, oldest first: the first `limit` of them, or the last with `latest`."""
    table = schema.events
    statement = select(table).order_by(table.c.id.desc() if latest else table.c.id).limit(limit)
    statement = statement.where(table.c.id > bounded(after), *_conditions(wanted))
    if before is not None:
        statement = statement.where(table.c.id < bounded(before))
    found: list[EventView] = []
    async for chunk in rows(connection, statement):
        found += (
            EventView(row.id, row.time, row.kind, row.severity, row.subject, row.message, row.data)
            for row in chunk
        )
    return tuple(reversed(found) if latest else found)


def _conditions(wanted: EventFilter) -> list[ColumnElement[bool]]:
    columns = schema.events.c
    chosen = (
        (columns.kind, wanted.kinds),
        (columns.subject, wanted.subjects),
        (columns.severity, wanted.severities),
    )
    made: list[ColumnElement[bool]] = []
    made += [column.in_(sorted(map(clean, values))) for column, values in chosen if values is not None]
    if wanted.since is not None:
        made.append(columns.time >= wanted.since)
    if wanted.until is not None:
        made.append(columns.time < wanted.until)
    return made


async def last_event(connection: AsyncConnection) -> int | None:
    """The largest id of an event."""
    last: int | None = (await connection.execute(select(func.max(schema.events.c.id)))).scalar_one()
    return last


async def excess(
    connection: AsyncConnection, table: Table, kept: int, *among: ColumnElement[bool]
) -> int | None:
    """The id up to which entries are more than `kept`; None if they are not."""
    ids = select(table.c.id).where(*among).order_by(table.c.id.desc()).offset(kept).limit(1)
    last: int | None = (await connection.execute(ids)).scalar_one_or_none()
    return last


async def delete_some(
    connection: AsyncConnection, table: Table, which: ColumnElement[bool], limit: int
) -> int:
    """Delete up to `limit` rows, whose key is the primary key's columns; returns how many."""
    key: list[Any] = list(table.primary_key.columns)
    victims = select(*key).where(which).limit(limit)
    chosen = key[0].in_(victims) if len(key) == 1 else tuple_(*key).in_(victims)
    return (await connection.execute(delete(table).where(chosen))).rowcount
