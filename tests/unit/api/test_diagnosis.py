"""Asking why a connection does not work."""

from __future__ import annotations

import pytest

from tests.fakes.service import ACTIVE, STANDBY
from tests.unit.api.conftest import Client

PATH = "/v1/vpn-connections/conn1/diagnose"


def test_both_tunnels_are_examined_unless_one_is_named(client: Client) -> None:
    found = client("POST", PATH)
    assert found.status_code == 200
    body = found.json()
    assert [t["tunnel"] for t in body["tunnels"]] == [ACTIVE, STANDBY]
    assert (body["time"], body["seconds"]) == ("2025-10-09T09:53:20.000Z", 1.25)
    one = client("POST", PATH, json={"tunnel": 2}).json()
    assert [t["tunnel"] for t in one["tunnels"]] == [STANDBY]
    assert client("POST", PATH, json={}).json() == body


def test_the_first_fault_stands_beside_the_checks(client: Client) -> None:
    active, standby = client("POST", PATH).json()["tunnels"]
    assert active["fault"] == active["checks"][0]
    assert active["fault"]["code"] == "bgp_wrong_asn"
    assert active["fault"]["evidence"][0] == {
        "label": "ASN of the peer",
        "value": None,
        "local": "65500",
        "remote": "65501",
    }
    assert standby["fault"] is None


@pytest.mark.parametrize("tunnel", [0, 3, "1", 1.5, True])
def test_there_are_two_tunnels(client: Client, tunnel: object) -> None:
    response = client("POST", PATH, json={"tunnel": tunnel})
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "#/tunnel"


def test_what_is_not_there_is_not_diagnosed(client: Client) -> None:
    assert client("POST", "/v1/vpn-connections/conn9/diagnose").status_code == 404
    assert client("POST", PATH, json={"tunnels": 1}).status_code == 422
    assert client("POST", f"{PATH}?tunnel=1").status_code == 422
