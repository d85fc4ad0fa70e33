from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

import bgpsvc.policy
from bgpsvc.model import (
    GRACEFUL_SHUTDOWN,
    Attributes,
    Prefix,
    Reason,
    Role,
    Segment,
    SegmentType,
    covers,
    parse_address,
    parse_prefix,
)
from bgpsvc.policy import (
    LOCAL_PREF_ACTIVE,
    LOCAL_PREF_DEFAULT,
    AttributePolicy,
    PrefixFilter,
    denied_networks,
)

FILTER = PrefixFilter(
    denied_networks(
        vpc=[parse_prefix("10.0.0.0/16"), parse_prefix("fd01::/48")],
        tunnels=[parse_prefix("169.254.10.0/30")],
        connected=[parse_prefix("198.51.100.0/24"), parse_prefix("10.0.7.0/24"), parse_prefix("0.0.0.0/0")],
    )
)


@pytest.mark.parametrize(
    ("prefix", "reason"),
    [
        ("192.168.0.0/16", None),
        ("10.0.0.0/16", Reason.VPC_OVERLAP),
        ("10.0.7.0/24", Reason.VPC_OVERLAP),
        ("10.0.255.255/32", Reason.VPC_OVERLAP),
        ("10.0.0.0/15", None),  # covers the VPC, captures nothing: connected routes are looked up first
        ("10.1.0.0/16", None),
        ("9.255.255.255/32", None),
        ("169.254.10.0/30", Reason.TUNNEL_CIDR),
        ("169.254.10.2/32", Reason.TUNNEL_CIDR),
        ("169.254.10.4/30", Reason.MARTIAN),
        ("169.254.0.0/15", None),
        ("198.51.100.128/25", Reason.CONNECTED),
        ("100.64.0.0/10", Reason.SHARED_ADDRESS_SPACE),
        ("100.127.255.0/24", Reason.SHARED_ADDRESS_SPACE),
        ("100.128.0.0/24", None),
        ("127.1.0.0/16", Reason.MARTIAN),
        ("0.0.0.0/8", Reason.MARTIAN),
        ("0.0.0.0/1", None),
        ("239.1.2.3/32", Reason.MARTIAN),
        ("255.255.255.255/32", Reason.MARTIAN),
        ("0.0.0.0/0", Reason.DEFAULT_ROUTE),
        ("::/0", Reason.DEFAULT_ROUTE),
        ("fd01:0:0:7::/64", Reason.VPC_OVERLAP),
        ("fd02::/48", None),
        ("fe80::/64", Reason.MARTIAN),
        ("::1/128", Reason.MARTIAN),
        ("ff02::1/128", Reason.MARTIAN),
        ("2001:db8::/32", None),
    ],
)
def test_prefix_filter(prefix: str, reason: Reason | None) -> None:
    assert FILTER.refuse(parse_prefix(prefix)) is reason


def test_nested_networks_are_refused_whatever_their_order() -> None:
    networks = [
        parse_prefix(f"{first}.{second}.0.0/{length}")
        for first, second, length in ((20, 0, 8), (20, 0, 16), (20, 64, 10), (20, 255, 16), (21, 0, 16))
    ]
    asked = [parse_prefix(f"{first}.{second}.3.0/24") for first in (19, 20, 21) for second in (0, 99, 255)]
    for some in permutations(networks):
        for number in range(1, len(some) + 1):
            denied = some[:number]
            found = PrefixFilter((network, Reason.CONNECTED) for network in denied)
            for prefix in asked:
                inside = any(covers(network, prefix) for network in denied)
                assert (found.refuse(prefix) is not None) is inside


def test_denied_networks_of_many_tunnels_are_looked_at_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def counted(outer: Prefix, inner: Prefix) -> bool:
        nonlocal calls
        calls += 1
        return covers(outer, inner)

    monkeypatch.setattr(bgpsvc.policy, "covers", counted)
    PrefixFilter((parse_prefix(f"20.0.{number}.0/30"), Reason.TUNNEL_CIDR) for number in range(250))
    assert calls <= 250


def policy(**more: object) -> AttributePolicy:
    fields: dict[str, object] = {
        "local_asn": 65530,
        "ebgp": True,
        "role": Role.ACTIVE,
        "prefer_active": True,
        "next_hops": (parse_prefix("169.254.10.2/32"), parse_prefix("fe80::/10")),
    }
    return AttributePolicy(**{**fields, **more})  # type: ignore[arg-type]


def attributes(next_hop: str = "169.254.10.2", *asns: int, local_pref: int | None = None) -> Attributes:
    path = (Segment(SegmentType.SEQUENCE, asns or (65500,)),)
    return Attributes(next_hop=parse_address(next_hop), as_path=path, local_pref=local_pref)


@pytest.mark.parametrize(
    ("paths", "reason"),
    [
        (attributes(), None),
        (attributes("169.254.10.2", 65500, 65530), Reason.AS_LOOP),
        (attributes("169.254.10.1"), Reason.INVALID_NEXT_HOP),
        (attributes("169.254.10.0"), Reason.INVALID_NEXT_HOP),
        (attributes("169.254.10.3"), Reason.INVALID_NEXT_HOP),
        (attributes("169.254.20.2"), Reason.INVALID_NEXT_HOP),
        (attributes("fe80::1"), None),
        (attributes("2001:db8::1"), Reason.INVALID_NEXT_HOP),
    ],
)
def test_attribute_policy(paths: Attributes, reason: Reason | None) -> None:
    assert policy().refuse(paths) is reason


def test_loop_in_an_as_set_is_a_loop() -> None:
    path = (Segment(SegmentType.SEQUENCE, (65500,)), Segment(SegmentType.SET, (1, 65530)))
    looped = Attributes(next_hop=parse_address("169.254.10.2"), as_path=path)
    assert policy().refuse(looped) is Reason.AS_LOOP


@pytest.mark.parametrize(
    ("more", "received", "expected"),
    [
        ({}, 500, LOCAL_PREF_ACTIVE),
        ({"role": Role.STANDBY}, 500, LOCAL_PREF_DEFAULT),
        ({"prefer_active": False}, 500, LOCAL_PREF_DEFAULT),
        ({"prefer_active": False, "ebgp": False}, 500, 500),
        ({"prefer_active": False, "ebgp": False}, None, LOCAL_PREF_DEFAULT),
    ],
)
def test_local_preference(more: dict[str, object], received: int | None, expected: int) -> None:
    assert policy(**more).local_pref(attributes(local_pref=received)) == expected


@pytest.mark.parametrize("role", Role)
def test_a_path_that_is_about_to_go_is_the_last_choice_unless_a_policy_prefers_it(role: Role) -> None:
    leaving = replace(attributes(local_pref=500), communities=(1, GRACEFUL_SHUTDOWN))
    for more in ({}, {"prefer_active": False}, {"prefer_active": False, "ebgp": False}):
        assert policy(role=role, **more).local_pref(leaving) == 0
    assert policy(role=role).local_pref(replace(leaving, preference=70)) == 70
