"""Key rotation on both databases: interrupted anywhere it loses nothing, done again it finishes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from bgpsvc.control import StoreUnavailable
from bgpsvc.store import logs, secrets, statements
from bgpsvc.store.database import Store
from bgpsvc.store.records import Batch
from bgpsvc.store.secrets import KeyRing
from tests.store.support import entry, in_loop, opened, resource

COUNT = 1000


class Stopped(BaseException):
    """The process ends here."""


async def fill(store: Store) -> None:
    puts = tuple(
        resource(f"r{n:03}", secrets={"/a": f"first {n}", "/b": f"second {n}"}) for n in range(COUNT // 2)
    )
    await store.write(Batch(puts=puts))


async def check(store: Store) -> None:
    loaded = await store.load()
    assert len(loaded) == COUNT // 2
    for n, item in enumerate(loaded):
        assert item.secrets == {"/a": f"first {n}", "/b": f"second {n}"}


@in_loop
async def test_rotation_encrypts_everything_with_a_new_key(store_url: str | None, tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    async with opened(store_url, tmp_path) as store:
        await fill(store)
        (old,) = KeyRing.load(path).ids
        assert await store.rotate(entry("key.rotate")) == COUNT
        (new,) = KeyRing.load(path).ids
        assert new != old
        assert await store._database.read(statements.keys_in_use) == {new}
        await check(store)
        assert [view.action for view in await store.audit(None, 5)] == ["key.rotate"]
        await store.write(Batch(puts=(resource("r000", 2, secrets={"/a": "first 0", "/b": "second 0"}),)))
    async with opened(store_url, tmp_path) as store:
        await check(store)


@in_loop
async def test_an_empty_store_rotates_too(store_url: str | None, tmp_path: Path) -> None:
    async with opened(store_url, tmp_path) as store:
        assert await store.rotate(entry("key.rotate")) == 0
        await fill(store)
        await check(store)


def stop(*_: object, **__: object) -> None:
    raise Stopped


def stop_in_second_chunk() -> object:
    calls = iter(range(10_000))
    seal = KeyRing.seal

    def sealing(ring: KeyRing, identity: tuple[str, ...], secret: str) -> secrets.Sealed:
        if next(calls) == COUNT // 2:
            raise Stopped
        return seal(ring, identity, secret)

    return sealing


STEPS: dict[str, tuple[object, str, Callable[[], object]]] = {
    "before the new file is written": (secrets, "_write_aside", lambda: stop),
    "before the new file takes the old one's place": (Path, "replace", lambda: stop),
    "after the new key is in the file": (secrets, "_sync", lambda: stop),
    "in the middle of encrypting": (KeyRing, "seal", stop_in_second_chunk),
    "before the commit": (logs, "append_audit", lambda: stop),
    "after the commit": (KeyRing, "keep", lambda: stop),
}


@in_loop
@pytest.mark.parametrize("step", STEPS)
async def test_interrupted_anywhere_it_loses_nothing(
    store_url: str | None, tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secret.key"
    owner, name, replacement = STEPS[step]
    async with opened(store_url, tmp_path) as store:
        await fill(store)
        (old,) = KeyRing.load(path).ids
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, replacement())
            with pytest.raises(Stopped):
                await store.rotate(entry("key.rotate"))
    # The next life; then the rotation is done again.
    async with opened(store_url, tmp_path) as store:
        await check(store)
        assert await store.rotate(entry("key.rotate")) == COUNT
        await check(store)
        ids = KeyRing.load(path).ids
        assert len(ids) == 1
        assert old not in ids
    async with opened(store_url, tmp_path) as store:
        await check(store)


@in_loop
@pytest.mark.parametrize("step", STEPS)
async def test_a_daemon_that_survives_the_interruption_goes_on(
    store_url: str | None, tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name, replacement = STEPS[step]
    async with opened(store_url, tmp_path) as store:
        await fill(store)
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, replacement())
            with pytest.raises(Stopped):
                await store.rotate(entry("key.rotate"))
        await check(store)
        await store.write(Batch(puts=(resource("r000", 2, secrets={"/a": "first 0", "/b": "second 0"}),)))
    async with opened(store_url, tmp_path) as store:
        await check(store)


@in_loop
async def test_a_key_file_that_cannot_be_written_stops_the_rotation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async with opened(None, tmp_path) as store:
        await fill(store)
        monkeypatch.setattr(secrets, "_write_aside", refuse)
        with pytest.raises(StoreUnavailable, match=r"secret\.key: No space left on device"):
            await store.rotate(entry("key.rotate"))
        await check(store)
        assert await store.audit(None, 5) == ()


@in_loop
async def test_old_ciphertexts_do_not_linger_in_the_rows(tmp_path: Path) -> None:
    async with opened(None, tmp_path) as store:
        await fill(store)
        connection = sqlite3.connect(tmp_path / "bgpsvc.db")
        before = connection.execute("SELECT nonce, ciphertext FROM secrets").fetchall()
        await store.rotate(entry("key.rotate"))
        after = connection.execute("SELECT nonce, ciphertext FROM secrets").fetchall()
        connection.close()
    assert len(before) == len(after) == COUNT
    assert not {nonce for nonce, _ in before} & {nonce for nonce, _ in after}
