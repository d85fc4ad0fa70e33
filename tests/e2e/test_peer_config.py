"""A bgpsvc that knows nothing but what `bgpsvc peer-config` wrote of the other one is its other side: in its
own form, and in a cloud's by way of `bgpsvc import`, with one public address for both tunnels, as a customer
gateway usually has in a cloud. One after the other on the same two daemons, whose start takes longest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.service import LONG
from tests.e2e.two_gateways import ADDRESSES, Side, documents, two_gateways
from tests.netns.namespaces import wait_until

(CLOUD_1, CLOUD_2), (DEVICE, _) = ADDRESSES[1], ADDRESSES[2]
SECRETS = ("--secrets", "--network", "192.168.0.0/24")

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


def cloud() -> dict[str, list[dict[str, Any]]]:
    """A cloud's end: both tunnels lead to the same address."""
    made = documents(1)
    made["customer_gateways"] = [{"name": "device", "address": DEVICE, "asn": 65500}]
    for tunnel in made["vpn_connections"][0]["tunnels"]:
        tunnel["customer_gateway"] = "device"
        tunnel["ipsec"] = {"encryption": "aes", "authentication": "sha512"}
        tunnel["bgp"] |= {"password": "md5~key", "bfd": {"interval_ms": 300}}
    return made


def test_a_bgpsvc_at_the_other_side(tmp_path: Path) -> None:
    with two_gateways() as (near, far):
        of_its_own_form(near, far, tmp_path / "peer.yaml")
        of_a_clouds_form(near, far, tmp_path / "cloud.json", tmp_path / "device.yaml")


def of_its_own_form(near: Side, far: Side, text: Path) -> None:
    """`--platform bgpsvc` is applied as it is."""
    near.rest.write("POST", "/v1/configuration/apply", wanted())
    near.command("peer-config", "conn1", "--platform", "bgpsvc", *SECRETS, "-o", str(text))
    far.command("config", "check", str(text))
    far.command("apply", "--yes", "-f", str(text))
    until_up(near, far)
    wait_until(
        lambda: all(side.rest.connection()["carrying"] == "conn1-tunnel1" for side in (near, far)),
        "tunnel 1 carries",
        LONG,
    )
    near.host.run("ping", "-c3", "-i0.1", "-W5", "192.168.0.10")
    far.host.run("ping", "-c3", "-i0.1", "-W5", "10.0.0.10")
    (audited,) = [e for e in near.rest.get("/v1/audit")["items"] if e["action"] == "reveal"]
    assert audited["new"]["peer_config"] == "bgpsvc"


def of_a_clouds_form(near: Side, far: Side, given: Path, made: Path) -> None:
    """`--platform json` is imported; nothing is left of what there was before."""
    one_address(near, far)
    near.rest.write("POST", "/v1/configuration/apply", cloud(), prune=True)
    near.command("peer-config", "conn1", "--platform", "json", *SECRETS, "-o", str(given))
    # A connection keeps its gateway, so both are called as in the form before.
    names = ("--gateway", "conn1-gw", "--vpc", "conn1-site")
    far.command("import", "alibaba", str(given), *names, "-o", str(made))
    far.command("apply", "--yes", "--prune", "-f", str(made))
    until_up(near, far)
    config = far.rest.get("/v1/vpn-gateways/conn1-gw")["config"]
    assert config["addresses"] == [DEVICE, DEVICE]
    ipsec = near.tunnel(2)["ipsec"]
    assert ipsec["ike"]["remote_address"] == DEVICE, ipsec
    far.host.run("ping", "-c3", "-i0.1", "-W5", "10.0.0.10")


def one_address(near: Side, far: Side) -> None:
    """Routes for two tunnels to one address of the far side, over its first uplink."""
    (route,) = far.gateway.run("ip", "-o", "route", "show", CLOUD_1).splitlines()
    far.gateway.ip(f"route replace {route.replace(CLOUD_1, CLOUD_2, 1)}")
    # The near side answers over the uplink whose address it is.
    (route,) = near.gateway.run("ip", "-o", "route", "show", ADDRESSES[2][1]).splitlines()
    near.gateway.ip(f"route add {route.replace(ADDRESSES[2][1], DEVICE, 1)} table 77")
    near.gateway.ip(f"rule add from {CLOUD_2} lookup 77 pref 77")


def until_up(*sides: Side) -> None:
    """Until both tunnels are up on both sides."""
    wait_until(
        lambda: all(up(side, number) for side in sides for number in (1, 2)),
        "both tunnels are up on both sides",
        LONG,
    )


def up(side: Side, number: int) -> bool:
    """SAs, BGP and BFD of a tunnel."""
    tunnel = side.tunnel(number)
    sa = tunnel["ipsec"]["status"] == "ipsec_sa_established"
    bgp = side.rest.session(number)["state"] == "established"
    return bool(sa and bgp and tunnel["bfd"] and tunnel["bfd"]["state"] == "up")
