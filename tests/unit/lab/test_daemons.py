"""Configurations and command lines of the lab's daemons."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import yaml

from bgpsvc.configfile import load_bytes
from bgpsvc.ipsec.wanted import ipsec_tunnels
from bgpsvc.lab.daemons import (
    STANDBY_MED,
    LabSpec,
    Peer,
    bird_conf,
    daemons,
    frr_bgpd_conf,
    gateway_document,
    gateway_yaml,
    served_gateways,
)
from bgpsvc.lab.topology import GATEWAYS, GW1, GW2, TUNNELS, Gateway, TunnelKind, other
from bgpsvc.resources.interfaces import made_name

PROGRAMS = {
    name: f"/sbin/{name}" for name in ("nsenter", "ip", "mount", "unshare", "bird", "zebra", "bfdd", "bgpd")
}


def spec(peer: Peer, prefixes: int = 0) -> LabSpec:
    return LabSpec("/venv/python", PROGRAMS, {"gw1": 5, "gw2": 6}, peer, 3, prefixes)


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_the_gateway_configuration_is_valid_and_describes_the_scenario(
    gateway: Gateway, tmp_path: Path
) -> None:
    text = gateway_yaml(gateway, hold_time=3, prefixes=2)
    intent = load_bytes(text.encode(), "bgpsvc.yaml", tmp_path).intent
    (vpn_gateway,) = intent.vpn_gateways
    (connection,) = intent.vpn_connections
    assert [str(cidr) for cidr in intent.vpc(gateway.vpc).cidrs] == [gateway.vpc_cidr, gateway.vpc_cidr6]
    assert [str(prefix) for prefix in vpn_gateway.advertise] == [
        f"{gateway.extra_base}.0.{i}.0/24" for i in range(2)
    ]
    assert vpn_gateway.auto_propagate
    assert connection.local_asn == gateway.asn
    peer = other(gateway)
    for tunnel, remote, inside, inside6 in zip(
        connection.tunnels, peer.public, peer.inside, peer.inside6, strict=True
    ):
        customer = intent.customer_gateway(tunnel.customer_gateway)
        assert (str(customer.address), customer.asn) == (remote, peer.asn)
        assert tunnel.bgp is not None
        assert (str(tunnel.bgp.peer_ip), tunnel.bgp.hold_time) == (inside, 3)
        assert tunnel.bgp.bfd is not None
        assert (tunnel.bgp.bfd.interval_ms, tunnel.bgp.bfd.multiplier) == (50, 3)
        assert tunnel.bgp.ipv6 is not None
        assert str(tunnel.bgp.ipv6.peer_ip) == inside6


def test_bird_announces_over_both_tunnels_and_worse_over_the_standby() -> None:
    text = bird_conf(GW2, hold_time=9, prefixes=1)
    first, second = text.split("protocol bgp ")[1:]
    # Once for each family.
    assert first.count("bgp_med = 0;") == 2
    assert second.count(f"bgp_med = {STANDBY_MED};") == 2
    assert f"next hop address {GW2.inside6[1]};" in second
    assert f"neighbor {GW1.inside[1]} as {GW1.asn};" in second
    assert "hold time 9; keepalive time 3;" in first
    assert text.count("blackhole;") == 3
    assert 'protocol bfd { interface "*" { interval 300 ms; multiplier 3; }; }' in text
    assert text.count("bfd on;") == 2


def test_frr_announces_over_both_tunnels_and_worse_over_the_standby() -> None:
    lines = [line.strip() for line in frr_bgpd_conf(GW2, hold_time=9, prefixes=1).splitlines()]
    assert "timers bgp 3 9" in lines
    assert f"neighbor {GW1.inside[0]} bfd profile lab" in lines
    assert [line for line in lines if line.startswith("network")] == [
        f"network {GW2.vpc_cidr}",
        f"network {GW2.extra_base}.0.0.0/24",
        f"network {GW2.vpc_cidr6}",
    ]
    for tunnel, med in (1, 0), (2, STANDBY_MED):
        assert lines.count(f"neighbor {GW1.inside[tunnel - 1]} route-map tunnel{tunnel} out") == 2
        assert f"neighbor {GW1.inside[tunnel - 1]} activate" in lines
        assert lines[lines.index(f"route-map tunnel{tunnel} permit 10") + 1] == f"set metric {med}"


@pytest.mark.parametrize(
    ("peer", "names", "served"),
    [
        (Peer.BGPSVC, ["gw1", "gw2"], (GW1, GW2)),
        (Peer.BIRD, ["gw1", "gw2-bird"], (GW1,)),
        (Peer.FRR, ["gw1", "gw2-zebra", "gw2-bfdd", "gw2-bgpd"], (GW1,)),
    ],
)
def test_each_peer_has_its_daemons_on_gateway_2(
    peer: Peer, names: list[str], served: tuple[Gateway, ...]
) -> None:
    found = daemons(spec(peer))
    assert [daemon.name for daemon in found] == names
    assert [daemon.host for daemon in found] == ["gw1"] + ["gw2"] * (len(names) - 1)
    assert served_gateways(peer) == served
    for daemon in found:
        # A file per daemon, and the daemon is told of it.
        assert set(daemon.files) <= set(daemon.argv)
        assert len(daemon.files) == 1


def test_bgpd_starts_when_zebra_listens() -> None:
    _, zebra, bfdd, bgpd = daemons(spec(Peer.FRR))
    assert bfdd.ready is None
    assert zebra.ready == zebra.argv[zebra.argv.index("-z") + 1] == bgpd.argv[bgpd.argv.index("-z") + 1]
    assert bgpd.ready is None


def test_bgpsvc_is_run_by_the_same_python_and_inherits_its_socket() -> None:
    first = daemons(spec(Peer.BIRD))[0]
    assert first.argv[:4] == ("/venv/python", "-P", "-m", "bgpsvc")
    assert first.argv[-4:] == ("--anonymous", "admin", "--listen", "fd:5")
    assert first.fds == (5,)


def test_a_lab_made_over_rest_starts_daemons_without_any_resource() -> None:
    for daemon in daemons(dataclasses.replace(spec(Peer.BGPSVC), via_api=True)):
        assert "--config" not in daemon.argv
        assert not daemon.files


def test_ipsec_tunnels_are_made_over_rest_so_that_no_key_is_in_a_file() -> None:
    wanted = dataclasses.replace(spec(Peer.BGPSVC), tunnels=TunnelKind.IPSEC)
    assert wanted.via_api
    for daemon in daemons(wanted):
        assert daemon.argv[daemon.argv.index("--ipsec") + 1] == "userspace"
        assert not daemon.files
    for daemon in daemons(spec(Peer.BGPSVC)):
        assert daemon.argv[daemon.argv.index("--ipsec") + 1] == "external"


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("tunnel", TUNNELS)
def test_a_tunnel_has_the_interface_that_the_service_gives_it(gateway: Gateway, tunnel: int) -> None:
    wanted = dataclasses.replace(spec(Peer.BGPSVC), tunnels=TunnelKind.IPSEC)
    assert wanted.interface(gateway, tunnel) == made_name(gateway.connection, tunnel)
    (connection,) = gateway_document(gateway, 3, 0)["vpn_connections"]
    assert spec(Peer.BIRD).interface(gateway, tunnel) == connection["tunnels"][tunnel - 1]["interface"]


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_with_keys_the_service_makes_the_tunnels(gateway: Gateway) -> None:
    document = gateway_document(gateway, 3, 0, {1: "oneKeyOfItsOwn", 2: "anotherKey"})
    intent = load_bytes(yaml.safe_dump(document).encode(), "bgpsvc.yaml", Path("/nowhere")).intent
    one, two = ipsec_tunnels(intent).values()
    assert [str(tunnel.local) for tunnel in (one, two)] == list(gateway.public)
    assert [str(tunnel.remote) for tunnel in (one, two)] == list(other(gateway).public)
    keys = [tunnel.ike.pre_shared_key for tunnel in (one, two)]
    assert [key and key.get_secret_value() for key in keys] == ["oneKeyOfItsOwn", "anotherKey"]


def test_a_spec_survives_the_way_to_process_1() -> None:
    wanted = dataclasses.replace(spec(Peer.FRR, prefixes=7), tunnels=TunnelKind.IPSEC)
    found = LabSpec(**json.loads(json.dumps(dataclasses.asdict(wanted))))
    assert found == wanted
    assert found.peer is Peer.FRR
    assert found.tunnels is TunnelKind.IPSEC


def test_a_hold_time_that_bgp_forbids_is_refused() -> None:
    with pytest.raises(ValueError, match="3 to 65535 seconds"):
        dataclasses.replace(spec(Peer.BIRD), hold_time=2)
