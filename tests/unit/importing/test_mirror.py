"""There and back: what `peer-config --platform json` gives out of a connection is imported as its other side,
and both sides agree on everything that two sides have to agree on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bgpsvc.importing import Choices, Refused, translate
from bgpsvc.peerconfig.facts import PeerFacts, TunnelFacts
from bgpsvc.peerconfig.render import render
from bgpsvc.peerconfig.select import peer_facts
from tests.unit.peerconfig.scenarios import EVERYTHING, SCENARIOS, STATIC, TRAFFIC, Scenario

CIDRS = ("192.168.0.0/16",)


def given_out(scenario: Scenario) -> str:
    return render(scenario.facts, "json", None).text


def other_side(facts: PeerFacts, choices: Choices) -> PeerFacts:
    """What the imported side would tell its own other side."""
    intent = translate("alibaba", render(facts, "json", None).text, choices).intent
    return peer_facts(intent, facts.connection, secrets=True)


def agreed(tunnel: TunnelFacts, *, turned: bool) -> dict[str, Any]:
    """What two sides have to agree on, with the gateway's end first; `turned`: seen from the other side."""
    ends = ("device", "gateway") if turned else ("gateway", "device")
    ike, bgp, inside = tunnel.ike, tunnel.bgp, tunnel.inside

    def pair(of: object, suffix: str = "") -> tuple[object, ...]:
        return tuple(getattr(of, f"{end}{suffix}") for end in ends)

    return {
        "addresses": pair(tunnel),
        "ids": pair(tunnel, "_id"),
        "key": tunnel.pre_shared_key,
        "ike": (ike.version, ike.mode, ike.encryption, ike.authentication, ike.pfs, ike.lifetime),
        "ipsec": tunnel.ipsec,
        "dpd": tunnel.dpd.timeout if tunnel.dpd.enabled else None,
        "nat_traversal": tunnel.nat_traversal,
        "mtu": (tunnel.mtu, tunnel.mss),
        "selectors": {item[:: -1 if turned else 1] for item in tunnel.selectors},
        "asns": bgp and pair(bgp, "_asn"),
        "bgp": bgp and (bgp.hold_time, bgp.keepalive, bgp.password, bgp.ttl_security, bgp.graceful_restart),
        "inside": inside and (*pair(inside), inside.prefix_length),
        "bfd": inside and inside.bfd,
        "ipv6": inside and inside.ipv6 and (*pair(inside.ipv6), inside.ipv6.prefix_length),
    }


@pytest.mark.parametrize("name", SCENARIOS)
def test_both_sides_agree(name: str) -> None:
    # A side that has networks of its own in the file needs none here; with BGP it tells them itself.
    facts = replace(SCENARIOS[name], secrets=True).facts
    found = other_side(facts, Choices(vpc_cidrs=() if facts.device_networks else CIDRS))
    for ours, theirs in zip(facts.tunnels, found.tunnels, strict=True):
        assert agreed(ours, turned=False) == agreed(theirs, turned=True)
        assert (ours.number, ours.role) == (theirs.number, theirs.role)
    assert found.route_based == facts.route_based


def test_networks_are_those_of_the_other_side() -> None:
    for scenario in (STATIC, TRAFFIC):
        facts = replace(scenario, secrets=True).facts
        found = other_side(facts, Choices())
        assert found.gateway_networks == facts.device_networks
        assert found.device_networks == facts.gateway_networks


def test_placeholders_are_no_keys() -> None:
    with pytest.raises(Refused) as refused:
        translate("alibaba", given_out(TRAFFIC))
    assert str(refused.value).count("no pre-shared key") == 2
    text = given_out(replace(EVERYTHING, secrets=False))
    with pytest.raises(Refused) as refused:
        translate("alibaba", text, Choices(vpc_cidrs=CIDRS))
    assert str(refused.value).count("TCP MD5 key, which is not in the file") == 1
