"""Resources that come from a file: they can be read, and propagation can be switched."""

from __future__ import annotations

import pytest

from tests.fakes.service import FakeService
from tests.unit.api.conftest import Client

GATEWAY = "/v1/vpn-gateways/gw1"

pytestmark = pytest.mark.usefixtures("read_only")


@pytest.mark.parametrize("media", ["application/merge-patch+json", "application/json; charset=utf-8"])
def test_patch_switches_propagation(client: Client, service: FakeService, media: str) -> None:
    before = client("GET", GATEWAY)
    assert before.headers["etag"] == '"g1"'
    headers = {"Content-Type": media, "If-Match": before.headers["etag"]}
    after = client("PATCH", GATEWAY, content=b'{"auto_propagate": false}', headers=headers)
    assert after.status_code == 200
    assert after.headers["etag"] == '"g2"'
    assert (after.json()["auto_propagate"], after.json()["advertised"]) == (False, [])
    assert not service.auto_propagate
    assert client.get("/v1/vpcs/vpc1/routes")["items"] == []


@pytest.mark.parametrize("body", [b'{"auto_propagate": false}', b"{}"])
@pytest.mark.parametrize("if_match", ['"g0"', 'W/"g1"', '"g0", "g2"', "g1"])
def test_a_stale_etag_changes_nothing(
    client: Client, service: FakeService, if_match: str, body: bytes
) -> None:
    headers = {"If-Match": if_match, "Content-Type": "application/json"}
    response = client("PATCH", GATEWAY, content=body, headers=headers)
    assert response.status_code == 412
    assert response.json()["detail"] == ('the resource has changed since it was read: its ETag is now "g1"')
    assert service.auto_propagate


@pytest.mark.parametrize("if_match", ["*", '"g0", "g1"', '"g1"'])
def test_an_etag_that_matches_lets_the_change_pass(
    client: Client, service: FakeService, if_match: str
) -> None:
    response = client("PATCH", GATEWAY, json={"auto_propagate": False}, headers={"If-Match": if_match})
    assert response.status_code == 200
    assert not service.auto_propagate


def test_a_patch_that_leaves_everything_out_changes_nothing(client: Client, service: FakeService) -> None:
    response = client("PATCH", GATEWAY, json={})
    assert response.status_code == 200
    assert response.headers["etag"] == '"g1"'
    assert service.auto_propagate


def test_a_wrong_value_is_told_with_its_place(client: Client, service: FakeService) -> None:
    response = client("PATCH", GATEWAY, json={"auto_propagate": None})
    assert response.status_code == 422
    assert response.json()["errors"] == [
        {
            "in": "body",
            "pointer": "#/auto_propagate",
            "detail": "is neither true nor false",
            "value": "None",
            "allowed": "true or false",
        },
    ]
    assert service.auto_propagate


def test_nothing_else_can_be_changed(client: Client, service: FakeService) -> None:
    response = client("PATCH", GATEWAY, json={"auto_propagate": False, "vpc": "vpc2"})
    assert (response.status_code, response.json()["type"]) == (409, "urn:bgpsvc:problem:read-only")
    assert response.json()["detail"] == (
        "the resources come from /etc/bgpsvc.yaml, and are changed there: "
        "only auto_propagate can change here, not vpc"
    )
    assert service.auto_propagate


def test_a_dry_run_tells_what_would_change(client: Client, service: FakeService) -> None:
    response = client("PATCH", f"{GATEWAY}?dry_run=true", json={"auto_propagate": False})
    assert response.json()["dry_run"] is True
    (planned,) = response.json()["plan"]["resources"]
    assert planned["fields"] == [{"pointer": "/auto_propagate", "old": True, "new": False}]
    assert service.auto_propagate


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/vpcs", {"name": "vpc2", "cidrs": ["10.2.0.0/16"]}),
        ("PUT", "/v1/vpcs/vpc1", {"name": "vpc1", "cidrs": ["10.2.0.0/16"]}),
        ("PATCH", "/v1/vpcs/vpc1", {"cidrs": ["10.2.0.0/16"]}),
        ("DELETE", "/v1/vpn-connections/conn1", None),
        ("POST", "/v1/configuration/apply", {}),
        ("POST", "/v1/configuration/delete", {}),
    ],
)
def test_resources_are_changed_in_their_file(
    client: Client, method: str, path: str, body: dict[str, object] | None
) -> None:
    response = client(method, path, json=body)
    assert (response.status_code, response.json()["type"]) == (409, "urn:bgpsvc:problem:read-only")


@pytest.mark.parametrize("media", ["text/plain", None])
def test_a_patch_of_another_media_type_is_a_415(
    client: Client, service: FakeService, media: str | None
) -> None:
    headers = {"Content-Type": media} if media else {}
    response = client("PATCH", GATEWAY, content=b'{"auto_propagate": false}', headers=headers)
    assert response.status_code == 415
    assert response.headers["accept-patch"] == "application/merge-patch+json, application/json"
    assert service.auto_propagate
