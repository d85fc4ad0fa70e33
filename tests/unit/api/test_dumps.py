"""Dumps in MRT over HTTP."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from starlette.types import Message

from api import dumps
from api.app import create_app
from bgpsvc.control import Scope
from tests.fakes.control import FakeControl
from tests.fakes.service import FakeService
from tests.mrt_files import dumped
from tests.unit.api.conftest import Client
from tests.unit.api.contract import Contract
from tests.unit.api.test_access import TCP, Asked, bearer

PATH = "/v1/vpn-gateways/gw1/routes/mrt"


def test_a_dump_is_a_file(client: Client, tmp_path: Path) -> None:
    response = client("GET", PATH)
    assert response.headers["content-type"] == "application/octet-stream"
    named = response.headers["content-disposition"]
    assert re.fullmatch(r'attachment; filename="rib-gw1-received-\d{8}T\d{6}Z\.mrt"', named)
    file = tmp_path / "rib.mrt"
    file.write_bytes(response.content)
    assert len({path.peer for path in dumped(file)}) == 2


@pytest.mark.parametrize(
    ("query", "families", "peers"),
    [("?family=ipv4", {False}, 2), ("?family=ipv6&which=best", {True}, 1), ("?which=best", {False, True}, 2)],
)
def test_paths_and_families_can_be_chosen(
    client: Client, tmp_path: Path, query: str, families: set[bool], peers: int
) -> None:
    file = tmp_path / "rib.mrt"
    file.write_bytes(client("GET", PATH + query).content)
    found = dumped(file)
    assert {":" in path.prefix for path in found} == families
    assert len({path.peer for path in found}) == peers


@pytest.mark.parametrize(("query", "pointer"), [("?which=all", "#/which"), ("?session=x", "#/session")])
def test_what_cannot_be_understood_is_a_422(client: Client, query: str, pointer: str) -> None:
    response = client("GET", PATH + query)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"].startswith(pointer)


def test_too_many_at_once_are_told_to_wait(client: Client, service: FakeService) -> None:
    service.dumping = 1
    response = client("GET", PATH)
    assert (response.status_code, response.headers["retry-after"]) == (429, "10")
    assert client("GET", "/v1/vpn-gateways/gw9/routes/mrt").status_code == 429
    service.dumping = 0
    assert client("GET", "/v1/vpn-gateways/gw9/routes/mrt").status_code == 404


def test_a_dump_ends_early_when_its_token_is_revoked(service: FakeService, contract: Contract) -> None:
    control = Asked(service)
    token = control.add_token("copier", Scope.READ)
    client = Client(create_app(service, control, version="0.1.0"), contract)
    whole = client("GET", PATH, base=TCP, headers=bearer(token.text))
    assert control.looked == 4
    assert service.dumping == 0, "nothing of it is left behind"
    complete = Client(create_app(service, FakeControl(service), version="0.1.0"), contract)("GET", PATH)
    assert len(whole.content) < len(complete.content)


def test_a_dump_that_is_not_read_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others wait for its place."""
    monkeypatch.setattr(dumps, "STALL", 0.05)
    ended = []

    async def rest() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"more"
        finally:
            ended.append(True)

    async def send(message: Message) -> None:
        if message.get("body") == b"more":
            await asyncio.Future()

    async def receive() -> Message:
        return await asyncio.Future()

    async def allowed() -> bool:
        return True

    scope = {"type": "http", "asgi": {"spec_version": "2.3"}}
    response = dumps.DumpResponse("rib-gw1-best", b"first", rest(), allowed)
    with pytest.raises(dumps.NotRead, match="nothing of a dump was read"):
        asyncio.run(asyncio.wait_for(response(scope, receive, send), 30))
    assert ended
