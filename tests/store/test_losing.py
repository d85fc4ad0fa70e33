"""What is acknowledged stays, what is refused has not happened: kills, full disks, lost databases."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bgpsvc.control import StoreUnavailable
from bgpsvc.store import sqlite
from bgpsvc.store.connection import Database
from bgpsvc.store.errors import OutcomeUnknown, WriteConflict
from bgpsvc.store.records import Batch
from tests.fakes.postgresql import Postgresql, database_name
from tests.store.support import entry, in_loop, opened, resource, until
from tests.store.writer import batch

ROOT = Path(__file__).parents[2]
ROUNDS = 4
WRITES = 500


def killed_writer(url: str | None, state_dir: Path, first: int, seed: int) -> dict[str, int]:
    """Versions that a writer acknowledged before it was killed in the middle of a write."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.store.writer", url or "", str(state_dir), str(first)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    chance = random.Random(seed)
    lines = chance.randrange(WRITES // ROUNDS, 2 * WRITES // ROUNDS)
    acknowledged: dict[str, int] = {}
    with process:
        assert process.stdout is not None
        try:
            for line, _ in zip(process.stdout, range(lines), strict=False):
                name, version = line.split()
                acknowledged[name.decode()] = int(version)
            # Somewhere within the next write, which takes a few milliseconds.
            signal.sigtimedwait([], chance.random() * 0.006)
        finally:
            process.kill()
        for line in process.stdout:
            name, version = line.split()
            acknowledged[name.decode()] = int(version)
    assert process.returncode == -signal.SIGKILL
    return acknowledged


@in_loop
async def test_kill_loses_nothing_acknowledged_and_leaves_nothing_half_done(
    store_url: str | None, tmp_path: Path
) -> None:
    acknowledged: dict[str, int] = {}
    first = 0
    for seed in range(ROUNDS):
        fresh = await asyncio.to_thread(killed_writer, store_url, tmp_path, first, seed)
        assert len(fresh) >= 50
        acknowledged.update(fresh)
        async with opened(store_url, tmp_path) as store:
            loaded = await store.load()
            audit = await store.audit(None, 100_000)
            stored = {item.name: item.version for item in loaded}
            assert {
                name: version for name, version in acknowledged.items() if stored.get(name, 0) < version
            } == {}
            first = len(stored)
            assert set(stored) == {f"n{number:05}" for number in range(first)}
            # What was written but not yet acknowledged is there as a whole.
            expected = {put.name: put for number in range(first) for put in batch(number).puts}
            assert {item.name: item for item in loaded} == expected
            told = Counter(put.name for number in range(first) for put in batch(number).puts)
            assert Counter(view.name for view in audit) == told
            for number in range(max(0, first - 3), first + 1):
                remembered = await store.remembered("writer", f"n{number:05}")
                assert (remembered is not None) == (number < first)
    assert sum(acknowledged.values()) >= WRITES


# PostgreSQL goes and comes back -----------------------------------------------------------------------------


@pytest.fixture
def own_server() -> Iterator[Postgresql]:
    """A server that a test may stop."""
    server = Postgresql()
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.remove()


@in_loop
async def test_a_lost_server_is_used_again_when_it_is_back(own_server: Postgresql, tmp_path: Path) -> None:
    async with opened(own_server.database(), tmp_path) as store:
        await store.write(Batch(puts=(resource("a", secrets={"/s": "x"}),)))
        await store.load()
        for version, how in ((2, signal.SIGINT), (3, signal.SIGQUIT)):
            own_server.stop(how)
            change = Batch(puts=(resource("a", version),), audit=(entry(),))
            for _ in range(2):
                with pytest.raises(StoreUnavailable):
                    await store.write(change)
                with pytest.raises(StoreUnavailable):
                    await store.audit(None, 1)
            assert store.location in str(await store.healthy())
            own_server.start()
            await store.write(change)
            assert await store.healthy() is None
            assert await store.load() == change.puts
            assert len(await store.audit(None, 10)) == version - 1


@in_loop
async def test_a_server_that_comes_back_is_healthy_before_the_next_write(
    own_server: Postgresql, tmp_path: Path
) -> None:
    async with opened(own_server.database(), tmp_path) as store:
        own_server.stop(signal.SIGQUIT)
        assert await store.healthy() is not None
        own_server.start()
        assert await store.healthy() is None


@in_loop
async def test_ended_connections_are_replaced_unseen(
    store_url: str | None, tmp_path: Path, postgresql: Postgresql
) -> None:
    if store_url is None:
        return
    async with opened(store_url, tmp_path) as store:
        await store.write(Batch(puts=(resource("a"),)))
        await asyncio.gather(*(store.audit(None, 1) for _ in range(4)))
        postgresql.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE datname = '{database_name(store_url)}'"
        )
        assert await store.audit(None, 1) == ()
        await store.write(Batch(puts=(resource("b"),)))
        assert len(await store.load()) == 2


@in_loop
async def test_who_lost_the_database_to_another_daemon_writes_nothing(
    postgresql: Postgresql, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bgpsvc.store.postgresql.LOCK_TIMEOUT_MS", 200)
    url = postgresql.database()
    ending = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    async with opened(url, tmp_path) as first:
        await first.write(Batch(puts=(resource("a"),)))
        postgresql.sql(ending, database_name(url))
        async with opened(url, tmp_path) as second:
            for _ in range(2):
                with pytest.raises(StoreUnavailable):
                    await first.write(Batch(puts=(resource("b"),)))
            assert "uses" in str(await first.healthy())
            await second.write(Batch(puts=(resource("a", 2),)))
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="used by another daemon, or restored, meanwhile"):
                await first.write(Batch(puts=(resource("b"),)))
    async with opened(url, tmp_path) as third:
        assert [(item.name, item.version) for item in await third.load()] == [("a", 2)]
    postgresql.drop(url)


class LosesCommit:
    """A server's socket seen through one that loses the answer to a COMMIT, and maybe takes no more calls."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._lose = False
        self.reachable = True
        self.deliver = True
        self._tasks: set[asyncio.Task[None]] = set()

    def lose_next_commit(self, *, deliver: bool, reachable: bool) -> None:
        """Does the server get it (`deliver`)? Can it be asked afterwards (`reachable`)?"""
        self._lose, self.deliver, self._then = True, deliver, reachable

    @asynccontextmanager
    async def listening(self, path: Path) -> AsyncIterator[None]:
        server = await asyncio.start_unix_server(self._serve, path)
        try:
            yield
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self.reachable:
                await self._relay(reader, writer)
        finally:
            writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, calls = await asyncio.open_unix_connection(self._target)

        async def back() -> None:
            while data := await answers.read(65536):
                writer.write(data)
            writer.close()

        backwards = asyncio.create_task(back())
        try:
            while data := await reader.read(65536):
                if self._lose and b"COMMIT" in data:
                    self._lose, self.reachable = False, self._then
                    backwards.cancel()
                    if self.deliver:
                        calls.write(data)
                        await calls.drain()
                        # The server answers when it has committed.
                        await answers.read(1)
                    return
                calls.write(data)
        finally:
            backwards.cancel()
            calls.close()


@asynccontextmanager
async def losing(server: Postgresql, home: Path, url: str) -> AsyncIterator[tuple[LosesCommit, str]]:
    (home / "s").mkdir()
    relay = LosesCommit(server.home / ".s.PGSQL.5432")
    async with relay.listening(home / "s" / ".s.PGSQL.5432"):
        yield relay, url.replace(str(server.home), str(home / "s"))


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose path leaves room for a socket's name."""
    return tmp_path_factory.mktemp("s")


@in_loop
@pytest.mark.parametrize("delivered", [True, False])
async def test_a_commit_without_answer_is_asked_about(
    postgresql: Postgresql, tmp_path: Path, short: Path, delivered: bool
) -> None:
    url = postgresql.database()
    async with losing(postgresql, short, url) as (relay, through), opened(through, tmp_path) as store:
        await store.write(Batch(puts=(resource("a"),)))
        relay.lose_next_commit(deliver=delivered, reachable=True)
        change = Batch(puts=(resource("a", 2),))
        if delivered:
            await store.write(change)
        else:
            with pytest.raises(StoreUnavailable) as caught:
                await store.write(change)
            assert not isinstance(caught.value, OutcomeUnknown)
            assert (await store.load())[0].version == 1
            await store.write(change)
        assert await store.load() == change.puts
        await store.write(Batch(puts=(resource("a", 3),)))
    postgresql.drop(url)


@in_loop
@pytest.mark.parametrize("delivered", [True, False])
@pytest.mark.parametrize("loads", [True, False])
async def test_a_commit_that_cannot_be_asked_about_is_settled_first(
    postgresql: Postgresql,
    tmp_path: Path,
    short: Path,
    delivered: bool,
    loads: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def away(*_: object) -> None:
        raise StoreUnavailable("the database is away")

    url = postgresql.database()
    async with losing(postgresql, short, url) as (relay, through), opened(through, tmp_path) as store:
        await store.write(Batch(puts=(resource("a"),)))
        relay.lose_next_commit(deliver=delivered, reachable=False)
        with pytest.raises(OutcomeUnknown):
            await store.write(Batch(puts=(resource("a", 2),)))
        with pytest.raises(StoreUnavailable):
            await store.write(Batch(puts=(resource("other"),)))
        with pytest.raises(StoreUnavailable):
            await store.load()
        relay.reachable = True
        if delivered and not loads:
            # The writer does not know of version 2, so it must not go on as if there was none.
            for _ in range(2):
                with pytest.raises(WriteConflict, match="load again"):
                    await store.write(Batch(puts=(resource("other"),)))
            await store.add_audit([entry()])
            # A view that could not be read is no view.
            with monkeypatch.context() as patch:
                patch.setattr(Database, "read", away)
                with pytest.raises(StoreUnavailable):
                    await store.load()
            with pytest.raises(WriteConflict, match="load again"):
                await store.write(Batch(puts=(resource("other"),)))
        if delivered or loads:
            assert (await store.load())[0].version == (2 if delivered else 1)
        await store.write(Batch(puts=(resource("other"),)))
        assert len(await store.load()) == 2
    postgresql.drop(url)


# Disks ------------------------------------------------------------------------------------------------------

FULL_DISK = """
import asyncio, os, sys
from pathlib import Path
from bgpsvc.control import StoreUnavailable
from bgpsvc.store.database import Store
from bgpsvc.store.errors import StoreError
from bgpsvc.store.records import Batch
from tests.store.support import entry, resource

async def main(home):
    store = await Store.open(None, home)
    kept = []
    filler = home / "filler"
    filler.write_bytes(b"x" * 1_200_000)
    try:
        for n in range(2000):
            await store.write(Batch(puts=(resource(f"r{n}", pad="x" * 5000),), audit=(entry(),)))
            kept.append(f"r{n}")
    except StoreUnavailable as error:
        assert "full" in str(error), error
    assert 5 < len(kept) < 2000, len(kept)
    assert [item.name for item in await store.load()] == sorted(kept)
    filler.unlink()
    assert await store.healthy() is None
    await store.write(Batch(puts=(resource("after", pad="x" * 5000),), audit=(entry(),)))
    assert [item.name for item in await store.load()] == sorted([*kept, "after"])
    assert len(await store.audit(None, 5000)) == len(kept) + 1
    await store.close()
    store = await Store.open(None, home)
    assert len(await store.load()) == len(kept) + 1
    await store.close()
    os.system(f"mount -o remount,ro {home}")
    try:
        await Store.open(None, home)
    except StoreError as error:
        assert "Read-only file system" in str(error), error
    else:
        raise AssertionError("opened on a read-only disk")
    print("done")

asyncio.run(main(Path(sys.argv[1])))
"""


def test_a_full_and_a_read_only_disk(tmp_path: Path) -> None:
    """In a mount namespace of its own, which ends with the process."""
    script = 'mount -t tmpfs -o size=3m,mode=700 none "$1" && exec "$2" -c "$3" "$1"'
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    done = subprocess.run(
        [*namespace, "sh", "-ec", script, "sh", str(tmp_path), sys.executable, FULL_DISK],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert done.stdout == "done\n", done.stderr


@in_loop
async def test_a_locked_database_is_waited_for_and_then_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_PRAGMAS", ("busy_timeout=200", *sqlite._PRAGMAS[1:]))
    async with opened(None, tmp_path) as store:
        outside = sqlite3.connect(tmp_path / "bgpsvc.db", isolation_level=None)
        try:
            outside.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="locked"):
                await store.write(Batch(puts=(resource("a"),)))
            assert await store.load() == ()
            waiting = asyncio.create_task(store.write(Batch(puts=(resource("a"),))))

            async def refused() -> bool:
                return waiting.done() or await asyncio.sleep(0.05, True)

            await until(refused, "the write waits")
            outside.execute("ROLLBACK")
            await waiting
        finally:
            outside.close()
        assert len(await store.load()) == 1
        assert await store.healthy() is None
