"""From a connection to what its other side must be told."""

from __future__ import annotations

from dataclasses import asdict, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network

import pytest

from bgpsvc.peerconfig.facts import PeerFacts
from bgpsvc.peerconfig.render import render
from bgpsvc.peerconfig.select import peer_facts
from bgpsvc.resources import load
from tests.unit.peerconfig.scenarios import EVERYTHING, GUARDED, REFERENCE, SINGLE, STATIC, TRAFFIC
from tests.unit.resources.base import BASE

ALL4, ALL6 = IPv4Network("0.0.0.0/0"), IPv6Network("::/0")


def test_everything_is_turned_round() -> None:
    first, second = REFERENCE.facts.tunnels
    assert (str(first.gateway), str(first.device)) == ("198.51.100.1", "198.51.100.2")
    assert (first.gateway_id, first.device_id) == ("198.51.100.1", "198.51.100.2")
    assert first.bgp is not None
    assert second.bgp is not None
    assert (str(first.bgp.gateway), str(first.bgp.device)) == ("169.254.10.1", "169.254.10.2")
    assert (first.bgp.gateway_asn, first.bgp.device_asn) == (65530, 65500)
    assert (first.bgp.local_preference, first.bgp.med) == (200, 100)
    assert (second.bgp.local_preference, second.bgp.med) == (100, 200)
    assert (first.mtu, first.mss) == (1422, 1382)
    assert first.selectors == ((ALL4, ALL4),)
    named = EVERYTHING.facts.tunnels[0]
    assert (named.gateway_id, named.device_id) == ("gw.example.net", "branch.example.net")
    assert (named.mtu, named.mss) == (1360, 1320)
    assert named.selectors == ((ALL4, ALL4), (ALL6, ALL6))


def test_behind_a_nat_the_device_asks_for_the_address_that_it_can_reach() -> None:
    behind = REFERENCE.text.replace("[198.51.100.1, 198.51.100.3]", "[10.0.1.10, 100.64.1.11]")
    told = behind
    for number, identity in ((1, "198.51.100.1"), (2, "198.51.100.3")):
        key = f"pre_shared_key: first-Key.of~tunnel{number}"
        told = told.replace(key, f"{key}, local_id: {identity}")
    facts = peer_facts(load(told, "x").intent, "conn1")
    assert [tunnel.gateway for tunnel in facts.tunnels] == [t.gateway for t in REFERENCE.facts.tunnels]
    assert [tunnel.gateway_id for tunnel in facts.tunnels] == ["198.51.100.1", "198.51.100.3"]
    assert facts.warnings[0] == (
        "Tunnel 1: the gateway's address is 10.0.1.10, a private one; what the device must reach is taken "
        "from `ike.local_id`: 198.51.100.1."
    )
    unknown = peer_facts(load(behind, "x").intent, "conn1")
    assert [str(tunnel.gateway) for tunnel in unknown.tunnels] == ["10.0.1.10", "100.64.1.11"]
    assert "If it is behind a NAT, put the public one in its place" in unknown.warnings[0]
    # All in one private network: nothing is translated.
    inner = behind.replace("198.51.100.2,", "10.0.9.2,").replace("198.51.100.4,", "10.0.9.4,")
    assert peer_facts(load(inner, "x").intent, "conn1").warnings == ()


@pytest.mark.parametrize("identity", ["203.0.113.77", "10.7.7.7", "gw.example.net", "2001:db8::1"])
def test_an_identity_is_no_address_where_the_own_one_can_be_reached_or_it_could_not(identity: str) -> None:
    key = "pre_shared_key: first-Key.of~tunnel1"
    text = REFERENCE.text.replace(key, f'{key}, local_id: "{identity}"')
    if identity != "203.0.113.77":
        text = text.replace("[198.51.100.1,", "[10.0.1.10,")
    first = peer_facts(load(text, "x").intent, "conn1").tunnels[0]
    assert str(first.gateway) == ("198.51.100.1" if identity == "203.0.113.77" else "10.0.1.10")
    assert first.gateway_id == identity


def test_no_tunnel_is_preferred_if_the_connection_prefers_none() -> None:
    tunnels = EVERYTHING.facts.tunnels
    assert {(t.bgp.local_preference, t.bgp.med) for t in tunnels if t.bgp is not None} == {(200, 100)}
    assert not EVERYTHING.facts.gateway_initiates


def test_what_lies_behind_each_side() -> None:
    assert [str(network) for network in REFERENCE.facts.gateway_networks] == ["10.0.0.0/16", "10.200.0.0/24"]
    assert [str(n) for n in REFERENCE.facts.device_networks] == ["192.168.0.0/16", "192.168.128.0/24"]
    assert EVERYTHING.facts.device_networks == ()
    assert [str(network) for network in STATIC.facts.device_networks] == ["192.168.0.0/16"]
    route = "{name: lan, vpc: vpc1, destination: 10.77.0.0/16, blackhole: true, advertise: true}"
    custom = f"vpc_routes:\n  - {route}\n"
    found = peer_facts(load(REFERENCE.text + custom, "x").intent, "conn1").gateway_networks
    assert IPv4Network("10.77.0.0/16") in found


def test_interesting_traffic_has_its_pairs() -> None:
    facts = TRAFFIC.facts
    assert not facts.route_based
    device = IPv4Network("192.168.0.0/24")
    ours = (IPv4Network("10.0.0.0/24"), IPv4Network("10.0.1.0/24"))
    assert facts.tunnels[0].selectors == tuple((device, network) for network in ours)
    assert (facts.gateway_networks, facts.device_networks) == (ours, (device,))


def test_bgp_beside_interesting_traffic_has_a_pair_of_its_own() -> None:
    text = REFERENCE.text.replace(
        "    enable_bgp: true\n",
        "    enable_bgp: true\n    routing_mode: interesting_traffic\n"
        "    local_cidrs: [10.0.0.0/16]\n    remote_cidrs: [192.168.0.0/16]\n",
    )
    selectors = peer_facts(load(text, "x").intent, "conn1").tunnels[0].selectors
    assert selectors[0] == (IPv4Network("169.254.10.2/32"), IPv4Network("169.254.10.1/32"))
    assert len(selectors) == 2


def test_a_tunnel_without_bgp_has_its_addresses_and_bfd() -> None:
    single = """
vpn_connections:
  - name: conn1
    vpn_gateway: gw1
    tunnels:
      - customer_gateway: vpn1-customer1
        ike: {pre_shared_key: a-key}
        bgp: {tunnel_cidr: 169.254.10.0/30, local_ip: 169.254.10.1, bfd: {}}
"""
    text = STATIC.text.partition("vpn_connections:")[0] + single
    facts = peer_facts(load(text, "x").intent, "conn1")
    (tunnel,) = facts.tunnels
    assert tunnel.bgp is None
    assert tunnel.inside is not None
    assert tunnel.inside.device == IPv4Address("169.254.10.2")
    assert tunnel.inside.bfd is not None
    assert facts.warnings == ("conn1 has a single tunnel: nothing takes over when it fails.",)


def test_secrets_are_placeholders_and_never_hide_elsewhere() -> None:
    masked = replace(REFERENCE, secrets=False).facts
    first = masked.tunnels[0]
    assert first.pre_shared_key == "<pre-shared key of tunnel 1>"
    assert first.bgp is not None
    assert first.bgp.password == "<BGP password of tunnel 1>"
    assert "first-Key" not in str(asdict(masked))
    assert all(tunnel.ike.pre_shared_key is None for tunnel in REFERENCE.facts.tunnels)
    assert REFERENCE.facts.tunnels[0].pre_shared_key == "first-Key.of~tunnel1"


def test_what_bgpsvc_does_not_make_is_said() -> None:
    facts = peer_facts(load(BASE, "x").intent, "conn1", secrets=True)
    assert all(tunnel.external for tunnel in facts.tunnels)
    assert [warning[:8] for warning in facts.warnings] == ["Tunnel 1", "Tunnel 2", "Tunnel 2"]
    assert facts.warnings[-1] == "Tunnel 2 has no pre-shared key here: a placeholder stands for it."


def test_there_must_be_such_a_connection() -> None:
    with pytest.raises(KeyError):
        peer_facts(REFERENCE.intent, "conn9")


def mirrored(facts: PeerFacts) -> tuple[object, ...]:
    """What both sides must agree on."""
    return tuple(
        (
            *({tunnel.gateway, tunnel.device}, {tunnel.gateway_id, tunnel.device_id}),
            *(tunnel.pre_shared_key, tunnel.ike.encryption, tunnel.ike.authentication, tunnel.ike.pfs),
            *(tunnel.ipsec, tunnel.dpd, tunnel.mtu, tunnel.nat_traversal),
            {frozenset(pair) for pair in tunnel.selectors},
            None
            if tunnel.bgp is None
            else (
                *({tunnel.bgp.gateway, tunnel.bgp.device}, {tunnel.bgp.gateway_asn, tunnel.bgp.device_asn}),
                *(tunnel.bgp.hold_time, tunnel.bgp.password, tunnel.bgp.ttl_security, tunnel.bgp.bfd),
            ),
        )
        for tunnel in facts.tunnels
    )


@pytest.mark.parametrize(
    "scenario", [REFERENCE, EVERYTHING, STATIC, replace(TRAFFIC, secrets=True), GUARDED, SINGLE]
)
def test_the_other_sides_other_side_is_this_one(scenario: object) -> None:
    """The text for a bgpsvc is a valid file, and what it says of its own other side agrees with ours."""
    facts = scenario.facts  # type: ignore[attr-defined]
    text = render(facts, "bgpsvc").text
    back = peer_facts(load(text, "peer.yaml").intent, "conn1", secrets=True)
    assert mirrored(back) == mirrored(facts)
    assert [t.gateway for t in back.tunnels] == [t.device for t in facts.tunnels]
