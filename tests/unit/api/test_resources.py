"""Reading and changing resources. The client checks each response against the OpenAPI document."""

from __future__ import annotations

import pytest

from bgpsvc.views import Cause, IpsecError
from tests.fakes.service import ACTIVE, STANDBY, FakeService
from tests.unit.api.conftest import Client

SWITCH = "/v1/vpn-connections/conn1/switch"


def test_sessions_show_state_counters_and_last_error(client: Client, service: FakeService) -> None:
    service.session_down(STANDBY)
    first, second = client.get("/v1/bgp-sessions")["items"]
    assert (first["id"], first["state"], first["last_error"]) == (ACTIVE, "established", None)
    assert first["negotiated"]["hold_time"] == 30
    assert first["since"] == "2025-10-09T08:53:20.000Z"
    assert first["prefixes"] == {
        "received": 5,
        "accepted": 3,
        "rejected": 2,
        "shed": 0,
        "stale": 0,
        "advertised": 1,
    }
    assert (second["state"], second["negotiated"], second["flap_count"]) == ("active", None, 1)
    assert second["last_error"] == {
        "time": "2025-10-09T09:53:20.000Z",
        "text": "hold timer expired",
        "code": 4,
        "subcode": 0,
        "direction": "sent",
    }
    assert client.get(f"/v1/bgp-sessions/{STANDBY}") == second


def test_tunnels_are_those_of_the_connections(client: Client) -> None:
    tunnels = client.get("/v1/tunnels")["items"]
    assert [(t["id"], t["role"], t["carrying"]) for t in tunnels] == [
        (ACTIVE, "active", True),
        (STANDBY, "standby", False),
    ]
    assert client.get("/v1/vpn-connections")["items"][0]["tunnels"] == tunnels
    assert client.get(f"/v1/tunnels/{STANDBY}") == tunnels[1]


def test_vpcs(client: Client) -> None:
    vpc = client.get("/v1/vpcs/vpc1")
    document = {
        "name": "vpc1",
        "cidrs": ["10.0.0.0/16"],
        "route_table": 1001,
        "interfaces": [],
    }
    assert vpc == {
        "name": "vpc1",
        "config": document,
        "status": "active",
        "status_reason": None,
        "created_at": "2025-10-09T08:53:20.000Z",
        "updated_at": "2025-10-09T08:53:20.000Z",
        "warnings": [],
        "etag": "1-199c82cc000",
        "cidrs": ["10.0.0.0/16"],
        "route_table": 1001,
        "gateway": "gw1",
        "routes_installed": 4,
    }
    assert client.get("/v1/vpcs")["items"] == [vpc]


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/v1/bgp-sessions/x", "there is no BGP session 'x'; there is conn1-tunnel1, conn1-tunnel2"),
        ("/v1/tunnels/x", "there is no tunnel 'x'; there is conn1-tunnel1, conn1-tunnel2"),
        ("/v1/vpn-connections/x", "there is no VPN connection 'x'; there is conn1"),
        ("/v1/vpn-gateways/x", "there is no VPN gateway 'x'; there is gw1"),
        ("/v1/vpn-gateways/x/routes", "there is no VPN gateway 'x'; there is gw1"),
        ("/v1/vpcs/x", "there is no VPC 'x'; there is vpc1"),
        ("/v1/vpcs/x/routes", "there is no VPC 'x'; there is vpc1"),
    ],
)
def test_what_does_not_exist_is_a_404_that_says_what_does(client: Client, path: str, detail: str) -> None:
    response = client("GET", path)
    assert response.status_code == 404
    assert response.json() == {
        "type": "urn:bgpsvc:problem:not-found",
        "title": "Not Found",
        "status": 404,
        "detail": detail,
        "instance": path,
    }


def test_pages_of_a_short_list_go_by_key(client: Client) -> None:
    first = client.get("/v1/bgp-sessions?limit=1")
    assert [item["id"] for item in first["items"]] == [ACTIVE]
    second = client.get(f"/v1/bgp-sessions?limit=1&cursor={first['next_cursor']}")
    assert [item["id"] for item in second["items"]] == [STANDBY]
    assert second["next_cursor"] is None


@pytest.mark.parametrize("cursor", ["%25%25", "a", "/w"])
def test_a_cursor_we_did_not_make_is_refused(client: Client, cursor: str) -> None:
    response = client("GET", f"/v1/vpcs?cursor={cursor}")
    assert response.status_code == 422
    assert response.json()["errors"] == [
        {"in": "query", "pointer": "#/cursor", "detail": "is not a cursor of this list"}
    ]


def test_switch_moves_traffic_and_a_dry_run_does_not(client: Client) -> None:
    dry = client("POST", SWITCH + "?dry_run=true", json={"mode": "standby"})
    assert dry.status_code == 200
    assert (dry.json()["from_tunnel"], dry.json()["to_tunnel"]) == (ACTIVE, STANDBY)
    assert dry.json()["prefixes_moved"] == 4
    assert client.get("/v1/vpn-connections/conn1")["carrying"] == ACTIVE
    wet = client("POST", SWITCH, json={"mode": "standby"})
    assert wet.json() == dry.json()
    connection = client.get("/v1/vpn-connections/conn1")
    assert (connection["carrying"], connection["mode"]) == (STANDBY, "standby")
    assert (connection["switchovers"], connection["last_switchover_reason"]) == (1, "operator")


def test_switch_again_changes_nothing(client: Client) -> None:
    client("POST", SWITCH, json={"mode": "standby"})
    again = client("POST", SWITCH, json={"mode": "standby"}).json()
    assert (again["changed"], again["prefixes_moved"]) == (False, 0)


def test_a_switch_keeps_its_reason_until_the_choice_is_given_back(client: Client) -> None:
    asked = client("POST", SWITCH, json={"mode": "standby", "reason": "  Provider: L\u00f6schung "})
    assert asked.json()["drained"] == ACTIVE
    choice = client.get("/v1/vpn-connections/conn1")["choice"]
    assert choice == {
        "by": "unix socket",
        "at": "2025-10-09T09:53:20.000Z",
        "reason": "Provider: L\u00f6schung",
    }
    assert client("POST", SWITCH, json={"mode": "standby"}).json()["changed"] is False
    assert client("POST", SWITCH, json={"mode": "standby", "reason": "other"}).json()["changed"] is True
    client("POST", SWITCH, json={"mode": "auto", "reason": "done"})
    assert client.get("/v1/vpn-connections/conn1")["choice"] is None
    for reason in ("x" * 201, "a\nb", "\x1b[2J"):
        refused = client("POST", SWITCH, json={"mode": "standby", "reason": reason})
        assert refused.json()["errors"][0]["pointer"] == "#/reason"


@pytest.mark.parametrize(
    ("content", "pointer", "detail"),
    [
        (b'{"mode": "both"}', "#/mode", "must be 'auto', 'active' or 'standby', not 'both'"),
        (b"{}", "#/mode", "is missing"),
        (b'{"mode": "auto", "dry_run": true}', "#/dry_run", "is not known here"),
        (b"[1]", "#", "must be a JSON object"),
        (b'{"mode"', "#", "is not JSON: unexpected end of data at character 7"),
        (b"", "#", "is missing"),
    ],
)
def test_a_switch_that_cannot_be_understood(
    client: Client, content: bytes, pointer: str, detail: str
) -> None:
    response = client("POST", SWITCH, content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    assert response.json()["errors"] == [{"in": "body", "pointer": pointer, "detail": detail}]


def test_a_switch_needs_a_json_content_type(client: Client, service: FakeService) -> None:
    """A web page can send text/plain to any address without asking; JSON it cannot."""
    response = client("POST", SWITCH, content=b'{"mode": "standby"}', headers={"Content-Type": "text/plain"})
    assert response.status_code == 415
    assert service.mode == "auto"


def test_readiness_names_what_fails(client: Client, service: FakeService) -> None:
    assert client.get("/readyz")["ready"] is True
    service.checks["speaker.standby"] = (False, "exited with status 1")
    response = client("GET", "/readyz")
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"] == "not ready: speaker.standby"
    assert response.json()["checks"]["speaker.standby"] == {"ok": False, "detail": "exited with status 1"}
    assert client.get("/healthz") == {"status": "ok", "version": "0.1.0"}


def test_metrics_are_prometheus_text(client: Client) -> None:
    response = client("GET", "/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'bgpsvc_session_up{session="conn1-tunnel1"} 1\n' in response.text


def test_a_tunnel_shows_its_sas_and_its_last_error(client: Client, service: FakeService) -> None:
    service.ipsec_errors[STANDBY] = IpsecError(service.now, Cause.DPD_TIMEOUT, "the peer did not answer")
    up, down = (tunnel["ipsec"] for tunnel in client.get("/v1/vpn-connections/conn1")["tunnels"])
    assert (up["status"], up["driver"], up["last_error"]) == ("ipsec_sa_established", "userspace", None)
    assert up["ike"]["rekey_at"] == "2025-10-10T07:53:20.000Z"
    (child,) = up["ike"]["children"]
    assert (child["spi_in"], child["bytes_out"], child["packets_in"]) == ("c0a10001", 9240, 100)
    assert (down["status"], down["ike"]) == ("ike_sa_not_established", None)
    assert down["last_error"] == {
        "time": "2025-10-09T09:53:20.000Z",
        "cause": "dpd_timeout",
        "text": "the peer did not answer",
        "local": None,
        "remote": None,
    }
    assert down["retry_at"] == "2025-10-09T09:53:24.000Z"
    service.external = frozenset({ACTIVE})
    assert client.get(f"/v1/tunnels/{ACTIVE}")["ipsec"] is None


def test_a_dry_run_of_a_restart_says_what_would_move(client: Client, service: FakeService) -> None:
    service.external = frozenset({STANDBY})
    plan = client("POST", f"/v1/tunnels/{ACTIVE}/restart?dry_run=true").json()
    assert (plan["carrying"], plan["to_tunnel"], plan["prefixes_moved"]) == (True, STANDBY, 4)
    assert service.restarts == []
    assert client.get("/v1/audit")["items"] == []
    assert client("POST", f"/v1/tunnels/{STANDBY}/restart?dry_run=true").status_code == 409
    assert client("POST", f"/v1/tunnels/{ACTIVE}/restart?dryrun=true").status_code == 422


def test_a_restart_is_audited_and_refused_where_somebody_else_makes_the_tunnel(
    client: Client, service: FakeService
) -> None:
    answer = client("POST", f"/v1/tunnels/{ACTIVE}/restart")
    assert (answer.status_code, answer.json()["id"]) == (200, ACTIVE)
    assert service.restarts == [ACTIVE]
    entry = client.get("/v1/audit")["items"][0]
    assert (entry["action"], entry["kind"], entry["name"]) == ("restart", "tunnels", ACTIVE)
    service.external = frozenset({STANDBY})
    refused = client("POST", f"/v1/tunnels/{STANDBY}/restart")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:bgpsvc:problem:not-made")
    assert client("POST", "/v1/tunnels/conn1-tunnel9/restart").status_code == 404
    assert service.restarts == [ACTIVE]
    assert len(client.get("/v1/audit?kind=tunnels")["items"]) == 1
