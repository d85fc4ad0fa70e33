"""Explaining a route and asking what would happen."""

from __future__ import annotations

import pytest

from tests.fakes.control import FakeControl
from tests.fakes.service import ACTIVE, FakeService
from tests.unit.api.conftest import Client
from tests.unit.api.contract import Json

ROUTES = "/v1/vpn-gateways/gw1/routes"
SIMULATE = "/v1/vpn-gateways/gw1/simulate"


@pytest.mark.parametrize(
    ("asked", "prefix"),
    [
        ("192.168.0.0/16", "192.168.0.0/16"),
        ("192.168.0.0%2F16", "192.168.0.0/16"),
        ("192.168.10.7", "192.168.10.0/24"),
        ("2001:db8:2::/48", "2001:db8:2::/48"),
        ("2001%3Adb8%3A2%3A%3A%2F48", "2001:db8:2::/48"),
        ("2001:db8:2::1", "2001:db8:2::/48"),
    ],
)
def test_a_route_is_explained(client: Client, asked: str, prefix: str) -> None:
    story = client.get(f"{ROUTES}/{asked}/explain")
    assert story["prefix"] == prefix
    assert [path["session"] for path in story["paths"]] == [ACTIVE, "conn1-tunnel2"]
    assert story["summary"] == f"packets take {ACTIVE}"


def test_a_refused_path_says_why(client: Client) -> None:
    story = client.get(f"{ROUTES}/10.0.5.0/24/explain")
    assert (story["state"], story["reason"]) == ("not_installed", "inside_vpc_cidr")
    assert [path["candidate"] for path in story["paths"]] == [None, None]


@pytest.mark.parametrize("asked", ["10.0.0.1/8", "10.0.0.0/33", "host", "10.0.0.0/8/9", "/8"])
def test_what_is_no_prefix_cannot_be_explained(client: Client, asked: str) -> None:
    response = client("GET", f"{ROUTES}/{asked}/explain")
    assert response.status_code == 422
    assert (response.json()["errors"][0]["in"], response.json()["errors"][0]["pointer"]) == (
        "path",
        "#/prefix",
    )


def test_nobody_announces_it(client: Client) -> None:
    assert client("GET", f"{ROUTES}/203.0.113.0/24/explain").status_code == 404
    assert client("GET", "/v1/vpn-gateways/gw9/routes/10.0.0.0/8/explain").status_code == 404


def test_what_would_happen_does_not(client: Client, service: FakeService, control: FakeControl) -> None:
    before = (list(service.log), control.configuration_etag())
    outcome = client("POST", SIMULATE, json={"fail_tunnels": [ACTIVE], "samples": 1})
    assert outcome.status_code == 200
    assert (outcome.json()["lost"]["count"], len(outcome.json()["lost"]["samples"])) == (3, 1)
    assert (service.log, control.configuration_etag()) == before
    assert client("POST", SIMULATE, json={}).json()["unchanged"] == 4


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"fail_tunnels": ["conn9-tunnel1"]}, "#/fail_tunnels/0"),
        ({"recover_tunnels": [""]}, "#/recover_tunnels/0"),
        ({"samples": 1001}, "#/samples"),
        ({"samples": "5"}, "#/samples"),
        ({"auto_propagate": "no"}, "#/auto_propagate"),
        ({"documents": {"vpcs": [{"name": "vpc1", "cidrs": ["x"]}]}}, "#/documents/vpcs/0/cidrs/0"),
        ({"fial_tunnels": []}, "#/fial_tunnels"),
    ],
)
def test_a_question_that_cannot_be_understood(client: Client, body: Json, pointer: str) -> None:
    response = client("POST", SIMULATE, json=body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == pointer
