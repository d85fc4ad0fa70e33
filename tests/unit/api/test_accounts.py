"""Tokens, the audit log, and the key for secrets."""

from __future__ import annotations

import pytest

from bgpsvc.control import Scope
from tests.fakes.control import FakeControl
from tests.unit.api.conftest import Client
from tests.unit.api.contract import Json


def test_a_token_is_shown_once_and_works_until_it_is_revoked(client: Client) -> None:
    body = {"name": "dashboard", "scope": "read", "expires_at": "2126-01-01T00:00:00+01:00"}
    made = client("POST", "/v1/tokens", json=body)
    assert (made.status_code, made.json()["expires_at"]) == (201, "2125-12-31T23:00:00.000Z")
    text, path = made.json()["token"], made.headers["location"]
    assert text.startswith(f"bgpsvc_{made.json()['id']}.")
    shown = client.get(path)
    assert shown == {key: value for key, value in made.json().items() if key != "token"}
    assert client.get("/v1/tokens")["items"] == [shown]
    assert text.partition(".")[2] not in client("GET", "/v1/audit").text
    headers = {"Authorization": f"Bearer {text}"}
    assert client("GET", "/v1/vpcs", base="http://far.example:443", headers=headers).status_code == 200
    revoked = client("DELETE", path)
    assert revoked.json()["revoked_at"] is not None
    assert client("GET", "/v1/vpcs", base="http://far.example:443", headers=headers).status_code == 401
    assert client("DELETE", path).json() == revoked.json()
    assert client("DELETE", "/v1/tokens/ffffffffffff").status_code == 404


@pytest.mark.parametrize(
    ("change", "pointer", "detail"),
    [
        ({"name": ""}, "#/name", "String should have at least 1 character, not ''"),
        ({"name": "\u00fc"}, "#/name", None),
        ({"name": "x" * 65}, "#/name", None),
        ({"scope": "root"}, "#/scope", "must be 'read', 'operate' or 'admin', not 'root'"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "#/expires_at", "must be in the future"),
        ({"expires_at": "2126-01-01T00:00:00"}, "#/expires_at", None),
        ({"expires_at": "tomorrow"}, "#/expires_at", None),
        ({"secret": "mine"}, "#/secret", "is not known here"),
    ],
)
def test_a_token_that_cannot_be_made(
    client: Client, control: FakeControl, change: Json, pointer: str, detail: str | None
) -> None:
    response = client("POST", "/v1/tokens", json={"name": "t", "scope": "read"} | change)
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["pointer"] == pointer
    assert detail in (None, error["detail"])
    assert client.get("/v1/tokens")["items"] == []


def test_dry_runs_of_tokens_say_what_is_worth_a_look(client: Client, control: FakeControl) -> None:
    made = client("POST", "/v1/tokens?dry_run=true", json={"name": "ops", "scope": "admin"})
    assert made.status_code == 200
    plan = made.json()["plan"]
    assert [(r["action"], r["kind"], r["name"]) for r in plan["resources"]] == [("create", "tokens", "ops")]
    assert len(plan["warnings"]) == 2, "it never expires, and may do everything"
    ends = {"name": "ops", "scope": "read", "expires_at": "2126-01-01T00:00:00Z"}
    assert client("POST", "/v1/tokens?dry_run=true", json=ends).json()["plan"]["warnings"] == []
    assert client("POST", "/v1/tokens?dry_run=true", json={"name": "ops"}).status_code == 422
    assert client.get("/v1/tokens")["items"] == []
    mine = control.add_token("mine", Scope.ADMIN)
    path = f"/v1/tokens/{mine.view.id}?dry_run=true"
    headers = {"Authorization": f"Bearer {mine.text}"}
    own = client("DELETE", path, base="http://far.example:443", headers=headers).json()["plan"]
    assert own["warnings"] == ["this is the token of this request: nothing more can be asked with it"]
    assert client("DELETE", path).json()["plan"]["warnings"] == []
    assert client.get("/v1/tokens")["items"][0]["revoked_at"] is None
    client("DELETE", path.partition("?")[0])
    assert client("DELETE", path).json()["plan"]["resources"] == []


def test_tokens_are_pages(client: Client) -> None:
    for name in ("a", "b", "c"):
        client("POST", "/v1/tokens", json={"name": name, "scope": "read"})
    first = client.get("/v1/tokens?limit=2")
    last = client.get(f"/v1/tokens?limit=2&cursor={first['next_cursor']}")
    assert [item["name"] for page in (first, last) for item in page["items"]] == ["a", "b", "c"]
    assert last["next_cursor"] is None


def test_the_audit_log_has_who_what_and_how_it_was(client: Client) -> None:
    client("PATCH", "/v1/customer-gateways/cgw1", json={"address": "198.51.100.9"})
    client("DELETE", "/v1/vpn-connections/conn1")
    deleted, changed = client.get("/v1/audit")["items"]
    assert (deleted["action"], deleted["kind"], deleted["name"]) == ("delete", "vpn_connections", "conn1")
    assert deleted["new"] is None
    assert "sharedKey1" not in str(deleted["old"])
    assert (changed["actor"], changed["source"]) == ("unix socket", "test")
    assert (changed["old"]["address"], changed["new"]["address"]) == ("198.51.100.2", "198.51.100.9")


def test_the_audit_log_in_pages_and_by_what_it_is_about(client: Client) -> None:
    for number in range(4):
        client("PATCH", "/v1/customer-gateways/cgw1", json={"address": f"203.0.113.{number + 1}"})
    client("PATCH", "/v1/vpcs/vpc1", json={"route_table": 1005})
    first = client.get("/v1/audit?limit=3")
    last = client.get(f"/v1/audit?limit=3&cursor={first['next_cursor']}")
    assert [entry["id"] for page in (first, last) for entry in page["items"]] == [5, 4, 3, 2, 1]
    assert last["next_cursor"] is None
    assert [e["id"] for e in client.get("/v1/audit?kind=vpcs&name=vpc1&actor=unix%20socket")["items"]] == [5]
    assert client.get("/v1/audit?actor=nobody")["items"] == []
    for cursor in ("x", "-1", "9" * 19):
        assert client("GET", f"/v1/audit?cursor={cursor}").status_code == 422


def test_secrets_get_another_key(client: Client, control: FakeControl) -> None:
    dry = client("POST", "/v1/secrets/rotate-key?dry_run=true")
    assert (dry.json(), control.log) == ({"rotated": 2, "dry_run": True}, [])
    assert client("POST", "/v1/secrets/rotate-key").json() == {"rotated": 2, "dry_run": False}
    assert control.log[-1].action == "key.rotate"
