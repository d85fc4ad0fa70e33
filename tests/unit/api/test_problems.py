"""Errors that no operation makes, and what every response carries."""

from __future__ import annotations

import errno
import os

import pytest
from fastapi import FastAPI

from api.guards import is_loopback_host
from api.problems import SECURITY_HEADERS
from bgpsvc.model import SwitchMode
from bgpsvc.views import GatewayView, SwitchPlan
from tests.fakes.service import FakeService
from tests.unit.api.conftest import Client


class Broken(FakeService):
    """One method has a bug, and the disk is full."""

    async def set_auto_propagate(self, gateway: str, on: bool, if_match: str | None) -> GatewayView:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/secret/path")

    async def switch(self, connection: str, mode: SwitchMode, dry_run: bool) -> SwitchPlan:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/secret/path")

    def gateways(self) -> tuple[GatewayView, ...]:
        raise RuntimeError("the secret inside")


@pytest.fixture
def service() -> FakeService:
    return Broken()


def test_an_error_of_ours_tells_nothing_about_the_inside(client: Client) -> None:
    response = client("GET", "/v1/vpn-gateways")
    assert response.status_code == 500
    assert response.json() == {
        "type": "urn:bgpsvc:problem:internal-error",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "the service made a mistake; its log has the details",
        "instance": "/v1/vpn-gateways",
    }


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
    wrong = client("DELETE", "/v1/vpcs")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET")
    assert wrong.json()["detail"] == "DELETE is not allowed here, GET is"


@pytest.mark.parametrize("path", ["/v1/vpcs/", "/v1/vpn-gateways/", "/v1/vpn-gateways/gw1/routes/"])
def test_a_trailing_slash_is_another_path(client: Client, path: str) -> None:
    response = client("GET", path)
    assert (response.status_code, "location" in response.headers) == (404, False)


def test_a_body_that_is_far_too_large(client: Client) -> None:
    response = client(
        "PATCH",
        "/v1/vpn-gateways/gw1",
        content=b'{"auto_propagate":' + b" " * 70000 + b"true}",
        headers={"Content-Type": "application/json"},
    )
    assert response.status_code == 413
    assert response.json()["type"] == "urn:bgpsvc:problem:request-too-large"


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


def test_only_loopback_names_are_answered_over_tcp(client: Client) -> None:
    """DNS rebinding: a foreign name that resolves to 127.0.0.1."""
    response = client("GET", "/v1/vpcs", base="http://evil.example:8179")
    assert response.status_code == 421
    assert response.headers["x-content-type-options"] == "nosniff"
    for base in ("http://127.0.0.1:8179", "http://localhost:8179", "http://[::1]:8179"):
        assert client("GET", "/v1/vpcs", base=base).status_code == 200


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
