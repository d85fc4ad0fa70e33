"""Resources on both databases: what is written is read, whole batches or nothing, versions in their order."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bgpsvc.store.errors import WriteConflict
from bgpsvc.store.records import Batch, Remembered
from tests.store.support import entry, in_loop, opened, resource

AWKWARD: dict[str, Any] = {
    "text": "Zürich – 東京 \U0001f680 \x00 \ud800 \\ \" '",
    "numbers": [0, -1, 4294967295, 2**63, 2**80, 1.0, 1e-9, 0.1],
    "nothing": None,
    "nested": {"b": {"a": []}, "a": {}, "": False},
}


@in_loop
async def test_what_is_written_is_read_by_the_next_life(store_url: str | None, tmp_path: Path) -> None:
    secrets = {"/tunnels/0/ike/pre_shared_key": "geheim ☃", "/tunnels/1/bgp/password": ""}
    first = resource("b", secrets=secrets, **AWKWARD)
    second = resource("a", kind="vpcs")
    async with opened(store_url, tmp_path) as store:
        assert await store.load() == ()
        await store.write(Batch(puts=(first, second)))
        assert await store.load() == (second, first)
    async with opened(store_url, tmp_path) as store:
        loaded = {item.name: item for item in await store.load()}
        assert loaded == {"a": second, "b": first}
        assert list(loaded["b"].document) == list(first.document)
        assert [type(n) for n in loaded["b"].document["numbers"]] == [type(n) for n in AWKWARD["numbers"]]


@in_loop
async def test_order_is_that_of_bytes_on_both_databases(store_url: str | None, tmp_path: Path) -> None:
    names = ["a", "B", "a-b", "a1", "ab", "Z", "é"]
    async with opened(store_url, tmp_path) as store:
        await store.write(Batch(puts=tuple(resource(name) for name in names)))
        assert [item.name for item in await store.load()] == sorted(names)


@in_loop
async def test_replacing_takes_the_old_secrets_away(store_url: str | None, tmp_path: Path) -> None:
    async with opened(store_url, tmp_path) as store:
        await store.write(Batch(puts=(resource("a", secrets={"/old": "1", "/both": "2"}),)))
        changed = resource("a", 2, secrets={"/both": "3", "/new": "4"})
        await store.write(Batch(puts=(changed,)))
        assert await store.load() == (changed,)
        await store.write(Batch(puts=(replace(changed, version=3, secrets={}),)))
        assert (await store.load())[0].secrets == {}


@in_loop
@pytest.mark.parametrize(("stored", "version", "accepted"), [
    (0, 1, True), (0, 2, False), (1, 1, False), (1, 2, True), (1, 3, False), (2, 2, False), (2, 3, True),
])  # fmt: skip
async def test_a_put_follows_the_stored_version(
    store_url: str | None, tmp_path: Path, stored: int, version: int, accepted: bool
) -> None:
    async with opened(store_url, tmp_path) as store:
        for number in range(1, stored + 1):
            await store.write(Batch(puts=(resource("a", number),)))
        before = await store.load()
        put = Batch(puts=(resource("a", version, secrets={"/s": "new"}),))
        if accepted:
            await store.write(put)
            assert await store.load() == put.puts
        else:
            with pytest.raises(
                WriteConflict, match=f"vpn_connections a: stored version is {stored or 'none'}"
            ):
                await store.write(put)
            assert await store.load() == before


@in_loop
async def test_what_is_to_be_removed_has_to_be_there(store_url: str | None, tmp_path: Path) -> None:
    kept = resource("a", kind="vpcs")
    async with opened(store_url, tmp_path) as store:
        await store.write(Batch(puts=(resource("a", secrets={"/s": "x"}), kept)))
        await store.write(Batch(removals=(("vpn_connections", "a"),)))
        assert await store.load() == (kept,)
        with pytest.raises(WriteConflict):
            await store.write(Batch(removals=(("vpn_connections", "a"), ("vpcs", "a"))))
        assert await store.load() == (kept,)
        # A new one of that name does not inherit secrets.
        await store.write(Batch(puts=(resource("a"),)))
        assert {item.kind: item.secrets for item in await store.load()} == {"vpcs": {}, "vpn_connections": {}}


@in_loop
async def test_a_batch_is_stored_as_a_whole_or_not_at_all(store_url: str | None, tmp_path: Path) -> None:
    async with opened(store_url, tmp_path) as store:
        old = resource("old", secrets={"/s": "old"})
        await store.write(Batch(puts=(old,)))
        spoilt = Batch(
            puts=(resource("old", 2, secrets={"/s": "new"}), resource("new"), resource("bad", 7)),
            audit=(entry(),),
            remember=Remembered("me", "key", "print", {"done": True}, 10.0),
        )
        with pytest.raises(WriteConflict):
            await store.write(spoilt)
        assert await store.load() == (old,)
        assert await store.audit(None, 10) == ()
        assert await store.remembered("me", "key") is None
        await store.write(replace(spoilt, puts=spoilt.puts[:2], remember=None))
        assert {item.name: item.version for item in await store.load()} == {"old": 2, "new": 1}
        assert len(await store.audit(None, 10)) == 1


@in_loop
async def test_one_resource_twice_in_a_batch_is_a_mistake(store_url: str | None, tmp_path: Path) -> None:
    async with opened(store_url, tmp_path) as store:
        with pytest.raises(ValueError, match="twice"):
            await store.write(Batch(puts=(resource("a"), resource("a"))))
        assert await store.load() == ()


@in_loop
async def test_a_large_batch_is_one_transaction(store_url: str | None, tmp_path: Path) -> None:
    count = 1500
    puts = tuple(resource(f"r{i:04}", secrets={"/s": f"secret {i}"}) for i in range(count))
    audit = tuple(entry(name=put.name) for put in puts)
    async with opened(store_url, tmp_path) as store:
        with pytest.raises(WriteConflict):
            await store.write(Batch(puts=(*puts, resource("late", 2)), audit=audit))
        assert await store.load() == ()
        await store.write(Batch(puts=puts, audit=audit))
        assert await store.load() == puts
        assert len(await store.audit(None, 2 * count)) == count
        new = tuple(replace(put, version=2, secrets={"/s": "changed"}) for put in puts[:1000])
        gone = tuple((put.kind, put.name) for put in puts[1000:])
        await store.write(Batch(puts=new, removals=gone))
        assert await store.load() == new


@in_loop
async def test_requests_are_remembered_for_a_day(store_url: str | None, tmp_path: Path) -> None:
    now = [1000.0]
    async with opened(store_url, tmp_path, clock=lambda: now[0]) as store:
        first = Remembered("alice", "key", "print", {"etag": "1", "deep": {"a": [None]}}, 1000.0)
        await store.write(Batch(puts=(resource("a"),), remember=first))
        assert await store.remembered("alice", "key") == first
        assert await store.remembered("bob", "key") is None
        assert await store.remembered("alice", "other") is None
        second = replace(first, fingerprint="other")
        with pytest.raises(WriteConflict):
            await store.write(Batch(puts=(resource("b"),), remember=second))
        assert [item.name for item in await store.load()] == ["a"]
        now[0] += 86400.0 - 1
        assert await store.remembered("alice", "key") == first
        now[0] += 1
        assert await store.remembered("alice", "key") is None
        later = replace(second, time=now[0])
        await store.write(Batch(puts=(resource("b"),), remember=later))
        assert await store.remembered("alice", "key") == later


@in_loop
async def test_who_stops_waiting_does_not_stop_the_write(store_url: str | None, tmp_path: Path) -> None:
    async with opened(store_url, tmp_path) as store:
        for number in range(20):
            waiting = asyncio.create_task(store.write(Batch(puts=(resource(f"a{number}"),))))
            for _ in range(number):
                await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        await store.write(Batch(puts=(resource("last"),)))
        names = {item.name for item in await store.load()}
        # The first was cancelled before it began.
        assert names == {"last", *(f"a{number}" for number in range(1, 20))}
    async with opened(store_url, tmp_path) as store:
        assert {item.name for item in await store.load()} == names


@in_loop
async def test_concurrent_writes_wait_for_one_another(store_url: str | None, tmp_path: Path) -> None:
    async with opened(store_url, tmp_path) as store:
        outcomes = await asyncio.gather(
            *(store.write(Batch(puts=(resource("same"),), audit=(entry(name=str(i)),))) for i in range(8)),
            *(store.write(Batch(puts=(resource(f"own{i}"),))) for i in range(8)),
            return_exceptions=True,
        )
        assert sum(isinstance(outcome, WriteConflict) for outcome in outcomes) == 7
        assert sum(outcome is None for outcome in outcomes) == 9
        assert len(await store.load()) == 9
        assert len(await store.audit(None, 10)) == 1


@in_loop
async def test_no_secret_is_stored_in_clear(tmp_path: Path) -> None:
    async with opened(None, tmp_path) as store:
        await store.write(Batch(puts=(resource("a", secrets={"/s": "very-secret-text"}),)))
        held = everything(tmp_path)
        assert b"a version 1" in held
        assert b"very-secret-text" not in held


def everything(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.iterdir())
