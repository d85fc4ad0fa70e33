"""Rules of routing policies: what matches, what it changes, and what built-in checks leave of it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgpsvc.events import Advertisement
from bgpsvc.model import (
    Attributes,
    Prefix,
    Reason,
    Segment,
    SegmentType,
    format_community,
    parse_address,
    parse_community,
    parse_prefix,
)
from bgpsvc.policy import LOCAL_PREF_ACTIVE, Judgement, PrefixFilter, denied_networks, judge
from bgpsvc.resources.models import PolicyRule, PrefixMatch, RoutingPolicy
from bgpsvc.routing_policy import ExportRules, PrefixList, compile_policy
from bgpsvc.session import SessionSettings, session_settings
from tests.unit.core.policies import policed, policy, prefixes, rule
from tests.unit.support import T1, T2, path

FILTER = PrefixFilter(denied_networks([parse_prefix("10.0.0.0/16")], [parse_prefix("169.254.10.0/30")], []))
REJECTED = Reason.REJECTED_BY_POLICY


def settings(imports: RoutingPolicy | None, tunnel: int = 1, **connection: Any) -> SessionSettings:
    return session_settings(policed(imports, connection=connection))[tunnel - 1]


def judged(
    imports: RoutingPolicy | None, prefix: str, attributes: Attributes | None = None, **connection: Any
) -> Judgement:
    paths = path(T1) if attributes is None else attributes
    return judge(settings(imports, **connection), FILTER, parse_prefix(prefix), paths)


# What matches


@pytest.mark.parametrize(
    ("listed", "prefix", "inside"),
    [
        ("192.168.0.0/16", "192.168.0.0/16", True),
        ("192.168.0.0/16", "192.168.1.0/24", False),
        ("192.168.0.0/16", "192.0.0.0/8", False),
        ("192.168.0.0/16 24", "192.168.1.0/24", True),
        ("192.168.0.0/16 24", "192.168.1.1/32", True),
        ("192.168.0.0/16 24", "192.168.0.0/23", False),
        ("192.168.0.0/16 24", "192.169.1.0/24", False),
        ("192.168.0.0/16 - 24", "192.168.0.0/16", True),
        ("192.168.0.0/16 - 24", "192.168.1.0/25", False),
        ("192.168.0.0/16 20 24", "192.168.16.0/20", True),
        ("0.0.0.0/0", "0.0.0.0/0", True),
        ("0.0.0.0/0", "1.0.0.0/8", False),
        ("0.0.0.0/0 - 32", "1.0.0.0/8", True),
        ("0.0.0.0/0 - 32", "2001:db8::/32", False),
        ("2001:db8::/32 48", "2001:db8:1::/48", True),
        ("2001:db8::/32 48", "2001:db8::1/128", True),
        ("2001:db8::/32 - 47", "2001:db8:1::/48", False),
    ],
)
def test_prefix_list(listed: str, prefix: str, inside: bool) -> None:
    assert (parse_prefix(prefix) in PrefixList(prefixes(listed))) is inside


def _network(number: int, length: int) -> str:
    return (
        f"{'.'.join(str(b) for b in (number >> (32 - length) << (32 - length)).to_bytes(4, 'big'))}/{length}"
    )


NETWORKS = st.builds(_network, st.sampled_from([0, 0x0A000000, 0x0A010000, 0xFFFFFFFF]), st.integers(0, 32))


@st.composite
def matches(draw: st.DrawFn) -> PrefixMatch:
    network = ip_network(draw(NETWORKS))
    low = draw(st.none() | st.integers(network.prefixlen, 32))
    high = draw(st.none() | st.integers(network.prefixlen if low is None else low, 32))
    return PrefixMatch(prefix=network, ge=low, le=high)


@given(st.lists(matches(), max_size=6), NETWORKS)
def test_prefix_list_equals_the_plain_definition(listed: list[PrefixMatch], text: str) -> None:
    network = ip_network(text)

    def takes(match: PrefixMatch) -> bool:
        own = match.prefix.prefixlen
        low = own if match.ge is None else match.ge
        high = match.le if match.le is not None else own if match.ge is None else 32
        return network.subnet_of(match.prefix) and low <= network.prefixlen <= high  # type: ignore[arg-type]

    assert (parse_prefix(text) in PrefixList(listed)) is any(map(takes, listed))


TAGGED = path(T1, 65500, 65501, communities=(65500 << 16 | 7,), large_communities=((65500, 1, 2),))


@pytest.mark.parametrize(
    ("match", "prefix", "matches"),
    [
        ({"prefixes": prefixes("1.0.0.0/8 - 24", "2.0.0.0/8")}, "2.0.0.0/8", True),
        ({"prefixes": prefixes("1.0.0.0/8 - 24", "2.0.0.0/8")}, "3.0.0.0/8", False),
        ({"as_path": "_65501$"}, "1.0.0.0/8", True),
        ({"as_path": "^65501"}, "1.0.0.0/8", False),
        ({"communities": ("1:1", "65500:7")}, "1.0.0.0/8", True),
        ({"communities": ("65500:1:2",)}, "1.0.0.0/8", True),
        ({"communities": ("65500:8", "no-export", "65500:1:3")}, "1.0.0.0/8", False),
        ({"sessions": (T2, T1)}, "1.0.0.0/8", True),
        ({"sessions": (T2,)}, "1.0.0.0/8", False),
        ({}, "1.0.0.0/8", True),
        (None, "1.0.0.0/8", True),
        # All that is given must match.
        ({"prefixes": prefixes("1.0.0.0/8"), "as_path": "65501", "sessions": (T1,)}, "1.0.0.0/8", True),
        ({"prefixes": prefixes("1.0.0.0/8"), "as_path": "65509"}, "1.0.0.0/8", False),
        ({"prefixes": prefixes("2.0.0.0/8"), "as_path": "65501"}, "1.0.0.0/8", False),
        ({"as_path": "65501", "communities": ("1:1",)}, "1.0.0.0/8", False),
    ],
)
def test_match(match: dict[str, Any] | None, prefix: str, matches: bool) -> None:
    made = judged(policy(rule("reject", match=match)), prefix, TAGGED)
    assert made.reason is (REJECTED if matches else None)


def test_the_first_rule_that_matches_decides() -> None:
    rules = policy(
        rule("reject", match={"prefixes": prefixes("1.0.0.0/8")}),
        rule("accept", match={"as_path": "65501"}, med=2),
        rule("accept", match={"prefixes": prefixes("1.0.0.0/8 - 24")}, med=3),
        rule("accept", med=4),
        rule("reject"),
    )
    first = judged(rules, "1.0.0.0/8", TAGGED)
    assert (first.reason, first.rule, first.policy) == (REJECTED, 1, "from-dc")
    assert first.text == "rejected by rule 1 of import policy from-dc"
    for prefix, attributes, number in (
        ("1.1.0.0/16", TAGGED, 2),
        ("1.1.0.0/16", path(T1), 3),
        ("1.1.1.0/25", path(T1), 4),
    ):
        made = judged(rules, prefix, attributes)
        assert (made.rule, made.attributes and made.attributes.med) == (number, number)
        assert made.changes == (f"med {number}",)
        assert made.text == f"accepted by rule {number} of import policy from-dc"


@pytest.mark.parametrize("default", ["accept", "reject"])
def test_without_a_match_the_default_action_decides(default: str) -> None:
    rules = policy(rule("reject", match={"prefixes": prefixes("2.0.0.0/8")}), default=default)
    made = judged(rules, "1.0.0.0/8")
    assert made.reason is (None if default == "accept" else REJECTED)
    assert made.attributes == (path(T1) if default == "accept" else None)
    assert made.text == f"{default}ed by the default action of import policy from-dc"
    assert judged(policy(default=default), "1.0.0.0/8").reason is made.reason


# Built-in checks


@pytest.mark.parametrize(
    ("prefix", "attributes", "reason"),
    [
        ("10.0.9.0/24", path(T1), Reason.VPC_OVERLAP),
        ("169.254.10.0/30", path(T1), Reason.TUNNEL_CIDR),
        ("127.0.0.0/8", path(T1), Reason.MARTIAN),
        ("1.0.0.0/8", path(T1, 65500, 65530), Reason.AS_LOOP),
        ("1.0.0.0/8", path(T2), Reason.INVALID_NEXT_HOP),
        ("10.0.9.0/24", path(T2), Reason.INVALID_NEXT_HOP),
    ],
)
def test_no_policy_overrides_a_built_in_check(prefix: str, attributes: Attributes, reason: Reason) -> None:
    for rules in (None, policy(rule("accept", match={"prefixes": prefixes(prefix)})), policy(rule("reject"))):
        made = judged(rules, prefix, attributes)
        assert (made.reason, made.policy, made.rule) == (reason, None, None)
        assert made.text == reason.text


DEFAULT = "0.0.0.0/0"
NAMED = {"prefixes": prefixes(DEFAULT)}


@pytest.mark.parametrize(
    ("rules", "accept_default", "reason"),
    [
        (None, False, Reason.DEFAULT_ROUTE),
        (None, True, None),
        (policy(rule()), False, Reason.DEFAULT_ROUTE),
        (policy(), False, Reason.DEFAULT_ROUTE),
        (policy(rule()), True, None),
        (policy(rule(match=NAMED)), False, None),
        (policy(rule(match={"prefixes": prefixes("0.0.0.0/0 - 32")})), False, None),
        (policy(rule(match={"prefixes": prefixes("::/0")})), False, Reason.DEFAULT_ROUTE),
        (policy(rule("reject", match=NAMED)), False, REJECTED),
        (policy(rule("reject", match=NAMED)), True, REJECTED),
        (policy(rule("reject")), True, REJECTED),
        (policy(rule(match={**NAMED, "as_path": "_9_"})), False, Reason.DEFAULT_ROUTE),
    ],
)
def test_default_route(rules: RoutingPolicy | None, accept_default: bool, reason: Reason | None) -> None:
    assert judged(rules, DEFAULT, accept_default_route=accept_default).reason is reason


# What a rule changes


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"local_preference": 300}, {"preference": 300}),
        ({"local_preference": 0}, {"preference": 0}),
        ({"med": 0}, {"med": 0}),
        ({"add_communities": ("1:1", "65500:7")}, {"communities": (1 << 16 | 1, 65500 << 16 | 7)}),
        ({"remove_communities": ("65500:7",)}, {"communities": ()}),
        ({"remove_communities": ("65500:7",), "add_communities": ("65500:7",)}, {}),
        ({"add_communities": ("1:1:1",)}, {"large_communities": ((1, 1, 1), (65500, 1, 2))}),
        ({"remove_communities": ("65500:1:2", "1:2:3")}, {"large_communities": ()}),
        ({"add_communities": ("no-export",)}, {"communities": (65500 << 16 | 7, 0xFFFFFF01)}),
        ({"prepend": 2}, {"as_path": (Segment(SegmentType.SEQUENCE, (65500, 65500, 65500, 65501)),)}),
        ({}, {}),
    ],
)
def test_changes(change: dict[str, Any], expected: dict[str, Any]) -> None:
    received = replace(TAGGED, med=5)
    made = judged(policy(rule(**change)), "1.0.0.0/8", received)
    assert made.attributes == replace(received, **expected)
    if not expected:
        assert made.attributes is received, "what nothing changes is the same object"


def test_prepending_to_a_path_that_begins_with_a_set() -> None:
    received = replace(TAGGED, as_path=(Segment(SegmentType.SET, (1, 2)),))
    made = judged(policy(rule(prepend=1)), "1.0.0.0/8", received)
    assert made.attributes is not None
    assert made.attributes.as_path == (Segment(SegmentType.SEQUENCE, (65500,)), *received.as_path)


def test_a_preference_of_the_policy_comes_before_that_of_the_role() -> None:
    active = settings(None).policy
    assert active.local_pref(path(T1)) == LOCAL_PREF_ACTIVE
    assert active.local_pref(path(T1, preference=7)) == 7
    assert replace(active, prefer_active=False).local_pref(path(T1, preference=7, local_pref=9)) == 7


def test_changes_are_told() -> None:
    change = rule(
        local_preference=1, med=2, prepend=3, add_communities=("1:1",), remove_communities=("no-export",)
    )
    told = ("local_preference 1", "med 2", "prepend 3", "remove_communities no-export", "add_communities 1:1")
    assert judged(policy(change), "1.0.0.0/8").changes == told


def test_an_unchanged_policy_is_equal() -> None:
    def made(med: int) -> SessionSettings:
        return settings(policy(rule(match={"as_path": "^1_", "prefixes": prefixes("1.0.0.0/8")}, med=med)))

    assert made(1) == made(1)
    assert hash(made(1)) == hash(made(1))
    assert made(1) != made(2)
    assert settings(None) != made(1)


# Export


PLAIN = Advertisement(med=100)


OWN = parse_prefix("10.0.0.0/16")


def exported(rules: RoutingPolicy, prefix: Prefix = OWN, ebgp: bool = True) -> Advertisement | None:
    plain = PLAIN if ebgp else replace(PLAIN, local_pref=200)
    return ExportRules(compile_policy(rules), T1, ebgp, plain).advertisement(prefix)


@pytest.mark.parametrize(
    ("change", "ebgp", "expected"),
    [
        (rule(med=7), True, Advertisement(med=7)),
        (rule(local_preference=7), True, PLAIN),
        (rule(local_preference=7), False, Advertisement(med=100, local_pref=7)),
        (rule(), False, Advertisement(med=100, local_pref=200)),
        (rule(prepend=2), True, Advertisement(med=100, prepend=2)),
        (rule(prepend=2), False, Advertisement(med=100, local_pref=200)),
        (
            rule(add_communities=("1:1", "2:2:2"), remove_communities=("3:3",)),
            True,
            Advertisement(med=100, communities=(1 << 16 | 1,), large_communities=((2, 2, 2),)),
        ),
        (rule("reject"), True, None),
        (rule("reject", match={"prefixes": prefixes("10.0.0.0/16")}), True, None),
        (rule("reject", match={"prefixes": prefixes("10.1.0.0/16")}), True, PLAIN),
        (rule("reject", match={"as_path": "^$"}), True, None),
        (rule("reject", match={"as_path": "1"}), True, PLAIN),
        (rule("reject", match={"communities": ("1:1",)}), True, PLAIN),
        (rule("reject", match={"sessions": (T1,)}), True, None),
        (rule("reject", match={"sessions": (T2,)}), True, PLAIN),
    ],
)
def test_export(change: PolicyRule, ebgp: bool, expected: Advertisement | None) -> None:
    assert exported(policy(change), ebgp=ebgp) == expected


def test_what_no_export_rule_matches_goes_the_default_way() -> None:
    assert exported(policy()) == PLAIN
    assert exported(policy(default="reject")) is None
    listed = policy(rule(match={"prefixes": prefixes("10.0.0.0/16")}), default="reject")
    assert exported(listed) == PLAIN
    assert exported(listed, parse_prefix("10.1.0.0/16")) is None


# Communities as text


@pytest.mark.parametrize(
    "text", ["65000:100", "0:0", "65000:1:4294967295", "no-export", "blackhole", "no-peer"]
)
def test_communities_as_text(text: str) -> None:
    assert format_community(parse_community(text)) == text


@pytest.mark.parametrize("text", ["", "1", "65536:1", "1:2:3:4", "1:x", "1:4294967296:1", "export", "²:1"])
def test_what_is_no_community(text: str) -> None:
    with pytest.raises(ValueError, match="is not a community"):
        parse_community(text)


def test_next_hop_of_the_reference_scenario() -> None:
    # What the cases above take for granted.
    assert path(T1).next_hop == parse_address("169.254.10.2")
