"""Metrics of the REST surface: what was asked, how long it took, and what lets clients in."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api.app import create_app
from api.server import ApiServer, Listen
from api.tls import Tls, expiry
from bgpsvc.control import SYSTEM, Scope
from tests.fakes.control import FakeControl
from tests.fakes.service import FakeService
from tests.unit.api.conftest import Client
from tests.unit.api.test_tls import make


def samples(app: FastAPI, *names: str) -> dict[str, float]:
    """Samples of these metrics, as a local user is told them."""

    async def ask() -> str:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answer = await client.get("/metrics")
        assert answer.status_code == 200
        return answer.text

    text = asyncio.run(ask())
    found = (line.rpartition(" ") for line in text.splitlines() if line.startswith(tuple(names)))
    return {name: float(value) for name, _, value in found}


@pytest.fixture
def app(service: FakeService, control: FakeControl) -> FastAPI:
    return create_app(service, control, version="0.1.0", anonymous=Scope.ADMIN)


def counted(method: str, route: str, code: int) -> str:
    return f'bgpsvc_http_requests_total{{code="{code}",method="{method}",route="{route}"}}'


def test_requests_are_counted_by_route_whatever_clients_send(app: FastAPI, client: Client) -> None:
    client("GET", "/v1/vpcs/vpc1")
    client("GET", "/v1/vpcs/nothing")
    for number in range(3):
        client("GET", f"/nowhere/{number}")
    found = samples(app, "bgpsvc_http")
    assert found[counted("GET", "/v1/vpcs/{name}", 200)] == 1
    assert found[counted("GET", "/v1/vpcs/{name}", 404)] == 1
    assert found[counted("GET", "none", 404)] == 3
    routes = {name for name in found if name.startswith("bgpsvc_http_requests_total")}
    assert not [name for name in routes if "nowhere" in name]
    assert found['bgpsvc_http_request_duration_seconds_count{method="GET",route="/v1/vpcs/{name}"}'] == 2
    assert found["bgpsvc_http_requests_open"] == 1, "this one"


def test_made_up_methods_share_a_name(app: FastAPI, client: Client) -> None:
    async def ask(method: str) -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
            await http.request(method, "/v1/vpcs")

    for method in ("BREW", "WHEN"):
        asyncio.run(ask(method))
    methods = [name for name in samples(app, "bgpsvc_http_requests_total") if 'method="other"' in name]
    assert len(methods) == 1


def test_a_crash_is_counted_as_the_500_that_the_client_gets(
    app: FastAPI, client: Client, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash() -> Any:
        raise RuntimeError("a defect")

    monkeypatch.setattr(service, "ready", crash)
    assert client("GET", "/readyz").status_code == 500
    assert samples(app, "bgpsvc_http_requests_total")[counted("GET", "/readyz", 500)] == 1


def test_tokens_that_expire_are_told_once_they_were_used(app: FastAPI, control: FakeControl) -> None:
    async def use(expires_at: float | None) -> str:
        made = await control.create_token("ci", Scope.READ, expires_at, SYSTEM)
        assert await control.authenticate(made.text, "") is not None
        return made.view.id

    asyncio.run(use(None))
    ident = asyncio.run(use(2e9))
    asyncio.run(control.create_token("unused", Scope.READ, 2e9, SYSTEM))
    labels = f'{{name="ci",token="{ident}"}}'
    found = samples(app, "bgpsvc_token")
    assert found.pop(f"bgpsvc_token_created_timestamp_seconds{labels}") < 2e9
    assert found == {f"bgpsvc_token_expiry_timestamp_seconds{labels}": 2e9}


def test_the_certificates_end_is_told_also_after_it_was_read_again(
    app: FastAPI, service: FakeService, tmp_path: Path
) -> None:
    assert samples(app, "bgpsvc_tls") == {}
    one = make(tmp_path, "one")
    server = ApiServer(app, Listen(), tls=one)
    try:
        end = expiry(one)
        assert end is not None
        assert samples(app, "bgpsvc_tls") == {"bgpsvc_tls_certificate_expiry_timestamp_seconds": end}
        app.state.certificate_expiry = None
        server.reload_certificates()
        assert app.state.certificate_expiry == end
    finally:
        server._socket.close()


def test_a_certificate_that_cannot_be_read_has_no_end(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", encoding="ascii")
    assert expiry(Tls(broken, broken)) is None
    assert expiry(Tls(tmp_path / "none", broken)) is None
