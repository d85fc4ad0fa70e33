"""A store is opened whole, by one daemon, or refused with what to do."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bgpsvc.control import StoreUnavailable
from bgpsvc.store import sqlite
from bgpsvc.store.database import Store
from bgpsvc.store.errors import StoreInUse
from bgpsvc.store.records import Batch
from tests.fakes.postgresql import Postgresql
from tests.store.support import count, fill, in_loop, opened, refusal, resource

# One daemon per database ------------------------------------------------------------------------------------


@in_loop
async def test_a_second_daemon_is_refused(store_url: str | None, tmp_path: Path) -> None:
    async with opened(store_url, tmp_path) as store:
        with pytest.raises(StoreInUse) as caught:
            await Store.open(store_url, tmp_path)
        assert store.location in str(caught.value)
        assert await store.healthy() is None
        await store.write(Batch(puts=(resource("a"),)))
    async with opened(store_url, tmp_path) as store:
        assert len(await store.load()) == 1
        await store.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            await store.write(Batch(puts=(resource("b"),)))
        with pytest.raises(StoreUnavailable, match="closed"):
            await store.load()


@in_loop
async def test_postgresql_says_who_uses_it(postgresql: Postgresql, tmp_path: Path) -> None:
    url = postgresql.database()
    async with opened(url, tmp_path):
        with pytest.raises(StoreInUse, match=rf"bgpsvc on .* \(pid {os.getpid()}\), address local, uses"):
            await Store.open(url, tmp_path)
    postgresql.drop(url)


@in_loop
async def test_a_killed_daemon_leaves_nothing_in_the_way(store_url: str | None, tmp_path: Path) -> None:
    program = (
        "import asyncio, sys, pathlib\n"
        "from bgpsvc.store.database import Store\n"
        "async def main():\n"
        "    await Store.open(sys.argv[1] or None, pathlib.Path(sys.argv[2]))\n"
        "    print('open', flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, store_url or "", str(tmp_path), stdout=subprocess.PIPE
    )
    try:
        assert other.stdout is not None
        assert await other.stdout.readline() == b"open\n"
        with pytest.raises(StoreInUse):
            await Store.open(store_url, tmp_path)
    finally:
        other.kill()
        await other.communicate()
    async with opened(store_url, tmp_path) as store:
        assert await store.healthy() is None


# SQLite -----------------------------------------------------------------------------------------------------


def modes(directory: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}


def test_files_are_the_owners_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        fill(tmp_path, 3)
    finally:
        os.umask(old)
    assert modes(tmp_path) == {"bgpsvc.db": 0o600, "bgpsvc.db.lock": 0o600, "secret.key": 0o600}
    (tmp_path / "bgpsvc.db").chmod(0o644)

    async def modes_while_open() -> dict[str, int]:
        async with opened(None, tmp_path) as store:
            await store.write(Batch(puts=(resource("a"),)))
            return modes(tmp_path)

    assert set(asyncio.run(modes_while_open()).values()) == {0o600}


def test_commits_are_synced_in_a_log(tmp_path: Path) -> None:
    async def pragmas() -> list[object]:
        async with opened(None, tmp_path) as store:

            async def ask(connection: object) -> list[object]:
                names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
                return [
                    (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one()  # type: ignore[attr-defined]
                    for name in names
                ]

            return await store._database.write(ask)

    assert asyncio.run(pragmas()) == ["wal", 2, 1, 5000]


def test_a_file_elsewhere_is_locked_too(tmp_path: Path) -> None:
    path = tmp_path / "else where?#%41" / "x.db"
    path.parent.mkdir()

    async def run() -> None:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        async with opened(f"sqlite:///{path}", tmp_path / "one") as store:
            assert store.location == str(path)
            with pytest.raises(StoreInUse):
                await Store.open(f"sqlite:///{path}", tmp_path / "two")

    asyncio.run(run())
    assert path.stat().st_size > 0
    assert not list((tmp_path / "one").glob("*.db"))


def damage_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\xff" * 100)


def damage_pages(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        for offset in range(8192, size - 2000, 4096):
            file.seek(offset + 8)
            file.write(b"\xa5" * 500)


def damage_cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)


def damage_emptied(path: Path) -> None:
    os.truncate(path, 0)


def damage_replaced(path: Path) -> None:
    path.write_bytes(b"this is no database, but somebody's notes\n" * 400)


def damage_orphans(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM resources WHERE name = 'r1'")
    connection.close()


@pytest.mark.parametrize(
    "damage", [damage_header, damage_pages, damage_cut, damage_emptied, damage_replaced, damage_orphans]
)
@pytest.mark.parametrize("check", ["integrity_check", "quick_check"])
def test_a_damaged_file_is_refused(
    tmp_path: Path, damage: object, check: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)
    if check == "quick_check":
        monkeypatch.setattr(sqlite, "FULL_CHECK_BYTES", 0)
    path = tmp_path / "bgpsvc.db"
    shutil.copy(path, tmp_path / "backup")
    damage(path)  # type: ignore[operator]
    left = path.read_bytes()
    said = refusal(tmp_path)
    assert f"{path} is damaged" in said
    assert "Restore a backup" in said
    assert path.read_bytes() == left, "the evidence stays as it is"
    shutil.copy(tmp_path / "backup", path)
    fill_again = asyncio.run(count(tmp_path))
    assert fill_again == 300


def test_a_damaged_index_is_found(tmp_path: Path) -> None:
    fill(tmp_path)
    path = tmp_path / "bgpsvc.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA writable_schema=ON")
    # The index then lacks the rows that are added while it is hidden from SQLite.
    (sql,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'ix_audit_time'").fetchone()
    row = connection.execute("SELECT * FROM sqlite_master WHERE name = 'ix_audit_time'").fetchone()
    connection.execute("DELETE FROM sqlite_master WHERE name = 'ix_audit_time'")
    connection.commit()
    connection.close()
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO audit (time, actor, source, action) VALUES (1, 'a', 'b', 'c')")
    connection.execute("PRAGMA writable_schema=ON")
    connection.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", row)
    connection.commit()
    connection.close()
    assert sql in row
    assert "ix_audit_time" in refusal(tmp_path)


def test_an_interrupted_first_start_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / "bgpsvc.db.new").write_bytes(b"half a database")
    (tmp_path / "bgpsvc.db.new-wal").write_bytes(b"and its log")
    (tmp_path / "secret.key.new").write_text("half a key")
    assert asyncio.run(count(tmp_path)) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"bgpsvc.db", "bgpsvc.db.lock", "secret.key"}


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    said = refusal(tmp_path / "missing")
    assert str(tmp_path / "missing") in said
    assert "No such file or directory" in said


def test_a_stale_log_is_not_replayed_into_a_new_database(tmp_path: Path) -> None:
    fill(tmp_path)
    connection = sqlite3.connect(tmp_path / "bgpsvc.db")
    connection.execute("INSERT INTO choices VALUES ('k', 'n', '{}')")
    connection.commit()
    log = (tmp_path / "bgpsvc.db-wal").read_bytes()
    connection.close()
    (tmp_path / "bgpsvc.db").unlink()
    (tmp_path / "bgpsvc.db-wal").write_bytes(log)
    (tmp_path / "secret.key").unlink()
    assert asyncio.run(count(tmp_path)) == 0


@in_loop
async def test_a_file_exchanged_under_the_daemon_is_noticed(tmp_path: Path) -> None:
    async with opened(None, tmp_path) as store:
        await store.write(Batch(puts=(resource("a"),)))
        path = tmp_path / "bgpsvc.db"
        shutil.copy(path, tmp_path / "copy")
        (tmp_path / "copy").rename(path)
        assert "was replaced while it was in use" in str(await store.healthy())
        with pytest.raises(StoreUnavailable, match="was replaced"):
            await store.write(Batch(puts=(resource("b"),)))
        path.unlink()
        with pytest.raises(StoreUnavailable, match="No such file"):
            await store.write(Batch(puts=(resource("b"),)))
        assert not path.exists()


@in_loop
async def test_readers_from_outside_neither_wait_nor_hold_up(tmp_path: Path) -> None:
    async with opened(None, tmp_path) as store:
        await store.write(Batch(puts=(resource("a"),)))
        outside = sqlite3.connect(tmp_path / "bgpsvc.db", isolation_level=None)
        try:
            outside.execute("BEGIN")
            assert outside.execute("SELECT version FROM resources").fetchall() == [(1,)]
            loads = [asyncio.create_task(store.load()) for _ in range(12)]
            for version in range(2, 30):
                await store.write(Batch(puts=(resource("a", version),)))
            for loaded in await asyncio.gather(*loads):
                assert loaded[0].document["marker"] == f"a version {loaded[0].version}"
            assert outside.execute("SELECT version FROM resources").fetchall() == [(1,)]
            outside.execute("COMMIT")
            assert outside.execute("SELECT version FROM resources").fetchall() == [(29,)]
        finally:
            outside.close()
