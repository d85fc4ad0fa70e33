"""Backup and restore as docs/operations/store.md has them."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from pathlib import Path

from bgpsvc.store.records import Batch
from tests.fakes.postgresql import Postgresql
from tests.store.support import entry, in_loop, opened, resource


def backup(url: str | None, state_dir: Path, server: Postgresql, target: Path) -> None:
    if url is None:
        connection = sqlite3.connect(state_dir / "bgpsvc.db")
        connection.execute("VACUUM INTO ?", (str(target),))
        connection.close()
    else:
        server.dump(url, target)


def restore(url: str | None, state_dir: Path, server: Postgresql, source: Path) -> None:
    if url is None:
        for path in state_dir.glob("bgpsvc.db*"):
            path.unlink()
        shutil.copy(source, state_dir / "bgpsvc.db")
    else:
        server.restore(url, source)


@in_loop
async def test_a_backup_of_a_running_daemon_is_restored(
    store_url: str | None, tmp_path: Path, postgresql: Postgresql
) -> None:
    state_dir, target = tmp_path / "state", tmp_path / "backup"
    state_dir.mkdir()
    first = tuple(resource(f"a{n}", secrets={"/s": f"secret {n}"}) for n in range(50))
    async with opened(store_url, state_dir) as store:
        await store.write(Batch(puts=first, audit=(entry(),)))
        await asyncio.to_thread(backup, store_url, state_dir, postgresql, target)
        await store.write(Batch(puts=(resource("later"),), removals=(("vpn_connections", "a0"),)))
        if store_url is not None:
            # Under a running daemon: its connections end, and it notices that this is another database.
            await asyncio.to_thread(restore, store_url, state_dir, postgresql, target)
            assert await store.healthy() is not None
    await asyncio.to_thread(restore, store_url, state_dir, postgresql, target)
    async with opened(store_url, state_dir) as store:
        assert sorted(await store.load(), key=lambda item: item.name) == sorted(
            first, key=lambda item: item.name
        )
        await store.add_audit([entry()])
        assert len(await store.audit(None, 5)) == 2
