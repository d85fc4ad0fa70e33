"""Resources, tokens, choices and remembered requests: what is done with them inside a transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import delete, func, insert, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from bgpsvc.store import schema
from bgpsvc.store.errors import WriteConflict
from bgpsvc.store.records import Batch, Remembered, StoredResource, StoredToken
from bgpsvc.store.secrets import KeyRing, Sealed

CHUNK = 400
"""Rows per statement: bounds the time that the event loop spends on one of them."""

Key = tuple[str, str]
T = TypeVar("T")


def clean(value: str) -> str:
    """Text that both databases take: NUL and lone surrogates are spelled out."""
    return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def chunks(items: Iterable[T], size: int = CHUNK) -> Iterable[list[T]]:
    """The items in lists of `size`."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def upsert(connection: AsyncConnection, table: Any) -> Any:
    """An INSERT of the connection's dialect, with `on_conflict_…`."""
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


async def rows(connection: AsyncConnection, statement: Any) -> AsyncIterator[Sequence[Any]]:
    """The rows of a statement in chunks, so that other tasks have their turn."""
    async with connection.stream(statement) as result:
        async for chunk in result.partitions(CHUNK):
            yield chunk


# Resources --------------------------------------------------------------------------------------------------


async def load_resources(connection: AsyncConnection, ring: KeyRing) -> tuple[StoredResource, ...]:
    """All resources in order of kind and name, secrets decrypted."""
    found: dict[Key, dict[str, str]] = {}
    async for chunk in rows(connection, select(schema.secrets)):
        for row in chunk:
            sealed = Sealed(row.key_id, row.nonce, row.ciphertext)
            clear = ring.unseal((row.kind, row.name, row.pointer), sealed)
            found.setdefault((row.kind, row.name), {})[row.pointer] = clear
    table = schema.resources
    resources: list[StoredResource] = []
    async for chunk in rows(connection, select(table).order_by(table.c.kind, table.c.name)):
        resources += (
            StoredResource(
                row.kind,
                row.name,
                row.document,
                found.get((row.kind, row.name), {}),
                row.version,
                row.created_at,
                row.updated_at,
            )
            for row in chunk
        )
    return tuple(resources)


async def write_resources(connection: AsyncConnection, batch: Batch, ring: KeyRing) -> None:
    """Puts and removals of a batch. WriteConflict if a stored version is not the one that a put follows."""
    touched = [(put.kind, put.name) for put in batch.puts] + list(batch.removals)
    if len(set(touched)) < len(touched):
        raise ValueError("a batch names a resource twice")
    stored = await _versions(connection, touched)
    for put in batch.puts:
        if stored.get((put.kind, put.name), 0) != put.version - 1:
            raise _conflict(put.kind, put.name, stored, f"{put.version - 1 or 'none'}")
    for key in batch.removals:
        if key not in stored:
            raise _conflict(*key, stored, "any")
    table = schema.resources
    await _delete(connection, table, batch.removals)
    replaced = [put for put in batch.puts if put.version > 1]
    await _delete(connection, schema.secrets, [(put.kind, put.name) for put in replaced])
    for chunk in chunks([_row(put) for put in batch.puts if put.version == 1]):
        await connection.execute(insert(table), chunk)
    for put in replaced:
        row = _row(put)
        await connection.execute(
            update(table).where(table.c.kind == row.pop("kind"), table.c.name == row.pop("name")).values(row)
        )
    sealed = (
        _sealed_row((put.kind, put.name, pointer), ring, secret)
        for put in batch.puts
        for pointer, secret in put.secrets.items()
    )
    for secrets in chunks(sealed):
        await connection.execute(insert(schema.secrets), secrets)


async def reseal(connection: AsyncConnection, ring: KeyRing) -> int:
    """Encrypt all secrets with the newest key; returns how many there are."""
    table = schema.secrets
    count, last = 0, ("", "", "")
    key = tuple_(table.c.kind, table.c.name, table.c.pointer)
    while True:
        page = select(table).where(key > last).order_by(table.c.kind, table.c.name, table.c.pointer)
        chunk = (await connection.execute(page.limit(CHUNK))).all()
        if not chunk:
            return count
        fresh = []
        for row in chunk:
            identity = (row.kind, row.name, row.pointer)
            clear = ring.unseal(identity, Sealed(row.key_id, row.nonce, row.ciphertext))
            fresh.append(_sealed_row(identity, ring, clear))
        last = (chunk[-1].kind, chunk[-1].name, chunk[-1].pointer)
        insertion = upsert(connection, table)
        changed = {name: insertion.excluded[name] for name in ("key_id", "nonce", "ciphertext")}
        await connection.execute(
            insertion.on_conflict_do_update(index_elements=["kind", "name", "pointer"], set_=changed), fresh
        )
        count += len(chunk)


async def keys_in_use(connection: AsyncConnection) -> frozenset[str]:
    """Ids of the keys that stored secrets are encrypted with."""
    return frozenset((await connection.execute(select(schema.secrets.c.key_id).distinct())).scalars())


async def _versions(connection: AsyncConnection, keys: Sequence[Key]) -> dict[Key, int]:
    table = schema.resources
    found: dict[Key, int] = {}
    for chunk in chunks(keys):
        wanted = tuple_(table.c.kind, table.c.name).in_(chunk)
        for row in await connection.execute(
            select(table.c.kind, table.c.name, table.c.version).where(wanted)
        ):
            found[row.kind, row.name] = row.version
    return found


async def _delete(connection: AsyncConnection, table: Any, keys: Sequence[Key]) -> None:
    for chunk in chunks(keys):
        await connection.execute(delete(table).where(tuple_(table.c.kind, table.c.name).in_(chunk)))


def _conflict(kind: str, name: str, stored: Mapping[Key, int], expected: str) -> WriteConflict:
    found = stored.get((kind, name))
    return WriteConflict(f"{kind} {name}: stored version is {found or 'none'}, expected {expected}")


def _row(resource: StoredResource) -> dict[str, Any]:
    return {
        "kind": resource.kind,
        "name": resource.name,
        "document": resource.document,
        "version": resource.version,
        "created_at": resource.created_at,
        "updated_at": resource.updated_at,
    }


def _sealed_row(identity: tuple[str, str, str], ring: KeyRing, secret: str) -> dict[str, Any]:
    sealed = ring.seal(identity, secret)
    kind, name, pointer = identity
    return {
        "kind": kind,
        "name": name,
        "pointer": pointer,
        "key_id": sealed.key_id,
        "nonce": sealed.nonce,
        "ciphertext": sealed.ciphertext,
    }


# Requests that are done once --------------------------------------------------------------------------------


async def find_remembered(
    connection: AsyncConnection, actor: str, key: str, not_before: float
) -> Remembered | None:
    """What a request came to, if that was not before a time."""
    table = schema.remembered
    wanted = (table.c.actor == clean(actor), table.c.key == clean(key), table.c.time > not_before)
    row = (await connection.execute(select(table).where(*wanted))).first()
    return None if row is None else Remembered(actor, key, row.fingerprint, row.outcome, row.time)


async def remember(connection: AsyncConnection, entry: Remembered, not_before: float) -> None:
    """Keep it in place of one from before `not_before`; IntegrityError if there is a later one."""
    table = schema.remembered
    actor, key = clean(entry.actor), clean(entry.key)
    await connection.execute(
        delete(table).where(table.c.actor == actor, table.c.key == key, table.c.time <= not_before)
    )
    values = {"fingerprint": entry.fingerprint, "outcome": entry.outcome, "time": entry.time}
    await connection.execute(insert(table).values(actor=actor, key=key, **values))


# Operators' choices -----------------------------------------------------------------------------------------


async def load_choices(connection: AsyncConnection) -> dict[Key, Mapping[str, Any]]:
    """All of them by kind and name."""
    return {(row.kind, row.name): row.value for row in await connection.execute(select(schema.choices))}


async def save_choice(
    connection: AsyncConnection, kind: str, name: str, value: Mapping[str, Any] | None
) -> None:
    """Store it, or forget it (None)."""
    table = schema.choices
    if value is None:
        await connection.execute(delete(table).where(table.c.kind == kind, table.c.name == name))
    else:
        insertion = upsert(connection, table).values(kind=kind, name=name, value=value)
        await connection.execute(
            insertion.on_conflict_do_update(index_elements=["kind", "name"], set_={"value": value})
        )


async def delete_choices(connection: AsyncConnection, keys: Sequence[Key]) -> None:
    """Forget these, whether there are such or not."""
    await _delete(connection, schema.choices, keys)


# Tokens -----------------------------------------------------------------------------------------------------


def _token(row: Any) -> StoredToken:
    return StoredToken(
        row.id,
        row.name,
        row.scope,
        row.digest,
        row.created_at,
        row.expires_at,
        row.last_used_at,
        row.revoked_at,
    )


async def insert_token(connection: AsyncConnection, token: StoredToken) -> None:
    """IntegrityError if there is one of that id."""
    row = {
        "id": clean(token.id),
        "name": clean(token.name),
        "scope": str(token.scope),
        "digest": token.digest,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "last_used_at": token.last_used_at,
        "revoked_at": token.revoked_at,
    }
    await connection.execute(insert(schema.tokens).values(row))


async def find_token(connection: AsyncConnection, ident: str) -> StoredToken | None:
    """The token of that id."""
    table = schema.tokens
    row = (await connection.execute(select(table).where(table.c.id == clean(ident)))).first()
    return None if row is None else _token(row)


async def list_tokens(connection: AsyncConnection, after: str | None, limit: int) -> tuple[StoredToken, ...]:
    """Tokens by id, those behind `after`."""
    table = schema.tokens
    statement = select(table).order_by(table.c.id).limit(limit)
    if after is not None:
        statement = statement.where(table.c.id > clean(after))
    return tuple(map(_token, await connection.execute(statement)))


async def mark_revoked(connection: AsyncConnection, ident: str, at: float) -> bool:
    """True if it was in force until now."""
    table = schema.tokens
    wanted = (table.c.id == clean(ident), table.c.revoked_at.is_(None))
    return (await connection.execute(update(table).where(*wanted).values(revoked_at=at))).rowcount == 1


async def mark_used(connection: AsyncConnection, ident: str, at: float) -> None:
    """Note when it was used last; never an earlier time than the one there is."""
    table = schema.tokens
    earlier = func.coalesce(table.c.last_used_at, 0.0) < at
    await connection.execute(update(table).where(table.c.id == clean(ident), earlier).values(last_used_at=at))
