"""A bgpsvc that knows nothing but what `bgpsvc peer-config` wrote of the other one is its other side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.service import LONG
from tests.e2e.two_gateways import Side, documents, two_gateways
from tests.netns.namespaces import wait_until

BGP: dict[str, Any] = {
    "password": "p\"#!'x\\",
    "ttl_security": 1,
    "bfd": {"interval_ms": 300, "key_id": 7, "key": "of:BFD"},
}


def wanted() -> dict[str, list[dict[str, Any]]]:
    """Resources of which hardly anything is the default."""
    made = documents(1)
    (connection,) = made["vpn_connections"]
    for number, tunnel in enumerate(connection["tunnels"], 1):
        ids = {"local_id": f"gw{number}.example.net", "remote_id": f"branch{number}.example.net"}
        tunnel["ike"] |= ids | {"encryption": "aes192", "authentication": "sha384"}
        tunnel["ike"]["pre_shared_key"] = f"0xAb\\c;d'e{{f}}#$%/?{number}"
        tunnel["ipsec"] = {"encryption": "aes", "authentication": "sha512", "pfs": "disabled"}
        inside6 = {"tunnel_cidr": f"fd00:{number}::/126", "local_ip": f"fd00:{number}::1"}
        tunnel["bgp"] |= BGP | {"ipv6": inside6}
    return made


def test_a_bgpsvc_at_the_other_side(tmp_path: Path) -> None:
    text = tmp_path / "peer.yaml"
    with two_gateways() as (near, far):
        near.rest.write("POST", "/v1/configuration/apply", wanted())
        options = ("--platform", "bgpsvc", "--secrets", "--network", "192.168.0.0/24", "-o", str(text))
        near.command("peer-config", "conn1", *options)
        far.command("config", "check", str(text))
        far.command("apply", "--yes", "-f", str(text))
        for side in (near, far):
            for number in (1, 2):
                wait_until(lambda s=side, n=number: up(s, n), f"tunnel {number} is up", LONG)
            wait_until(
                lambda s=side: s.rest.connection()["carrying"] == "conn1-tunnel1", "tunnel 1 carries", LONG
            )
        near.host.run("ping", "-c3", "-i0.1", "-W5", "192.168.0.10")
        far.host.run("ping", "-c3", "-i0.1", "-W5", "10.0.0.10")
        (audited,) = [e for e in near.rest.get("/v1/audit")["items"] if e["action"] == "reveal"]
        assert audited["new"]["peer_config"] == "bgpsvc"


def up(side: Side, number: int) -> bool:
    """SAs, BGP and BFD of a tunnel."""
    tunnel = side.tunnel(number)
    sa = tunnel["ipsec"]["status"] == "ipsec_sa_established"
    bgp = side.rest.session(number)["state"] == "established"
    return bool(sa and bgp and tunnel["bfd"] and tunnel["bfd"]["state"] == "up")
