"""The strongSwan of a gateway 2 that runs no bgpsvc, as text."""

from __future__ import annotations

import dataclasses
import re

import pytest

from bgpsvc.lab import strongswan
from bgpsvc.lab.daemons import LabSpec, Peer, charon_directory, daemons
from bgpsvc.lab.topology import GW1, GW2, TUNNELS, TunnelKind

PROGRAMS = ("nsenter", "ip", "mount", "unshare", "bird", "zebra", "bgpd", "charon", "swanctl", "nft")
SPEC = LabSpec(
    "/venv/python",
    {name: f"/sbin/{name}" for name in PROGRAMS},
    {"gw1": 5},
    Peer.BIRD,
    tunnels=TunnelKind.IPSEC,
)


def test_every_tunnel_has_a_charon_that_starts_before_its_routing_daemon() -> None:
    assert [daemon.name for daemon in daemons(SPEC)] == ["gw1", "gw2-charon1", "gw2-charon2", "gw2-bird"]
    for tunnel, daemon in zip(TUNNELS, daemons(SPEC)[1:3], strict=True):
        home = charon_directory(tunnel)
        assert daemon.ready == f"{home}/charon.vici"
        assert f"{home}/charon.conf" in daemon.files
        addressed = [" ".join(command) for command in daemon.after]
        assert f"/sbin/ip address add {GW2.inside[tunnel - 1]}/30 dev ipsec{tunnel - 1}" in addressed
        assert SPEC.interface(GW2, tunnel) == f"ipsec{tunnel - 1}"
        assert SPEC.interface(GW1, tunnel) == f"conn1-tunnel{tunnel}"
    assert not [d for d in daemons(dataclasses.replace(SPEC, tunnels=TunnelKind.VXLAN)) if "charon" in d.name]


def test_ports_are_translated_both_ways_for_each_tunnel_alone() -> None:
    rules = re.findall(
        r"ip saddr (\S+) ip daddr (\S+) udp (.port) (\d+) udp .port set (\d+)", strongswan.translation()
    )
    assert len(rules) == 8
    private = set()
    for tunnel in TUNNELS:
        there, here = GW1.public[tunnel - 1], GW2.public[tunnel - 1]
        own = re.findall(r"port\w* = (\d+)", strongswan.settings(tunnel))
        assert len(own) == 2
        private |= set(own)
        for public, ours in zip(("500", "4500"), own, strict=True):
            assert (there, here, "dport", public, ours) in rules
            assert (here, there, "sport", ours, public) in rules
    assert len(private) == 4


@pytest.mark.parametrize("tunnel", TUNNELS)
def test_a_key_goes_to_charon_alone(tunnel: int) -> None:
    text = strongswan.connection(tunnel, "a-Key_1")
    assert f'id = {GW1.public[tunnel - 1]}\n    secret = "a-Key_1"' in text
    assert text.count("{") == text.count("}")
    assert "tmpfs -o mode=700 lab /etc/swanctl" in " ".join(
        strongswan.load(SPEC.programs, charon_directory(tunnel))
    )
    assert not [d for d in daemons(SPEC) if "a-Key_1" in f"{d.argv} {d.files}"]
