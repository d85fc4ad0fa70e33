"""From every version with data in it up to the newest, on both databases; models and migrations agree."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

import bgpsvc.store.migrations.versions
from bgpsvc.store import backend, connection, schema
from bgpsvc.store.database import Store, _backend
from bgpsvc.store.errors import StoreError
from bgpsvc.store.migrate import NEWEST, VERSION_TABLE, migrate, version
from bgpsvc.store.records import Batch, StoredToken
from bgpsvc.store.secrets import KeyRing, Sealed
from tests.store.support import entry, in_loop, opened, resource

VERSIONS = sorted(
    match[1]
    for path in Path(bgpsvc.store.migrations.versions.__file__).parent.glob("v*.py")
    if (match := re.fullmatch(r"v(\d{4})_\w+\.py", path.name))
)

# What each version added, as the bgpsvc of that version wrote it.
OLD: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "0001": [
        (
            "INSERT INTO resources VALUES (:kind, :name, :document, :version, :created_at, :updated_at)",
            {
                "kind": "vpcs",
                "name": "old",
                "document": '{"name":"old","cidrs":["10.0.0.0/16"]}',
                "version": 3,
                "created_at": 1.25,
                "updated_at": 2.5,
            },
        ),
        (
            "INSERT INTO tokens VALUES (:id, :name, :scope, :digest, :created_at, NULL, NULL, :revoked_at)",
            {
                "id": "0a",
                "name": "ci",
                "scope": "operate",
                "digest": b"\x01" * 32,
                "created_at": 1.0,
                "revoked_at": 2.0,
            },
        ),
        (
            "INSERT INTO audit (time, actor, source, action, kind, name, old, new) VALUES"
            " (:time, :actor, :source, :action, :kind, :name, NULL, :new)",
            {
                "time": 1.25,
                "actor": "unix socket",
                "source": "api.sock",
                "action": "create",
                "kind": "vpcs",
                "name": "old",
                "new": '{"name":"old"}',
            },
        ),
    ],
    "0002": [
        (
            "INSERT INTO events VALUES (:id, :time, :kind, :severity, :subject, :message, :data)",
            {
                "id": 1700000000000,
                "time": 1.5,
                "kind": "session.up",
                "severity": "info",
                "subject": "s",
                "message": "m",
                "data": "{}",
            },
        ),
        ("INSERT INTO choices VALUES (:k, :n, :v)", {"k": "switch", "n": "conn1", "v": '{"mode":"standby"}'}),
        (
            "INSERT INTO remembered VALUES (:actor, :key, :fingerprint, :outcome, :time)",
            {"actor": "me", "key": "k", "fingerprint": "f", "outcome": '{"etag":"3"}', "time": 1e12},
        ),
    ],
}


async def seal(database: AsyncConnection, ring: KeyRing) -> None:
    sealed: Sealed = ring.seal(("vpcs", "old", "/s"), "old secret")
    await database.execute(
        text("INSERT INTO secrets VALUES ('vpcs', 'old', '/s', :key_id, :nonce, :ciphertext)"),
        {"key_id": sealed.key_id, "nonce": sealed.nonce, "ciphertext": sealed.ciphertext},
    )


def test_the_newest_version_is_the_last_one() -> None:
    assert VERSIONS[-1] == NEWEST, "a database of it is taken as it is"


async def make_old(url: str | None, state_dir: Path, target: str) -> None:
    """A database as that version left it."""
    made: backend.Backend = _backend(url, state_dir)
    await made.create(lambda sync: migrate(sync, target))
    engine = made.writer()
    async with engine.connect() as database, database.begin():
        await database.run_sync(lambda sync: migrate(sync, target))
        assert await database.run_sync(version) == target
        for known in VERSIONS[: VERSIONS.index(target) + 1]:
            for statement, values in OLD[known]:
                # Text and JSON have the same form on both, so casting is all that PostgreSQL asks for.
                json = re.sub(r":(document|new|data|v|outcome)\b", r"CAST(:\1 AS JSON)", statement)
                await database.execute(text(statement if url is None else json), values)
        await seal(database, KeyRing.create(state_dir / "secret.key"))
    await engine.dispose()


@in_loop
@pytest.mark.parametrize("start", VERSIONS)
async def test_every_version_with_its_data_reaches_the_newest(
    store_url: str | None, tmp_path: Path, start: str
) -> None:
    await make_old(store_url, tmp_path, start)
    for _ in range(2):
        async with opened(store_url, tmp_path) as store:
            (old,) = [item for item in await store.load() if item.name == "old"]
            assert old.document == {"name": "old", "cidrs": ["10.0.0.0/16"]}
            assert old.secrets == {"/s": "old secret"}
            assert (old.version, old.created_at, old.updated_at) == (3, 1.25, 2.5)
            assert await store.token("0a") == StoredToken(
                "0a", "ci", "operate", b"\x01" * 32, 1.0, revoked_at=2.0
            )
            (view,) = await store.audit(None, 5, kind="vpcs", name="old")
            assert (view.action, view.old, view.new) == ("create", None, {"name": "old"})
            later = start >= "0002"
            assert await store.last_event_id() == (1700000000000 if later else None)
            assert await store.choices() == ({("switch", "conn1"): {"mode": "standby"}} if later else {})
            assert (await store.remembered("me", "k") is not None) == later
    async with opened(store_url, tmp_path) as store:
        await store.write(Batch(puts=(resource("new"),), audit=(entry(),)))
        assert len(await store.load()) == 2


@in_loop
async def test_models_and_migrations_agree(store_url: str | None, tmp_path: Path) -> None:
    def differences(sync: Connection) -> list[Any]:
        options = {"version_table": VERSION_TABLE, "compare_type": True}
        return list(compare_metadata(MigrationContext.configure(sync, opts=options), schema.metadata))

    def collations(sync: Connection) -> dict[tuple[str, str], str | None]:
        return {
            (table, column["name"]): getattr(column["type"], "collation", None)
            for table in schema.metadata.tables
            for column in inspect(sync).get_columns(table)
        }

    async with opened(store_url, tmp_path) as store:
        assert await store._database.read(lambda c: c.run_sync(differences)) == []
        found = await store._database.read(lambda c: c.run_sync(collations))
    expected = {
        (table.name, column.name): "C" if column.type is schema.KEY and store_url else None
        for table in schema.metadata.tables.values()
        for column in table.columns
    }
    assert found == expected


def test_the_comparison_of_models_and_migrations_can_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema.tokens.c.digest, "nullable", True)
    with pytest.raises(AssertionError, match="modify_nullable"):
        test_models_and_migrations_agree(None, tmp_path)


@in_loop
@pytest.mark.parametrize("start", VERSIONS[:-1])
async def test_a_migration_that_fails_changes_nothing(
    store_url: str | None, tmp_path: Path, start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_old(store_url, tmp_path, start)

    def fails(sync: Connection) -> None:
        migrate(sync)
        raise OSError("the machine stops here")

    with monkeypatch.context() as patched:
        patched.setattr(connection, "migrate", fails)
        with pytest.raises(StoreError, match="the machine stops here"):
            await Store.open(store_url, tmp_path)
    made = _backend(store_url, tmp_path)
    await made.create(migrate)
    engine = made.readers()
    async with engine.connect() as database:
        assert await database.run_sync(version) == start
        tables = await database.run_sync(lambda sync: inspect(sync).get_table_names())
    await engine.dispose()
    assert ("choices" in tables) == (start >= "0002")
    async with opened(store_url, tmp_path) as store:
        assert len(await store.load()) == 1


def test_versions_are_numbered_without_gap() -> None:
    assert [int(number) for number in VERSIONS] == list(range(1, len(VERSIONS) + 1))
    assert len(VERSIONS) >= 2
    assert set(OLD) == set(VERSIONS), "a new version comes with data of its own"


def test_opening_migrates_in_any_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")

    async def run() -> None:
        async with opened(None, tmp_path):
            pass

    asyncio.run(run())
