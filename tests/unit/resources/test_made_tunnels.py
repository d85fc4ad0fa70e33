"""Tunnels that the service makes: names, keys, selectors, addresses; and what is said of external ones."""

from __future__ import annotations

import pytest

from bgpsvc.control import InvalidDocument
from bgpsvc.ipsec.wanted import ipsec_tunnels
from bgpsvc.model import SessionId
from bgpsvc.resources import ConfigError, load
from bgpsvc.resources.changes import intent_of, with_changes
from bgpsvc.resources.interfaces import made_name
from bgpsvc.resources.kinds import KIND_OF
from bgpsvc.resources.plain import parse, parse_all

LONG = "a-name-that-is-far-too-long-for-an-interface"
HEAD = """\
vpcs:
  - {name: vpc1, cidrs: [10.0.0.0/16], interfaces: [br1]}
vpn_gateways:
  - {name: gw1, vpc: vpc1, addresses: [198.51.100.1, 198.51.100.3]}
customer_gateways:
  - {name: peer1, address: 198.51.100.2, asn: 65500}
  - {name: peer2, address: 198.51.100.4, asn: 65500}
  - {name: peer3, address: 198.51.100.2, asn: 65500}
vpn_connections:
"""
KEY = "ike: {pre_shared_key: k}"


def connection(name: str, *tunnels: str, more: str = "") -> str:
    listed = ", ".join(f"{{{tunnel}}}" for tunnel in tunnels)
    return f"  - {{name: {name}, vpn_gateway: gw1, {more} tunnels: [{listed}]}}\n"


def bgp(third: int) -> str:
    return f"bgp: {{tunnel_cidr: 169.254.{third}.0/30, local_ip: 169.254.{third}.1}}"


def problems(*connections: str, head: str = HEAD) -> list[tuple[str, str]]:
    try:
        load(head + "".join(connections), "gw.yaml")
    except ConfigError as error:
        return [(problem.path, problem.message) for problem in error.problems]
    return []


def warnings(*connections: str) -> list[tuple[str, str]]:
    found = load(HEAD + "".join(connections), "gw.yaml").warnings
    return [(warning.path, warning.message) for warning in found]


OURS = connection("conn1", f"customer_gateway: peer1, {KEY}", f"customer_gateway: peer2, {KEY}")


def test_names_of_interfaces_fit_and_tell_tunnels_apart() -> None:
    assert made_name("conn1", 2) == "conn1-tunnel2"
    long = {made_name(LONG, 1), made_name(LONG, 2), made_name(f"{LONG}2", 1)}
    assert len(long) == 3
    assert all(len(name) <= 15 and name.startswith("vpn-") for name in long)


def test_a_tunnel_without_interface_needs_a_key_in_a_file() -> None:
    text = connection("conn1", "customer_gateway: peer1", "customer_gateway: peer2, ike: {version: ikev2}")
    assert problems(text) == [
        (
            f"vpn_connections[0].tunnels[{index}].ike.pre_shared_key",
            "is missing, and only for resources in the database one is made",
        )
        for index in (0, 1)
    ]
    assert problems(OURS) == []
    from_file = "customer_gateway: peer1, ike: {pre_shared_key_file: keys/1}"
    assert problems(connection("conn1", from_file)) == []
    assert problems(connection("conn1", "customer_gateway: peer1, interface: t1")) == []


def test_a_key_that_was_refused_is_not_missing_besides() -> None:
    bad = "customer_gateway: peer1, ike: {pre_shared_key: 'a b'}"
    assert [path for path, _ in problems(connection("conn1", bad))] == [
        "vpn_connections[0].tunnels[0].ike.pre_shared_key"
    ]


def test_an_interface_that_is_named_is_none_that_the_service_makes() -> None:
    other = connection("conn2", "customer_gateway: peer1, interface: conn1-tunnel1")
    for text in ((OURS, other), (other, OURS)):
        ((path, message),) = problems(*text)
        assert path.endswith(".tunnels[0].interface")
        assert message == "is used by tunnel 1 of conn1, whose interface the service makes"
    ((path, message),) = problems(OURS, head=HEAD.replace("[br1]", "[conn1-tunnel2]"))
    assert (path, message) == (
        "vpcs[0].interfaces[0]",
        "is used by tunnel 2 of conn1, whose interface the service makes",
    )


def test_between_two_addresses_there_is_one_tunnel_of_ours() -> None:
    again = connection("conn2", f"customer_gateway: peer3, {KEY}")
    detail = "tunnel 1 of conn1 leads from the same public address to 198.51.100.2 already"
    assert problems(OURS, again) == [("vpn_connections[1].tunnels[0].customer_gateway", detail)]
    # From the gateway's other address, or where somebody else makes it, it is another matter.
    swapped = connection("conn2", f"customer_gateway: peer2, {KEY}", f"customer_gateway: peer1, {KEY}")
    assert problems(OURS, swapped) == []
    assert problems(OURS, connection("conn2", "customer_gateway: peer1, interface: t9")) == []


def test_a_gateway_with_a_single_address_tells_its_tunnels_apart_by_their_peers() -> None:
    single = HEAD.replace("[198.51.100.1, 198.51.100.3]", "[198.51.100.1, 198.51.100.1]")
    assert single != HEAD
    assert problems(OURS, head=single) == []
    swapped = connection("conn2", f"customer_gateway: peer2, {KEY}", f"customer_gateway: peer1, {KEY}")
    assert [path for path, _ in problems(OURS, swapped, head=single)] == [
        "vpn_connections[1].tunnels[0].customer_gateway",
        "vpn_connections[1].tunnels[1].customer_gateway",
    ]
    both = connection("conn1", f"customer_gateway: peer1, {KEY}", f"customer_gateway: peer1, {KEY}")
    detail = "tunnel 1 of conn1 leads from the same public address to 198.51.100.2 already"
    assert problems(both, head=single) == [("vpn_connections[0].tunnels[1].customer_gateway", detail)]
    assert problems(both) == []


def test_the_same_is_refused_when_it_comes_later() -> None:
    document = {
        "vpcs": [{"name": "vpc1", "cidrs": ["10.0.0.0/16"]}],
        "vpn_gateways": [{"name": "gw1", "vpc": "vpc1", "addresses": ["198.51.100.1", "198.51.100.3"]}],
        "customer_gateways": [
            {"name": "peer1", "address": "198.51.100.2"},
            {"name": "peer2", "address": "198.51.100.4"},
            {"name": "peer3", "address": "198.51.100.2"},
        ],
        "vpn_connections": [
            {"name": "conn1", "vpn_gateway": "gw1", "tunnels": [{"customer_gateway": "peer1"}]},
            {"name": "conn3", "vpn_gateway": "gw1", "tunnels": [{"customer_gateway": "peer2"}]},
        ],
    }
    intent = intent_of(parse_all(document, make_key=lambda: "k"))
    kind = KIND_OF["vpn_connections"]
    for tunnel, pointer in (
        ({"customer_gateway": "peer1"}, "/tunnels/0/customer_gateway"),
        ({"customer_gateway": "peer3"}, "/tunnels/0/customer_gateway"),
        ({"customer_gateway": "peer1", "interface": "conn1-tunnel1"}, "/tunnels/0/interface"),
    ):
        second = parse(kind, {"name": "conn2", "vpn_gateway": "gw1", "tunnels": [tunnel]})
        with pytest.raises(InvalidDocument) as refused:
            with_changes(intent, [(kind, second)], ())
        assert [mistake.pointer for mistake in refused.value.mistakes] == [pointer]
    moved = parse(KIND_OF["customer_gateways"], {"name": "peer2", "address": "198.51.100.2"})
    with pytest.raises(InvalidDocument, match="the same public address"):
        with_changes(intent, [(KIND_OF["customer_gateways"], moved)], ())


TRAFFIC = "routing_mode: interesting_traffic, local_cidrs: [10.0.1.0/24], remote_cidrs: [172.16.0.0/16],"
OLD = "ike: {version: ikev1, pre_shared_key: k}"


def test_bgp_beside_interesting_traffic_is_a_second_pair_of_selectors() -> None:
    tunnel = f"customer_gateway: peer1, {OLD}, {bgp(10)}"
    both = connection("conn1", tunnel, more=f"{TRAFFIC} enable_bgp: true,")
    assert problems(both) == [
        (
            "vpn_connections[0].tunnels[0].ike.version",
            "BGP and the CIDRs are two pairs of selectors, and several need IKEv2",
        )
    ]
    assert problems(connection("conn1", tunnel, more=TRAFFIC)) == []
    assert (
        problems(connection("conn1", f"{tunnel}, interface: t1", more=f"{TRAFFIC} enable_bgp: true,")) == []
    )


def test_both_families_are_two_pairs_of_selectors() -> None:
    inside = "bgp: {tunnel_cidr: 169.254.10.0/30, local_ip: 169.254.10.1, ipv6: {tunnel_cidr: 'fd00::/126', "
    inside += "local_ip: 'fd00::1'}}"
    tunnel = f"customer_gateway: peer1, {OLD}, {inside}"
    assert problems(connection("conn1", tunnel, more="enable_bgp: true,")) == [
        (
            "vpn_connections[0].tunnels[0].ike.version",
            "IPv4 and IPv6 are two pairs of selectors, and several need IKEv2",
        )
    ]
    newer = f"customer_gateway: peer1, {KEY}, {inside}"
    for accepted in (newer, f"{tunnel}, interface: t1", f"customer_gateway: peer1, {OLD}, {bgp(10)}"):
        assert problems(connection("conn1", accepted, more="enable_bgp: true,")) == []


def test_the_addresses_of_the_tunnel_are_a_pair_of_selectors() -> None:
    tunnel = f"customer_gateway: peer1, {KEY}, {bgp(10)}"
    text = HEAD + connection("conn1", tunnel, more=f"{TRAFFIC} enable_bgp: true,")
    found = ipsec_tunnels(load(text, "gw.yaml").intent)[SessionId("conn1-tunnel1")]
    assert [(str(local), str(remote)) for local, remote in found.pairs] == [
        ("169.254.10.1/32", "169.254.10.2/32"),
        ("10.0.1.0/24", "172.16.0.0/16"),
    ]


def test_nothing_is_said_to_be_unused_of_tunnels_that_the_service_makes() -> None:
    every = f"customer_gateway: peer1, mtu: 1400, {KEY}, ipsec: {{lifetime: 3600}}, dpd: {{timeout: 9}}"
    ours = connection("conn1", f"{every}, nat_traversal: true", more="effect_immediately: false,")
    assert [message for _, message in warnings(ours) if "not applied" in message] == []


def test_of_an_external_tunnel_everything_of_ipsec_is_said_to_be_unused() -> None:
    every = f"customer_gateway: peer1, mtu: 1400, {KEY}, ipsec: {{lifetime: 3600}}, dpd: {{timeout: 9}}"
    external = connection(
        "conn1", f"{every}, nat_traversal: true, interface: t1", more="effect_immediately: false,"
    )
    said = [path for path, message in warnings(external) if "not applied" in message]
    tunnel = "vpn_connections[0].tunnels[0]"
    keys = ("mtu", "ike", "ipsec", "dpd", "nat_traversal")
    assert sorted(said) == sorted(
        ["vpn_connections[0].effect_immediately", *(f"{tunnel}.{key}" for key in keys)]
    )


def test_legacy_values_are_warned_of_whoever_makes_the_tunnel() -> None:
    weak = "ike: {authentication: sha1, pre_shared_key: k}, ipsec: {encryption: 3des}"
    for more in ("", "interface: t1,"):
        text = connection("conn1", f"{more} customer_gateway: peer1, {weak}")
        legacy = [path for path, message in warnings(text) if "is legacy and weak" in message]
        tunnel = "vpn_connections[0].tunnels[0]"
        assert legacy == [f"{tunnel}.ike.authentication", f"{tunnel}.ipsec.encryption"]


def test_a_tunnel_without_bgp_section_has_no_addresses() -> None:
    found = ipsec_tunnels(load(HEAD + OURS, "gw.yaml").intent)
    assert [tunnel.addresses for tunnel in found.values()] == [(), ()]
    assert [str(tunnel.remote) for tunnel in found.values()] == ["198.51.100.2", "198.51.100.4"]


@pytest.mark.parametrize("mtu", [1280, 9000])
def test_an_mtu_at_the_edge(mtu: int) -> None:
    tunnel = f"customer_gateway: peer1, mtu: {mtu}, {KEY}"
    assert problems(connection("conn1", tunnel)) == []
    wrong = 1279 if mtu == 1280 else 9001
    assert problems(connection("conn1", tunnel.replace(str(mtu), str(wrong)))) == [
        ("vpn_connections[0].tunnels[0].mtu", "is out of range")
    ]
