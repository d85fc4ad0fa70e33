"""Who asks: every kind of caller, every scope, and why nothing can be changed."""

from __future__ import annotations

import pytest
from fastapi import FastAPI

from api.app import create_app
from bgpsvc.control import Scope
from tests.fakes.control import FakeControl
from tests.fakes.service import FakeService
from tests.unit.api.conftest import Client
from tests.unit.api.contract import Contract

TCP = "http://gateway.example:8179"
LOOPBACK = "http://127.0.0.1:8179"
WRITABLE = {"read_only": False, "read_only_reason": None}


@pytest.mark.parametrize("scope", list(Scope))
def test_a_token_hears_its_name_and_scope(client: Client, control: FakeControl, scope: Scope) -> None:
    made = control.add_token("night shift", scope)
    response = client("GET", "/v1/whoami", base=TCP, headers={"Authorization": f"Bearer {made.text}"})
    name = f"token {made.view.id} (night shift)"
    assert response.json() == {"name": name, "kind": "token", "scope": scope.value, **WRITABLE}
    assert made.text not in response.text


def test_nobody_hears_nothing(client: Client) -> None:
    assert client("GET", "/v1/whoami", base=TCP).status_code == 401


def test_without_a_token_it_says_so(service: FakeService, control: FakeControl, contract: Contract) -> None:
    app: FastAPI = create_app(service, control, version="0.1.0", anonymous=Scope.OPERATE)
    answer = Client(app, contract)("GET", "/v1/whoami", base=LOOPBACK).json()
    assert answer == {"name": "anonymous", "kind": "anonymous", "scope": "operate", **WRITABLE}


def test_the_unix_socket_is_its_owners(client: Client) -> None:
    assert client.get("/v1/whoami") == {
        "name": "unix socket",
        "kind": "unix_socket",
        "scope": "admin",
        **WRITABLE,
    }


def test_a_file_is_named_as_the_reason(client: Client, control: FakeControl) -> None:
    control.file = "/etc/bgpsvc.yaml"
    answer = client.get("/v1/whoami")
    assert answer["read_only"] is True
    assert answer["read_only_reason"] == "the resources come from /etc/bgpsvc.yaml"
