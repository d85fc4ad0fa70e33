"""What routers and firewalls cannot do, and what is done instead."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from ipaddress import IPv6Network
from typing import Any

import pytest

from bgpsvc.importing import alibaba
from bgpsvc.importing.notes import Notes
from bgpsvc.peerconfig.facts import PeerFacts
from bgpsvc.peerconfig.render import render
from bgpsvc.peerconfig.words import Unsupported
from tests.unit.peerconfig.scenarios import EVERYTHING, GUARDED, REFERENCE, SINGLE, STATIC, TRAFFIC, Scenario

FACTS = REFERENCE.facts


def first_with(facts: PeerFacts, **changes: Any) -> PeerFacts:
    return replace(facts, tunnels=(replace(facts.tunnels[0], **changes), *facts.tunnels[1:]))


def with_device_asn(facts: PeerFacts, asn: int) -> PeerFacts:
    """The second tunnel's session from another AS."""
    first, second = facts.tunnels
    assert second.bgp is not None
    return replace(facts, tunnels=(first, replace(second, bgp=replace(second.bgp, device_asn=asn))))


TRAFFIC_WITH_BGP = first_with(SINGLE.facts, bgp=FACTS.tunnels[0].bgp)
TRAFFIC_6 = first_with(SINGLE.facts, selectors=((IPv6Network("2001:db8::/48"), IPv6Network("fd00::/48")),))
ID_6 = first_with(FACTS, gateway_id="2001:db8::1")
ID_NAME = first_with(FACTS, gateway_id="gw.example.net")
ID_OF_DEVICE = first_with(FACTS, device_id="branch.example.net")
OTHER_ASN = with_device_asn(FACTS, 65501)


@pytest.mark.parametrize(
    ("platform", "facts", "what"),
    [
        ("cisco-asa", ID_NAME, "the gateway's IKE identity gw.example.net"),
        ("cisco-asa", ID_OF_DEVICE, "the device's IKE identity branch.example.net"),
        ("cisco-asa", TRAFFIC.facts, "interesting traffic over tunnels that differ in address"),
        ("cisco-asa", TRAFFIC_WITH_BGP, "interesting traffic together with BGP"),
        ("cisco-asa", TRAFFIC_6, "IPv6 as interesting traffic"),
        ("cisco-ios-xe", TRAFFIC_6, "IPv6 as interesting traffic"),
        ("cisco-ios-xe", ID_6, "an IPv6 address as IKE identity"),
        ("juniper-srx", TRAFFIC_WITH_BGP, "interesting traffic together with BGP"),
        ("huawei", TRAFFIC.facts, "interesting traffic over two tunnels"),
        ("huawei", TRAFFIC_WITH_BGP, "interesting traffic together with BGP"),
        ("huawei", ID_6, "an IPv6 address as IKE identity"),
        ("h3c", TRAFFIC.facts, "interesting traffic over two tunnels"),
        ("h3c", TRAFFIC_6, "IPv6 as interesting traffic"),
        ("palo-alto", OTHER_ASN, "an ASN of its own for each tunnel"),
        ("opnsense", OTHER_ASN, "an ASN of its own for each tunnel"),
    ],
)
def test_refused(platform: str, facts: PeerFacts, what: str) -> None:
    with pytest.raises(Unsupported) as refused:
        render(facts, platform)
    assert refused.value.what.startswith(what)
    assert refused.value.allowed


def test_fortigate_asks_for_an_identity_only_where_it_can() -> None:
    assert 'set peerid "gw.example.net"' in render(ID_NAME, "fortigate").text
    ike = FACTS.tunnels[0].ike.model_copy(update={"version": "ikev1", "mode": "main"})
    with pytest.raises(Unsupported, match="in IKEv1 main mode"):
        render(first_with(ID_NAME, ike=ike), "fortigate")


@pytest.mark.parametrize(
    ("platform", "line"),
    [
        ("vyos", "neighbor 169.254.20.1 local-as 65501 no-prepend replace-as"),
        ("cisco-ios-xe", " neighbor 169.254.20.1 local-as 65501 no-prepend replace-as"),
        ("cisco-asa", "  neighbor 169.254.20.1 local-as 65501 no-prepend replace-as"),
        ("juniper-srx", "group conn1-t2 local-as 65501 private no-prepend-global-as"),
        ("fortigate", "            set local-as 65501"),
        ("mikrotik", "add name=conn1-t2 as=65501 "),
        ("huawei", " peer 169.254.20.1 fake-as 65501"),
        ("h3c", " peer 169.254.20.1 fake-as 65501"),
    ],
)
def test_an_asn_of_its_own_for_each_tunnel(platform: str, line: str) -> None:
    assert line in render(OTHER_ASN, platform).text


@pytest.mark.parametrize("platform", ["vyos", "cisco-ios-xe", "juniper-srx", "fortigate", "huawei", "h3c"])
def test_tunnels_that_are_used_alike_are_not_called_preferred(platform: str) -> None:
    text = render(replace(EVERYTHING, secrets=False).facts, platform).text
    assert "Both tunnels are used alike" in text
    assert "prefer the active tunnel" not in text


@pytest.mark.parametrize(
    ("platform", "probe"),
    [
        ("cisco-ios-xe", r"\nip sla 1\n"),
        ("cisco-asa", r"\nsla monitor 1\n"),
        ("juniper-srx", r" vpn-monitor "),
        ("fortigate", r'\n    edit "conn1-t1"\n        set srcintf'),
        ("palo-alto", r" path-monitor enable yes"),
        ("mikrotik", r"\n/tool/netwatch\n"),
        ("huawei", r"\nnqa test-instance conn1 t1\n"),
        ("h3c", r"\nnqa entry conn1 t1\n"),
    ],
)
def test_static_routes_are_probed_where_there_is_somebody_to_ask(platform: str, probe: str) -> None:
    modest = {"encryption": "aes256", "authentication": "sha1", "pfs": "group2"}
    plain = [
        replace(t, ike=t.ike.model_copy(update=modest), ipsec=t.ipsec.model_copy(update=modest))
        for t in STATIC.facts.tunnels
    ]
    without = replace(STATIC.facts, tunnels=tuple(plain))
    assert not re.search(probe, render(without, platform).text)
    inside = [replace(t, inside=other.inside) for t, other in zip(plain, FACTS.tunnels, strict=True)]
    assert re.search(probe, render(replace(without, tunnels=tuple(inside)), platform).text)


@pytest.mark.parametrize(
    ("interval", "models"),
    [
        (200, None),
        (199, "the VM series 200 ms or more"),
        (50, "the PA-3200 series takes 100 ms or more, the VM series 200 ms or more"),
        (10, "the PA-3200 series takes 100 ms or more, the VM series 200 ms or more"),
    ],
)
def test_palo_alto_says_which_models_take_no_bfd_as_fast(interval: int, models: str | None) -> None:
    session = FACTS.tunnels[0].bgp
    assert session is not None
    assert session.bfd is not None
    fast = first_with(FACTS, bgp=replace(session, bfd=replace(session.bfd, interval_ms=interval)))
    found = re.findall(
        r"\n# EDIT: (\d+) ms is too short for some models: (.*)\. Put", render(fast, "palo-alto").text
    )
    assert found == ([] if models is None else [(str(max(interval, 50)), models)])


def test_palo_alto_answers_the_pings_of_the_gateway_alone() -> None:
    text = render(FACTS, "palo-alto").text
    profile = "set network profiles interface-management-profile"
    assert f"\n{profile} conn1-t2 ping yes\n{profile} conn1-t2 permitted-ip 169.254.20.1\n" in text
    assert "\nset network interface tunnel units tunnel.2 interface-management-profile conn1-t2\n" in text
    # Without an inside address there is nothing to ping.
    assert profile not in render(TRAFFIC.facts, "palo-alto").text


def test_huawei_truncates_sha2_as_others_do_only_where_it_is_used() -> None:
    line = "\nipsec authentication sha2 compatible enable\n"
    assert line in render(FACTS, "huawei").text
    assert line not in render(STATIC.facts, "huawei").text


@pytest.mark.parametrize(
    ("platform", "probe"),
    [
        ("cisco-ios-xe", r"\nip sla 1\n"),
        ("fortigate", r"set server"),
        ("palo-alto", r"path-monitor enable"),
        ("mikrotik", r"dst-address=169\.254\.10\.1/32"),
        ("opnsense", r"monitor IP"),
    ],
)
def test_interesting_traffic_lets_no_probe_pass(platform: str, probe: str) -> None:
    facts = first_with(SINGLE.facts, inside=FACTS.tunnels[0].inside)
    assert not re.search(probe, render(facts, platform).text)


@pytest.mark.parametrize("scenario", [REFERENCE, EVERYTHING, STATIC, GUARDED, SINGLE])
def test_the_clouds_shape_can_be_read_as_the_clouds(scenario: Scenario) -> None:
    facts = scenario.facts
    text = render(facts, "json").text
    (found,) = alibaba.read(text, Notes())
    assert found.bgp == (facts.tunnels[0].bgp is not None)
    for tunnel, ours in zip(found.tunnels, facts.tunnels, strict=True):
        assert (tunnel.gateway, tunnel.device) == (ours.gateway, ours.device)
        assert (tunnel.gateway_id, tunnel.device_id) == (ours.gateway_id, ours.device_id)
        assert (tunnel.version, tunnel.key) == (ours.ike.version, ours.pre_shared_key)
        if ours.bgp is not None:
            assert tunnel.bgp is not None
            assert (tunnel.bgp.gateway_asn, tunnel.bgp.device_asn) == (
                ours.bgp.gateway_asn,
                ours.bgp.device_asn,
            )
    assert found.name == "conn1"
    config = json.loads(text)["VpnConnectionConfig"]
    assert config["IkeConfig"] == config["TunnelsConfig"]["TunnelConfig"][0]["IkeConfig"]
    assert config["Extensions"]["Vpc"] == "vpc1"


@pytest.mark.parametrize(
    ("platform", "line"),
    [
        ("vyos", "neighbor 169.254.10.1 bfd profile 'conn1-t1'"),
        ("opnsense", "Routing > BFD: enable, neighbor 169.254.10.1"),
    ],
)
@pytest.mark.parametrize("multihop", [False, True])
@pytest.mark.parametrize("hops", [None, 1])
def test_a_device_with_frr_has_bfd_over_as_many_hops_as_frr_takes(
    platform: str, line: str, multihop: bool, hops: int | None
) -> None:
    bgp, inside = FACTS.tunnels[0].bgp, FACTS.tunnels[0].inside
    assert bgp is not None
    assert bgp.bfd is not None
    assert inside is not None
    changed = replace(bgp, ttl_security=hops, bfd=replace(bgp.bfd, multihop=multihop))
    facts = first_with(FACTS, bgp=changed, inside=replace(inside, bfd=changed.bfd))
    text = render(facts, platform).text
    possible = multihop == (hops is not None)
    assert (line in text) == possible
    assert ("so BFD is not configured, and the hold time decides" in text) != possible
