"""The scenario's values agree with each other."""

from __future__ import annotations

import pytest

from bgpsvc.lab.topology import (
    GATEWAYS,
    GW1,
    GW2,
    HOSTS,
    MAX_EXTRA_PREFIXES,
    TUNNEL_CIDRS,
    TUNNEL_CIDRS6,
    TUNNELS,
    TunnelKind,
    batches,
    extra_prefixes,
    fail_rules,
    other,
)
from bgpsvc.model import covers, pack_prefix, parse_address, parse_prefix


def inside(address: str, cidr: str) -> bool:
    packed = parse_address(address)
    return covers(parse_prefix(cidr), pack_prefix(packed, len(packed) * 8))


def test_addresses_lie_where_the_scenario_puts_them() -> None:
    for side in GATEWAYS:
        assert inside(side.vpc_address, side.vpc_cidr)
        assert inside(side.host_address, side.vpc_cidr)
        assert inside(side.vpc_address6, side.vpc_cidr6)
        assert inside(side.host_address6, side.vpc_cidr6)
        assert all(inside(a, cidr) for a, cidr in zip(side.inside, TUNNEL_CIDRS, strict=True))
        assert all(inside(a, cidr) for a, cidr in zip(side.inside6, TUNNEL_CIDRS6, strict=True))
        assert other(other(side)) is side


def test_extra_prefixes_are_valid_distinct_and_far_from_the_vpcs() -> None:
    blocks = []
    for gateway in GATEWAYS:
        texts = extra_prefixes(gateway, MAX_EXTRA_PREFIXES)
        assert len(set(texts)) == MAX_EXTRA_PREFIXES
        first, last = parse_prefix(texts[0]), parse_prefix(texts[-1])
        assert first[3] == last[3] == 0
        blocks.append(range(first[0], last[0] + 1))
        assert extra_prefixes(gateway, 300)[-1] == f"{gateway.extra_base}.1.43.0/24"
    assert not set(blocks[0]) & set(blocks[1])
    # No private, loopback, link-local, documentation or multicast block begins with one of these octets.
    assert not {10, 100, 127, 169, 172, 192, 198, 203} & {*blocks[0], *blocks[1]}
    assert max(*blocks[0], *blocks[1]) < 224


@pytest.mark.parametrize("count", [-1, MAX_EXTRA_PREFIXES + 1])
def test_an_impossible_number_of_prefixes_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="are possible"):
        extra_prefixes(GW1, count)


@pytest.mark.parametrize("tunnel", TUNNELS)
def test_a_broken_tunnel_drops_both_directions_and_nothing_of_the_other(tunnel: int) -> None:
    forward, back = fail_rules(tunnel)
    ends = GW1.public[tunnel - 1], GW2.public[tunnel - 1]
    assert f"from {ends[0]} to {ends[1]} blackhole" in forward
    assert f"from {ends[1]} to {ends[0]} blackhole" in back
    healthy = {*GW1.public, *GW2.public} - set(ends)
    assert not healthy & {*forward.split(), *back.split()}


@pytest.mark.parametrize("kind", TunnelKind)
def test_every_interface_is_made_before_it_is_used(kind: TunnelKind) -> None:
    made = {(host, "lo") for host in HOSTS}
    for host, lines in batches(kind):
        assert host in HOSTS
        for line in lines:
            words = line.split()
            if words[:2] == ["link", "add"]:
                made.add((host, words[2]))
                if "netns" in words:
                    made.add((words[-1], words[words.index("peer") + 2]))
            else:
                device = words[words.index("dev") + 1] if "dev" in words else words[2]
                assert "default" in words or (host, device) in made, (host, line)


def test_below_ipsec_there_are_only_the_links() -> None:
    lines = [line for _, made in batches(TunnelKind.IPSEC) for line in made]
    assert not [line for line in lines if "vxlan" in line]
    inside = {address for side in GATEWAYS for address in (*side.inside, *side.inside6)}
    assert not [line for line in lines if any(address in line for address in inside)]
