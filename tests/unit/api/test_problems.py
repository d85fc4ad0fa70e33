"""Errors that no operation makes, and what every response carries."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI

from api.app import create_app
from api.guards import is_loopback_host
from api.problems import SECURITY_HEADERS
from bgpsvc.control import SYSTEM, Actor, Scope
from bgpsvc.model import SwitchMode
from bgpsvc.views import GatewayView, Page, SwitchPlan
from tests.fakes.control import FakeControl
from tests.fakes.service import FakeService
from tests.unit.api.conftest import Client
from tests.unit.api.contract import Contract


class Broken(FakeService):
    """One method has a bug, and the disk is full."""

    async def set_auto_propagate(
        self, gateway: str, on: bool, if_match: str | None, actor: Actor = SYSTEM
    ) -> GatewayView:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/secret/path")

    async def switch(
        self,
        connection: str,
        mode: SwitchMode,
        dry_run: bool,
        actor: Actor = SYSTEM,
        reason: str | None = None,
    ) -> SwitchPlan:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/secret/path")

    def session_page(self, after: str | None, limit: int) -> Page:
        raise RuntimeError("the secret inside")


@pytest.fixture
def service() -> FakeService:
    return Broken()


def test_an_error_of_ours_tells_nothing_about_the_inside(client: Client) -> None:
    response = client("GET", "/v1/bgp-sessions")
    assert response.status_code == 500
    assert response.json() == {
        "type": "urn:bgpsvc:problem:internal-error",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "the service made a mistake; its log has the details",
        "instance": "/v1/bgp-sessions",
    }


@pytest.mark.usefixtures("read_only")
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/v1/vpn-gateways/gw1", {"auto_propagate": False}),
        ("POST", "/v1/vpn-connections/conn1/switch", {"mode": "standby"}),
    ],
)
def test_a_full_disk_refuses_a_change_with_the_reason(
    client: Client, method: str, path: str, body: dict[str, object]
) -> None:
    response = client(method, path, json=body)
    assert response.json() == {
        "type": "urn:bgpsvc:problem:not-stored",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "the change was not made: No space left on device",
        "instance": path,
    }


def test_unknown_paths_and_methods(client: Client) -> None:
    missing = client("GET", "/v1/nothing")
    assert (missing.status_code, missing.json()["type"]) == (404, "urn:bgpsvc:problem:not-found")
    wrong = client("DELETE", "/v1/bgp-sessions")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET")
    assert wrong.json()["detail"] == "DELETE is not allowed here, GET is"
    for path, allowed in (
        ("/v1/vpcs/vpc1", "DELETE, GET, PATCH, PUT"),
        ("/v1/tokens", "GET, POST"),
        ("/v1/vpn-gateways/gw1/routes/10.0.0.0/8/explain", "GET"),
    ):
        assert client("OPTIONS", path).headers["allow"] == allowed


@pytest.mark.parametrize("path", ["/v1/vpcs/", "/v1/vpn-gateways/", "/v1/vpn-gateways/gw1/routes/"])
def test_a_trailing_slash_is_another_path(client: Client, path: str) -> None:
    response = client("GET", path)
    assert (response.status_code, "location" in response.headers) == (404, False)


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/v1/vpn-connections/conn1/switch", 64 * 1024),
        ("/v1/customer-gateways", 1024 * 1024),
        ("/v1/configuration/apply", 16 * 1024 * 1024),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_far_too_large(client: Client, path: str, most: int, chunked: bool) -> None:
    """With Content-Length it is refused unread, without one as soon as it is too long."""
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent <= most * 2:
            sent += 65536
            yield b" " * 65536

    headers = JSON if chunked else JSON | {"Content-Length": str(most + 1)}
    response = client("POST", path, content=body(), headers=headers)
    assert response.status_code == 413
    assert response.json()["type"] == "urn:bgpsvc:problem:request-too-large"
    assert response.json()["detail"] == f"the body must not be larger than {most} bytes"
    assert sent <= most + 65536 if chunked else sent == 0


def test_a_body_just_small_enough_is_read(client: Client) -> None:
    content = b"{" + b" " * (64 * 1024 - 2) + b"}"
    response = client("POST", "/v1/vpn-connections/conn1/switch", content=content, headers=JSON)
    assert response.json()["errors"] == [{"in": "body", "pointer": "#/mode", "detail": "is missing"}]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/vpcs"),
        ("GET", "/v1/vpn-gateways"),
        ("GET", "/nothing"),
        ("PUT", "/v1/vpcs"),
        ("GET", "/metrics"),
        ("GET", "/v1/events?limit=0"),
    ],
)
def test_every_response_carries_security_headers_and_no_cors(client: Client, method: str, path: str) -> None:
    response = client(method, path, headers={"Origin": "http://example.com"})
    for name, value in SECURITY_HEADERS.items():
        assert response.headers.get_list(name) == [value]
    assert not [name for name in response.headers if name.startswith("access-control")]


def test_there_is_no_page_that_loads_from_elsewhere(app: FastAPI, client: Client) -> None:
    for path in ("/docs", "/redoc"):
        assert client("GET", path).status_code == 404
    assert app.openapi()["openapi"].startswith("3.1")


def test_without_a_token_only_loopback_names_are_answered(
    service: FakeService, control: FakeControl, contract: Contract
) -> None:
    """DNS rebinding: a foreign name that resolves to 127.0.0.1."""
    app = create_app(service, control, version="0.1.0", anonymous=Scope.READ)
    client = Client(app, contract)
    response = client("GET", "/v1/vpcs", base="http://evil.example:8179")
    assert response.status_code == 421
    assert response.headers["x-content-type-options"] == "nosniff"
    for base in ("http://127.0.0.1:8179", "http://localhost:8179", "http://[::1]:8179"):
        assert client("GET", "/v1/vpcs", base=base).status_code == 200
    token = {"Authorization": f"Bearer {control.add_token('far', Scope.READ).text}"}
    assert client("GET", "/v1/vpcs", base="http://gateway.example:8179", headers=token).status_code == 200


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("LOCALHOST:80", True),
        ("127.0.0.1", True),
        ("127.9.9.9:8179", True),
        ("[::1]:8179", True),
        ("", False),
        ("localhost.example:80", False),
        ("127.0.0.1.example", False),
        ("10.0.0.1", False),
        ("[2001:db8::1]:80", False),
    ],
)
def test_loopback_hosts(host: str, loopback: bool) -> None:
    assert is_loopback_host(host) is loopback
