"""Values and helpers of the store's tests."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ParamSpec

import pytest

from bgpsvc.store.database import Store
from bgpsvc.store.errors import StoreError
from bgpsvc.store.records import AuditEntry, Batch, StoredResource, StoredToken

P = ParamSpec("P")


def in_loop(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run an asynchronous test in an event loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def whole() -> None:
            await test(*args, **kwargs)

        asyncio.run(whole())

    return run


@asynccontextmanager
async def opened(url: str | None, state_dir: Path, **options: Any) -> AsyncIterator[Store]:
    """An open store, closed in the end."""
    store = await Store.open(url, state_dir, **options)
    try:
        yield store
    finally:
        await store.close()


def resource(
    name: str,
    version: int = 1,
    kind: str = "vpn_connections",
    secrets: Mapping[str, str] | None = None,
    **document: Any,
) -> StoredResource:
    """A resource that says of itself which version it is."""
    whole = {"name": name, "marker": f"{name} version {version}", **document}
    return StoredResource(kind, name, whole, dict(secrets or {}), version, 100.0, 100.25 + version)


def entry(action: str = "create", name: str | None = "a", time: float = 1.5, **values: Any) -> AuditEntry:
    """An audit entry of an administrator."""
    fields = {"actor": "token 0a (alice)", "source": "192.0.2.1", "kind": "vpn_connections", **values}
    return AuditEntry(time=time, action=action, name=name, **fields)


def token(ident: str, **values: Any) -> StoredToken:
    """A token of scope read."""
    fields = {"name": f"name of {ident}", "scope": "read", "digest": b"\x00\xff" * 16, "created_at": 5.5}
    return StoredToken(**{"id": ident, **fields, **values})


async def until(condition: Callable[[], Awaitable[object]], what: str, seconds: float = 15) -> None:
    """Ask again until it holds; AssertionError with `what` if it does not in time."""
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, f"not in {seconds} s: {what}"
        await asyncio.sleep(0.02)


def fill(state_dir: Path, size: int = 300, url: str | None = None) -> None:
    """A database with some pages, closed."""

    async def run() -> None:
        async with opened(url, state_dir) as store:
            puts = tuple(
                resource(f"r{n}", secrets={"/s": f"secret {n}"}, text="x" * 300) for n in range(size)
            )
            await store.write(Batch(puts=puts, audit=tuple(entry(name=put.name) for put in puts)))

    asyncio.run(run())


def refusal(state_dir: Path, url: str | None = None) -> str:
    """What opening says; nothing may be held afterwards."""
    with pytest.raises(StoreError) as caught:
        asyncio.run(Store.open(url, state_dir))
    return str(caught.value)


async def count(state_dir: Path, url: str | None = None) -> int:
    """How many resources there are."""
    async with opened(url, state_dir) as store:
        return len(await store.load())
