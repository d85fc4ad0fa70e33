"""The other side's configuration over REST: who gets what, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI

from bgpsvc.control import Scope
from tests.fakes.control import FakeControl
from tests.unit.api.conftest import Client

PATH = "/v1/vpn-connections/conn1/peer-config"
FAR = "http://far.example:443"


def bearer(control: FakeControl, scope: Scope) -> dict[str, str]:
    return {"Authorization": f"Bearer {control.add_token('t', scope).text}"}


def test_without_secrets_placeholders_stand_for_them(client: Client, control: FakeControl) -> None:
    answer = client("GET", f"{PATH}?platform=bgpsvc", base=FAR, headers=bearer(control, Scope.READ))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="conn1-bgpsvc.yaml"'
    assert answer.headers["cache-control"] == "no-store"
    assert "<pre-shared key of tunnel 1>" in answer.text
    assert "sharedKey" not in answer.text
    assert [entry.action for entry in control.log] == []


def test_secrets_are_for_admins_and_audited(client: Client, control: FakeControl) -> None:
    path = f"{PATH}?platform=strongswan-frr&secrets=true"
    refused = client("GET", path, base=FAR, headers=bearer(control, Scope.OPERATE))
    assert refused.status_code == 403
    assert refused.json()["detail"].startswith("this needs the scope admin;")
    assert "sharedKey" not in refused.text
    answer = client("GET", path, base=FAR, headers=bearer(control, Scope.ADMIN))
    assert "sharedKey1" in answer.text
    (entry,) = [entry for entry in control.log if entry.action == "reveal"]
    assert (entry.kind, entry.name) == ("vpn_connections", "conn1")
    assert entry.new == {"peer_config": "strongswan-frr"}
    control.down = True
    lost = client("GET", path)
    assert lost.status_code == 503
    assert "sharedKey" not in lost.text


@pytest.mark.parametrize(
    ("query", "pointer", "said"),
    [
        ("platform=pix", "#/platform", "'pix' is no platform; allowed: bgpsvc, strongswan-frr,"),
        ("platform=../bgpsvc", "#/platform", "is no platform"),
        ("platform=_strongswan", "#/platform", "is no platform"),
        ("", "#/platform", "is missing"),
        ("platform=bgpsvc&network=10.0.0.1/8", "#/network", "host bits are set"),
        ("platform=bgpsvc&secret=true", "#/secret", "is not known here"),
    ],
)
def test_what_is_refused(client: Client, query: str, pointer: str, said: str) -> None:
    answer = client("GET", f"{PATH}?{query}")
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["pointer"] == pointer
    assert said in error["detail"]


def test_there_must_be_such_a_connection(client: Client) -> None:
    answer = client("GET", "/v1/vpn-connections/conn9/peer-config?platform=bgpsvc")
    assert answer.status_code == 404


def test_networks_behind_the_other_side_are_announced(client: Client) -> None:
    answer = client("GET", f"{PATH}?platform=strongswan-bird&network=192.168.0.0/16&network=2001:db8::/48")
    assert "  route 192.168.0.0/16 blackhole;\n" in answer.text
    assert "EDIT: route 192" not in answer.text


def test_a_platform_that_cannot_do_it_says_why(client: Client, control: FakeControl) -> None:
    tunnels = control.resource("vpn_connections", "conn1").config["tunnels"]
    weak = [tunnel | {"ike": {"encryption": "des"}} for tunnel in tunnels]
    assert client("PATCH", "/v1/vpn-connections/conn1", json={"tunnels": weak}).status_code == 200
    answer = client("GET", f"{PATH}?platform=vyos")
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["detail"] == (
        "vyos cannot be the other side: tunnel 1: IKE encryption des is not possible there; allowed: aes, "
        "aes192, aes256, 3des"
    )


def test_platforms_are_listed_in_pages(client: Client) -> None:
    everything = client.get("/v1/peer-config-platforms")
    names = [item["name"] for item in everything["items"]]
    assert names[0] == "bgpsvc"
    assert everything["next_cursor"] is None
    first = client.get("/v1/peer-config-platforms?limit=2")
    second = client.get(f"/v1/peer-config-platforms?limit=1000&cursor={first['next_cursor']}")
    assert [item["name"] for item in (*first["items"], *second["items"])] == names
    assert client("GET", "/v1/peer-config-platforms?cursor=eA").status_code == 422


def test_the_operators_templates(client: Client, app: FastAPI, tmp_path: Path) -> None:
    app.state.peer_config_dir = tmp_path
    (tmp_path / "bgpsvc.j2").write_text("{{ header() }}\nours: {{ peer.connection }}\n")
    (tmp_path / "my-router.j2").write_text("{# title: My router\nextension: cfg #}\nhi {{ peer.vpc }}")
    assert client("GET", f"{PATH}?platform=bgpsvc").text.endswith("ours: conn1\n")
    mine = client("GET", f"{PATH}?platform=my-router")
    assert mine.text == "hi vpc1\n"
    assert mine.headers["content-disposition"] == 'attachment; filename="conn1-my-router.cfg"'
    shown = {item["name"]: item for item in client.get("/v1/peer-config-platforms")["items"]}
    assert (shown["my-router"]["title"], shown["my-router"]["built_in"]) == ("My router", False)
    (tmp_path / "my-router.j2").write_text("hi\n{{ peer.vcp }}\n")
    broken = client("GET", f"{PATH}?platform=my-router")
    assert broken.status_code == 500
    assert f"{tmp_path}/my-router.j2:2: " in broken.json()["detail"]
    assert "'vcp'" in broken.json()["detail"]
