"""A bgpsvc that knows nothing but what `bgpsvc import` made of a cloud's configuration is its other
side, with one public address for both tunnels, as the customer gateway of a cloud usually has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.service import LONG
from tests.e2e.two_gateways import ADDRESSES, Side, documents, two_gateways
from tests.netns.namespaces import wait_until

(CLOUD_1, CLOUD_2), (DEVICE, _) = ADDRESSES[1], ADDRESSES[2]


def cloud() -> dict[str, list[dict[str, Any]]]:
    """The cloud's end: both tunnels lead to the same address."""
    made = documents(1)
    made["customer_gateways"] = [{"name": "device", "address": DEVICE, "asn": 65500}]
    for tunnel in made["vpn_connections"][0]["tunnels"]:
        tunnel["customer_gateway"] = "device"
        tunnel["ipsec"] = {"encryption": "aes", "authentication": "sha512"}
        tunnel["bgp"] |= {"password": "md5~key", "bfd": {"interval_ms": 300}}
    return made


def one_address(near: Side, far: Side) -> None:
    """Routes for two tunnels to one address of the far side, over its first uplink."""
    (route,) = far.gateway.run("ip", "-o", "route", "show", CLOUD_1).splitlines()
    far.gateway.ip(f"route replace {route.replace(CLOUD_1, CLOUD_2, 1)}")
    # The near side answers over the uplink whose address it is.
    (route,) = near.gateway.run("ip", "-o", "route", "show", ADDRESSES[2][1]).splitlines()
    near.gateway.ip(f"route add {route.replace(ADDRESSES[2][1], DEVICE, 1)} table 77")
    near.gateway.ip(f"rule add from {CLOUD_2} lookup 77 pref 77")


def test_the_other_side_of_a_cloud(tmp_path: Path) -> None:
    given, made = tmp_path / "cloud.json", tmp_path / "device.yaml"
    with two_gateways() as (near, far):
        one_address(near, far)
        near.rest.write("POST", "/v1/configuration/apply", cloud())
        options = ("--platform", "json", "--secrets", "--network", "192.168.0.0/24", "-o", str(given))
        near.command("peer-config", "conn1", *options)
        far.command("import", "alibaba", str(given), "-o", str(made))
        far.command("apply", "--yes", "-f", str(made))
        wait_until(
            lambda: all(up(side, number) for side in (near, far) for number in (1, 2)),
            "both tunnels are up on both sides",
            LONG,
        )
        config = far.rest.get("/v1/vpn-gateways/on-premises")["config"]
        assert config["addresses"] == [DEVICE, DEVICE]
        far.host.run("ping", "-c3", "-i0.1", "-W5", "10.0.0.10")


def up(side: Side, number: int) -> bool:
    """SAs, BGP and BFD of a tunnel."""
    tunnel = side.tunnel(number)
    sa = tunnel["ipsec"]["status"] == "ipsec_sa_established"
    bgp = side.rest.session(number)["state"] == "established"
    return bool(sa and bgp and tunnel["bfd"] and tunnel["bfd"]["state"] == "up")
