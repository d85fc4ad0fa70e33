"""Requests in the log."""

from __future__ import annotations

import logging

import pytest
from fastapi import FastAPI

from api.app import create_app
from api.observed import Observed
from tests.fakes.control import FakeControl
from tests.fakes.service import FakeService
from tests.unit.api.conftest import Client
from tests.unit.api.contract import Contract


def logged(service: FakeService, control: FakeControl) -> FastAPI:
    return create_app(service, control, version="0.1.0", log_requests=True)


def test_each_request_is_a_line_with_who_and_what_came_of_it(
    service: FakeService, control: FakeControl, contract: Contract, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(logged(service, control), contract)
    with caplog.at_level(logging.INFO, "bgpsvc.requests"):
        client("GET", "/v1/vpn-gateways/gw1/routes?q=64999")
        client("GET", "/v1/no-such-thing")
    found, missing = (record.request for record in caplog.records)
    assert (found["method"], found["path"], found["status"]) == ("GET", "/v1/vpn-gateways/gw1/routes", 200)
    assert found["route"] == "/v1/vpn-gateways/{name}/routes"
    assert found["duration_ms"] >= 0
    assert (missing["status"], missing["route"]) == (404, None)
    assert "64999" not in caplog.text
    assert caplog.messages[1].startswith("GET /v1/no-such-thing: 404 in ")


def test_no_path_forges_a_line(
    service: FakeService, control: FakeControl, contract: Contract, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(logged(service, control), contract)
    with caplog.at_level(logging.INFO, "bgpsvc.requests"):
        client("GET", "/v1/x%0d%0a2026-01-01%20INFO%20bgpsvc:%20all%20is%20well")
    (message,) = caplog.messages
    assert "\n" not in message
    assert "%0d%0a2026-01-01" in message.lower()


def test_a_request_that_fails_is_told_as_the_client_hears_it(
    service: FakeService,
    control: FakeControl,
    contract: Contract,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(FakeService, "gateway", broken)
    with caplog.at_level(logging.INFO, "bgpsvc.requests"):
        answer = Client(logged(service, control), contract)("GET", "/v1/vpn-gateways/gw1")
    assert answer.status_code == 500
    assert [r.request["status"] for r in caplog.records if r.name == "bgpsvc.requests"] == [500]


def test_nothing_stands_in_the_way_where_nobody_wants_to_know(app: FastAPI) -> None:
    assert Observed not in [middleware.cls for middleware in app.user_middleware]
