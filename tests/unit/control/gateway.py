"""A controller over a real store and a real engine, without kernel and speakers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from bgpsvc.choices import Choices
from bgpsvc.control import Actor, Scope, WriteOptions
from bgpsvc.controller import Controller
from bgpsvc.documents import catalog_of
from bgpsvc.effects import Log
from bgpsvc.engine import Engine
from bgpsvc.resources import Intent
from bgpsvc.runtime import Runtime
from bgpsvc.settling import Settling
from bgpsvc.store.database import Store

ADMIN = Actor("token a1 (ann)", Scope.ADMIN, "192.0.2.1", "a1")
NOW = WriteOptions()
DRY = WriteOptions(dry_run=True)


class FakeRuntime:
    """What the controller needs of a running gateway. `settle` is what the background does."""

    def __init__(self, intent: Intent) -> None:
        self.engine = Engine(intent, 0.0)
        self.wall = 0.0
        self.custom_problems: dict[str, str] = {}
        self.guardian = None  # asked by diagnoses alone, and nobody makes one here
        self.settling = Settling(1.0)
        self.adopted: list[Intent] = []
        self.forgotten: list[str] = []
        self.noted: list[Log] = []

    @property
    def settled(self) -> int:
        return self.settling.done

    @property
    def problem(self) -> str | None:
        return self.settling.problem

    def adopt(self, intent: Intent) -> int:
        self.adopted.append(intent)
        return self.settling.request(self.engine.reconfigure(intent, 0.0))

    def note(self, entry: Log) -> None:
        self.noted.append(entry)

    def forget_mode(self, connection: str) -> None:
        self.forgotten.append(connection)

    async def settle(self) -> None:
        """Let kernel and speakers take what was asked for."""
        number, _ = await self.settling.next()
        self.settling.succeeded(number)


class Place:
    """One life of the daemon: controller, store, and the gateway behind them."""

    def __init__(self, controller: Controller, runtime: FakeRuntime, store: Store, choices: Choices) -> None:
        self.controller = controller
        self.runtime = runtime
        self.store = store
        self.choices = choices

    async def build(self, *kinds: str) -> None:
        """Make the reference resources of these kinds, and let them settle."""
        for kind in kinds:
            for document in REFERENCE[kind]:
                await self.controller.create(kind, document, NOW, ADMIN)
        await self.runtime.settle()


@asynccontextmanager
async def living(url: str | None, state_dir: Path, file: str | None = None) -> AsyncIterator[Place]:
    """The daemon over a database; as many lives as wanted."""
    store = await Store.open(url, state_dir)
    try:
        catalog = catalog_of(await store.load())
        runtime = FakeRuntime(catalog.intent)
        choices = Choices(store, await store.choices(), catalog.intent)
        controller = Controller(cast(Runtime, runtime), store, choices, catalog, file)
        yield Place(controller, runtime, store, choices)
    finally:
        await store.close()


def tunnel(number: int) -> dict[str, Any]:
    """A tunnel of the reference connection."""
    return {
        "customer_gateway": f"peer{number}",
        "bgp": {"tunnel_cidr": f"169.254.{number}0.0/30", "local_ip": f"169.254.{number}0.1"},
    }


REFERENCE: dict[str, list[dict[str, Any]]] = {
    "vpcs": [{"name": "vpc1", "cidrs": ["10.0.0.0/16"]}],
    "vpn_gateways": [{"name": "gw1", "vpc": "vpc1", "addresses": ["198.51.100.1", "198.51.100.3"]}],
    "customer_gateways": [
        {"name": "peer1", "address": "198.51.100.2", "asn": 65500},
        {"name": "peer2", "address": "198.51.100.4", "asn": 65500},
    ],
    "vpn_connections": [
        {
            "name": "conn1",
            "vpn_gateway": "gw1",
            "enable_bgp": True,
            "local_asn": 65530,
            "tunnels": [tunnel(1), tunnel(2)],
        }
    ],
}
ALL = ("vpcs", "vpn_gateways", "customer_gateways", "vpn_connections")
