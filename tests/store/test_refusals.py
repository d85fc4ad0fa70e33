"""Databases and keys that do not belong together, or to us, are refused with what to do."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from bgpsvc.store.database import Store
from bgpsvc.store.errors import SecretError
from tests.fakes.postgresql import Postgresql, database_name
from tests.store.support import count, fill, in_loop, opened, refusal

# Either database --------------------------------------------------------------------------------------------


def change(url: str | None, state_dir: Path, server: Postgresql, statement: str) -> None:
    """Run a statement behind the store's back."""
    if url is None:
        connection = sqlite3.connect(state_dir / "bgpsvc.db")
        connection.execute(statement)
        connection.commit()
        connection.close()
    else:
        server.sql(statement, database_name(url))


def test_a_newer_database_is_refused(store_url: str | None, tmp_path: Path, postgresql: Postgresql) -> None:
    fill(tmp_path, 2, store_url)
    change(store_url, tmp_path, postgresql, "UPDATE bgpsvc_version SET version_num = '0999'")
    said = refusal(tmp_path, store_url)
    assert "version 0999" in said
    assert "Install that version, or restore a backup" in said
    change(store_url, tmp_path, postgresql, "UPDATE bgpsvc_version SET version_num = '0002'")
    assert asyncio.run(count(tmp_path, store_url)) == 2


def test_somebody_elses_tables_are_left_alone(
    store_url: str | None, tmp_path: Path, postgresql: Postgresql
) -> None:
    if store_url is None:
        sqlite3.connect(tmp_path / "bgpsvc.db").close()
    change(store_url, tmp_path, postgresql, "CREATE TABLE events (mine INTEGER)")
    said = refusal(tmp_path, store_url)
    assert "has tables events" in said
    assert "database of its own" in said


def test_missing_keys_are_named(store_url: str | None, tmp_path: Path) -> None:
    fill(tmp_path, 2, store_url)
    path = tmp_path / "secret.key"
    right = path.read_text()
    path.unlink()
    with pytest.raises(SecretError) as caught:
        asyncio.run(Store.open(store_url, tmp_path))
    key = right.split('"id": "')[1].split('"')[0]
    assert f"key {key}, which {path} does not have (it has none)" in str(caught.value)
    assert not path.exists(), "a new key would hide that the old one is missing"
    path.write_text(right.replace(key, "00000000"))
    path.chmod(0o600)
    assert f"key {key}, which {path} does not have (it has 00000000)" in refusal(tmp_path, store_url)
    path.write_text(right)
    assert asyncio.run(count(tmp_path, store_url)) == 2


def test_a_wrong_key_is_named(store_url: str | None, tmp_path: Path) -> None:
    fill(tmp_path, 2, store_url)
    path = tmp_path / "secret.key"
    right = path.read_text()
    key, value = right.split('"id": "')[1].split('"')[0], right.split('"key": "')[1].split('"')[0]
    path.write_text(right.replace(value, "A" * 43 + "="))

    async def load() -> None:
        async with opened(store_url, tmp_path) as store:
            await store.load()

    with pytest.raises(SecretError, match=f"does not fit key {key} of {path}") as caught:
        asyncio.run(load())
    assert value not in str(caught.value)


def test_a_ciphertext_moved_to_another_row_is_refused(
    store_url: str | None, tmp_path: Path, postgresql: Postgresql
) -> None:
    fill(tmp_path, 2, store_url)
    for column in ("nonce", "ciphertext"):
        other = f"(SELECT {column} FROM secrets WHERE name = 'r0')"
        change(store_url, tmp_path, postgresql, f"UPDATE secrets SET {column} = {other} WHERE name = 'r1'")

    async def load() -> None:
        async with opened(store_url, tmp_path) as store:
            await store.load()

    with pytest.raises(SecretError, match="secret of vpn_connections r1 /s does not fit"):
        asyncio.run(load())


# PostgreSQL -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://x:geheim@h/db", "begins with 'mysql'. Allowed: postgresql://"),
        ("postgresql://x:geheim@127.0.0.1:1/db", "cannot use postgresql://x@127.0.0.1:1/db: "),
        ("postgresql://x:geheim@h:port/db", "the URL cannot be used"),
        ("postgresql://x@127.0.0.1:1/db?password=geheim", "cannot use postgresql://x@127.0.0.1:1/db: "),
        ("postgresql://x@/db?host=/nowhere&password=geheim", "?host=/nowhere: "),
    ],
)
def test_a_url_that_leads_nowhere(tmp_path: Path, url: str, said: str) -> None:
    text = refusal(tmp_path, url)
    assert said in text
    assert "geheim" not in text


def test_a_password_comes_from_a_file(
    tmp_path: Path, postgresql: Postgresql, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgresql.database()
    postgresql.sql("CREATE ROLE locked LOGIN PASSWORD 'open sesame' SUPERUSER")
    locked = url.replace("bgpsvc@", "locked@").replace("postgresql:", "postgres:")
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "missing"))
    assert "password" in refusal(tmp_path, locked)
    passwords = tmp_path / "passwords"
    passwords.write_text("*:*:*:locked:wrong horse\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    said = refusal(tmp_path, locked)
    assert "password authentication failed" in said
    assert "wrong horse" not in said
    passwords.write_text("*:*:*:locked:open sesame\n")
    assert asyncio.run(count(tmp_path, locked)) == 0
    postgresql.drop(url)
    postgresql.sql("DROP ROLE locked")


def test_a_database_that_does_not_take_all_text_is_refused(tmp_path: Path, postgresql: Postgresql) -> None:
    url = postgresql.database("SQL_ASCII")
    assert "has encoding SQL_ASCII. Allowed: UTF8" in refusal(tmp_path, url)
    postgresql.drop(url)


def test_a_database_that_is_not_there_is_named(tmp_path: Path, postgresql: Postgresql) -> None:
    assert 'database "nothing" does not exist' in refusal(tmp_path, postgresql.url("nothing"))


@in_loop
async def test_commits_wait_for_the_disk_whatever_the_default(tmp_path: Path, postgresql: Postgresql) -> None:
    url = postgresql.database()
    postgresql.sql(f"ALTER DATABASE {database_name(url)} SET synchronous_commit = off")
    async with opened(url, tmp_path) as store:

        async def ask(connection: object) -> object:
            return (await connection.exec_driver_sql("SHOW synchronous_commit")).scalar_one()  # type: ignore[attr-defined]

        assert await store._database.write(ask) == "on"
    postgresql.drop(url)
