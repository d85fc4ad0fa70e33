"""Creating, replacing, changing and deleting resources; each response is checked against the document."""

from __future__ import annotations

import json

import pytest

from api.examples_documents import DOCUMENTS
from bgpsvc.resources.fields import MASK
from bgpsvc.resources.kinds import KINDS, Kind
from tests.fakes.control import FakeControl
from tests.fakes.service import FakeService
from tests.unit.api.conftest import Client
from tests.unit.api.contract import Json

CGW = "/v1/customer-gateways"
NEW = {"name": "cgw9", "address": "198.51.100.9", "asn": 65501}
IDS = [kind.path for kind in KINDS]


@pytest.fixture
def control(service: FakeService) -> FakeControl:
    """The examples of the document, less the first of each kind: those are what tests make."""
    rest = {key: found for key, found in DOCUMENTS.items() if key != "vpc_routes"}
    return FakeControl(service, rest)


def described(kind: Kind) -> Json:
    """Another resource of a kind, which fits beside the examples."""
    others: dict[str, Json] = {
        "vpcs": {"name": "other", "cidrs": ["10.77.0.0/16"], "route_table": 1077},
        "vpn_connections": {
            "name": "other",
            "vpn_gateway": "gw1",
            "tunnels": [{"customer_gateway": "cgw2"}],
        },
        "customer_gateways": {"name": "other", "address": "198.51.100.9"},
        "destination_routes": {
            "name": "other",
            "vpn_gateway": "gw1",
            "destination": "172.30.0.0/16",
            "vpn_connection": "conn2",
        },
    }
    others["policy_routes"] = DOCUMENTS["policy_routes"][0] | {"name": "other", "priority": 11}
    return others.get(kind.key) or DOCUMENTS[kind.key][0] | {"name": "other"}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.key != "vpn_gateways"], ids=lambda k: k.key)
def test_every_kind_is_made_read_replaced_changed_and_deleted(client: Client, kind: Kind) -> None:
    document = described(kind)
    made = client("POST", f"/v1/{kind.path}", json=document)
    assert made.status_code == 201, made.text
    path = made.headers["location"]
    assert path == f"/v1/{kind.path}/other"
    assert made.json()["plan"]["resources"][0]["action"] == "create"
    shown = client("GET", path)
    assert shown.headers["etag"] == made.headers["etag"] == f'"{shown.json()["etag"]}"'
    assert shown.json() == {key: value for key, value in made.json().items() if key != "plan"}
    assert shown.json() in client.get(f"/v1/{kind.path}")["items"]
    # What is shown is a document: writing it back changes nothing.
    config = shown.json()["config"]
    same = client("PUT", path, json=config, headers={"If-Match": shown.headers["etag"]})
    assert (same.status_code, same.headers["etag"]) == (200, shown.headers["etag"]), same.text
    assert same.json()["plan"]["resources"] == []
    assert client("PATCH", path, json={}).json()["config"] == config
    gone = client("DELETE", path)
    assert (gone.status_code, gone.json()["status"]) == (202, "deleting")
    assert client("GET", path).status_code == 404
    assert client("DELETE", path).status_code == 404


def test_a_gateway_goes_and_comes_back(client: Client, control: FakeControl) -> None:
    document = DOCUMENTS["vpn_gateways"][0]
    client("PATCH", "/v1/routing-policies/from-peers", json={"rules": []})
    for path in ("policy-routes/office", "destination-routes/branch", "vpn-connections/conn1"):
        assert client("DELETE", f"/v1/{path}").status_code == 202
    in_use = client("DELETE", "/v1/vpn-gateways/gw1")
    assert (in_use.status_code, in_use.json()["type"]) == (409, "urn:bgpsvc:problem:in-use")
    assert in_use.json()["users"] == ["VPN connection conn2"]
    assert in_use.json()["detail"] == "VPN gateway gw1 is in use by VPN connection conn2"
    client("DELETE", "/v1/vpn-connections/conn2")
    assert client("DELETE", "/v1/vpn-gateways/gw1").status_code == 202
    assert client("POST", "/v1/vpn-gateways", json=document).status_code == 201


def test_a_write_on_its_way_says_so(client: Client, control: FakeControl) -> None:
    control.settle = False
    made = client("POST", CGW, json=NEW).json()
    assert (made["status"], made["status_reason"]) == (
        "provisioning",
        "on its way into kernel and BGP speakers",
    )
    client("DELETE", f"{CGW}/cgw9")
    assert client.get(f"{CGW}/cgw9")["status"] == "deleting"
    control.settle = True
    assert client("GET", f"{CGW}/cgw9").status_code == 404


def test_what_is_being_deleted_runs_nothing(client: Client, control: FakeControl) -> None:
    """The engine has let go of it before kernel and speakers have."""
    control.settle = False
    client("POST", "/v1/vpcs", json={"name": "vpc9", "cidrs": ["10.9.0.0/16"], "route_table": 1009})
    shown = client.get("/v1/vpcs/vpc9")
    assert (shown["route_table"], shown["gateway"], shown["routes_installed"]) == (1009, None, 0)


def test_every_mistake_has_its_place_and_what_is_allowed(client: Client) -> None:
    body = {"name": "Bad Name", "address": "127.0.0.1", "asn": "65000.70000", "adress": 1}
    response = client("POST", CGW, json=body)
    assert response.status_code == 422
    errors = {error["pointer"]: error for error in response.json()["errors"]}
    assert errors.keys() == {"#/name", "#/address", "#/asn", "#/adress"}
    assert all(error["in"] == "body" and error["allowed"] for error in errors.values())
    assert errors["#/address"]["value"] == "127.0.0.1"
    assert response.json()["detail"] == "the request has 4 mistakes"


def test_a_secret_is_never_shown(client: Client) -> None:
    key = "VerySecretKey123"
    path = "/v1/vpn-connections/conn1"
    patch = {"tunnels": client.get(path)["config"]["tunnels"]}
    patch["tunnels"][0]["ike"]["pre_shared_key"] = key
    written = client("PATCH", path, json=patch)
    assert written.status_code == 200
    (change,) = written.json()["plan"]["resources"][0]["fields"]
    assert (change["pointer"], change["old"], change["new"]) == ("/tunnels/0/ike/pre_shared_key", MASK, MASK)
    patch["tunnels"][0]["ike"]["pre_shared_key"] = f"{key} "
    refused = client("PATCH", path, json=patch)
    assert refused.status_code == 422
    texts = [written.text, refused.text, json.dumps(client.get(path)), json.dumps(client.get("/v1/audit"))]
    texts.append(json.dumps(client.get("/v1/configuration")))
    assert not [text for text in texts if key in text]
    revealed = client("POST", f"{path}/reveal").json()["secrets"]
    assert revealed["/tunnels/0/ike/pre_shared_key"] == key
    assert client.get("/v1/audit?limit=1")["items"][0]["action"] == "reveal"


def test_a_mask_keeps_the_secret_and_one_is_made_if_none_is_given(client: Client) -> None:
    path = "/v1/vpn-connections/conn1"
    before = client("POST", f"{path}/reveal").json()["secrets"]
    document = client.get(path)["config"] | {"failback_hold_down": 9}
    assert document["tunnels"][0]["ike"]["pre_shared_key"] == MASK
    assert client("PUT", path, json=document).status_code == 200
    assert client("POST", f"{path}/reveal").json()["secrets"] == before
    made = described(KINDS[4])
    client("POST", "/v1/vpn-connections", json=made)
    secrets = client("POST", "/v1/vpn-connections/other/reveal").json()["secrets"]
    assert [len(secret) for secret in secrets.values()] == [16]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", CGW, NEW),
        ("PUT", f"{CGW}/cgw1", {"name": "cgw1", "address": "198.51.100.9", "asn": 65500}),
        ("PATCH", f"{CGW}/cgw1", {"address": "198.51.100.9"}),
        ("DELETE", "/v1/policy-routes/office", None),
        ("POST", "/v1/configuration/apply", {"customer_gateways": [NEW]}),
        ("POST", "/v1/configuration/delete", {"policy_routes": [{"name": "office"}]}),
    ],
)
def test_a_dry_run_tells_the_plan_and_changes_nothing(
    client: Client, control: FakeControl, method: str, path: str, body: Json
) -> None:
    before = (client.get("/v1/configuration"), control.configuration_etag(), len(control.log))
    dry = client(method, f"{path}?dry_run=true", json=body)
    assert (dry.status_code, dry.json()["dry_run"]) == (200, True)
    assert (client.get("/v1/configuration"), control.configuration_etag(), len(control.log)) == before
    wet = client(method, path, json=body)
    assert wet.json()["plan"] == dry.json()["plan"]
    assert len(dry.json()["plan"]["resources"]) == 1
    assert control.configuration_etag() != before[1]


def test_a_dry_run_finds_the_same_mistakes(client: Client) -> None:
    assert client("POST", f"{CGW}?dry_run=true", json=NEW | {"asn": 45104}).status_code == 422
    taken = client("POST", f"{CGW}?dry_run=true", json=NEW | {"name": "cgw1"})
    assert (taken.status_code, taken.json()["type"]) == (409, "urn:bgpsvc:problem:already-exists")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_stale_etag_changes_nothing(client: Client, control: FakeControl, method: str) -> None:
    path = "/v1/policy-routes/office"
    first = client("GET", path)
    changed = client("PATCH", path, json={"priority": 20}, headers={"If-Match": first.headers["etag"]})
    assert changed.headers["etag"] != first.headers["etag"]
    body = None if method == "DELETE" else first.json()["config"]
    stale = client(method, path, json=body, headers={"If-Match": first.headers["etag"]})
    bare = client(method, path, json=body, headers={"If-Match": changed.json()["etag"]})
    assert bare.status_code == 412, "an entity tag has quotes"
    assert (stale.status_code, stale.json()["type"]) == (412, "urn:bgpsvc:problem:precondition-failed")
    assert client.get(path)["config"]["priority"] == 20
    assert client(method, path, json=body, headers={"If-Match": changed.headers["etag"]}).is_success


def test_a_name_cannot_be_changed(client: Client) -> None:
    response = client("PATCH", f"{CGW}/cgw1", json={"name": "cgw7"})
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "#/name"


# Idempotency-Key.


def test_a_request_with_a_key_is_carried_out_once(client: Client, control: FakeControl) -> None:
    key = {"Idempotency-Key": "8e03978e-40d5-43e8-bc93-6894a57f9324"}
    first = client("POST", CGW, json=NEW, headers=key)
    again = client("POST", CGW, json=NEW, headers=key)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    for part in ("status_code", "content"):
        assert getattr(again, part) == getattr(first, part)
    assert (again.headers["location"], again.headers["etag"]) == (
        first.headers["location"],
        first.headers["etag"],
    )
    assert [entry.name for entry in control.log] == ["cgw9"]


def test_a_repetition_is_answered_although_its_etag_is_outdated_by_itself(client: Client) -> None:
    path = f"{CGW}/cgw9"
    config = client("POST", CGW, json=NEW).json()["config"]
    for method, body in (("PUT", config | {"asn": 65077}), ("PATCH", {"asn": 65078}), ("DELETE", None)):
        headers = {"If-Match": client("GET", path).headers["etag"], "Idempotency-Key": method}
        first = client(method, path, json=body, headers=headers)
        again = client(method, path, json=body, headers=headers)
        assert first.is_success
        assert (again.status_code, again.headers.get("idempotency-replayed")) == (first.status_code, "true")
    whole = {"If-Match": client("GET", "/v1/configuration").headers["etag"], "Idempotency-Key": "whole"}
    for operation in ("apply", "delete"):
        document = {"customer_gateways": [NEW]}
        answers = [
            client("POST", f"/v1/configuration/{operation}", json=document, headers=whole) for _ in range(2)
        ]
        assert [a.status_code for a in answers] == [200, 200], [a.text for a in answers]
        assert [a.headers.get("idempotency-replayed") for a in answers] == [None, "true"]
        etag = client("GET", "/v1/configuration").headers["etag"]
        whole = {"If-Match": etag, "Idempotency-Key": "again"}


def test_a_key_is_of_one_request(client: Client) -> None:
    key = {"Idempotency-Key": "k1"}
    client("POST", CGW, json=NEW, headers=key)
    for method, path, body in (
        ("POST", CGW, NEW | {"name": "cgw8"}),
        ("PUT", f"{CGW}/cgw9", NEW),
        ("POST", "/v1/configuration/apply?prune=true", {}),
    ):
        other = client(method, path, json=body, headers=key)
        assert (other.status_code, other.json()["type"]) == (422, "urn:bgpsvc:problem:idempotency-key-reused")
    apply = "/v1/configuration/apply"
    other_key = {"Idempotency-Key": "k2"}
    assert client("POST", apply, json={}, headers=other_key).status_code == 200
    assert client("POST", f"{apply}?prune=true", json={}, headers=other_key).status_code == 422
    # A dry run is not remembered, and does not use the key up.
    assert client("POST", f"{CGW}?dry_run=true", json=NEW | {"name": "cgw8"}, headers=key).status_code == 200


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "\u00e9"])
def test_a_key_that_is_none(client: Client, key: str) -> None:
    response = client("POST", CGW, json=NEW, headers=[("Idempotency-Key", key.encode())])  # type: ignore[arg-type]
    assert response.status_code == 422
    assert response.json()["errors"][0]["in"] == "header"


# Bodies.


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"", "is missing"),
        (b"  ", "is missing"),
        (b"[]", "must be a JSON object"),
        (b'"x"', "must be a JSON object"),
        (b'{"name": ', "is not JSON: unexpected end of data at character 9"),
        (b'{"name": "\xff"}', "is not JSON: str is not valid UTF-8: surrogates not allowed at character 0"),
        (b'{"name": "\\ud800"}', "is not JSON: no low surrogate in string at character 17"),
        (b'{"asn": NaN}', "is not JSON: unexpected character, expected a JSON value at character 8"),
        (b'{"asn": 1e999}', "is not JSON: number is infinity when parsed as double at character 13"),
        (b'{"name": "a", "name": "b"}', "cannot be read: the key 'name' is given twice"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "is nested more than 32 levels deep"),
        (b'{"a":' * 900 + b"1" + b"}" * 900, "is nested more than 32 levels deep"),
    ],
)
def test_a_body_that_is_no_document(client: Client, content: bytes, detail: str) -> None:
    response = client("POST", CGW, content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert (error["in"], error["pointer"]) == ("body", "#")
    assert error["detail"].partition(" at character")[0] == detail.partition(" at character")[0]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize("media", ["text/plain", "application/yaml", None])
def test_another_media_type_is_refused(client: Client, method: str, media: str | None) -> None:
    path = CGW if method == "POST" else f"{CGW}/cgw1"
    headers = {"Content-Type": media} if media else {}
    response = client(method, path, content=json.dumps(NEW).encode(), headers=headers)
    assert response.status_code == 415
    merge = "application/merge-patch+json, application/json"
    wanted = {"accept-patch": merge} if method == "PATCH" else {"accept": "application/json"}
    assert wanted.items() <= dict(response.headers).items()


# Whole configurations.


def test_a_configuration_is_applied_once(client: Client, control: FakeControl) -> None:
    whole = client("GET", "/v1/configuration")
    assert client("POST", "/v1/configuration/apply", json=whole.json()).json()["plan"]["resources"] == []
    assert client("GET", "/v1/configuration").headers["etag"] == whole.headers["etag"]
    more = whole.json() | {"customer_gateways": [*whole.json()["customer_gateways"], NEW]}
    headers = {"If-Match": whole.headers["etag"]}
    applied = client("POST", "/v1/configuration/apply", json=more, headers=headers)
    assert [r["name"] for r in applied.json()["plan"]["resources"]] == ["cgw9"]
    assert client("POST", "/v1/configuration/apply", json=more, headers=headers).status_code == 412
    assert client("GET", f"{CGW}/cgw9").status_code == 200


def test_prune_deletes_the_rest_and_all_or_nothing_is_written(client: Client) -> None:
    whole = client.get("/v1/configuration")
    less = whole | {"policy_routes": []}
    assert client("POST", "/v1/configuration/apply", json=less).json()["plan"]["resources"] == []
    bad = less | {"customer_gateways": [{"name": "cgw1", "address": "x"}, {"name": "cgw2"}]}
    refused = client("POST", "/v1/configuration/apply?prune=true", json=bad)
    assert refused.status_code == 422
    assert {e["pointer"] for e in refused.json()["errors"]} == {
        "#/customer_gateways/0/address",
        "#/customer_gateways/1/address",
    }
    assert client.get("/v1/configuration") == whole
    pruned = client("POST", "/v1/configuration/apply?prune=true", json=less)
    assert [(r["action"], r["name"]) for r in pruned.json()["plan"]["resources"]] == [("delete", "office")]


def test_what_a_configuration_names_is_deleted(client: Client) -> None:
    body = {"policy_routes": [{"name": "office"}, {"name": "gone-already"}]}
    response = client("POST", "/v1/configuration/delete", json=body)
    assert [(r["action"], r["name"]) for r in response.json()["plan"]["resources"]] == [("delete", "office")]
    assert client("POST", "/v1/configuration/delete", json=body).json()["plan"]["resources"] == []
    in_use = client("POST", "/v1/configuration/delete", json={"customer_gateways": [{"name": "cgw1"}]})
    assert in_use.status_code == 409


def test_the_store_is_away(client: Client, control: FakeControl) -> None:
    control.down = True
    for method, path, body in (
        ("POST", CGW, NEW),
        ("POST", "/v1/configuration/apply", {}),
        ("GET", "/v1/tokens", None),
        ("GET", "/v1/audit", None),
        ("POST", "/v1/vpn-connections/conn1/reveal", None),
        ("POST", "/v1/secrets/rotate-key", None),
    ):
        response = client(method, path, json=body)
        assert response.status_code == 503
        assert response.json()["type"] == "urn:bgpsvc:problem:store-unavailable"
    assert client("GET", CGW).status_code == 200


def test_lists_are_pages_by_name(client: Client) -> None:
    for number in range(5):
        client("POST", CGW, json={"name": f"p{number}", "address": f"203.0.113.{number + 1}"})
    seen: list[str] = []
    cursor = ""
    while True:
        page = client.get(f"{CGW}?limit=3{cursor}")
        seen += [item["name"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ["cgw1", "cgw2", "p0", "p1", "p2", "p3", "p4"]
