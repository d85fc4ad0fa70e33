"""Which policy rules are due, and their bytes."""

from __future__ import annotations

import pytest

from bgpsvc.fib import rules
from bgpsvc.fib.rules import Rule, bgp_rule, missing, superfluous, system_rule
from bgpsvc.fib.wire import messages
from bgpsvc.model import Family

V4, V6 = Family.IPV4, Family.IPV6
ALL = {system_rule(V4), bgp_rule(V4, 1000), system_rule(V6), bgp_rule(V6, 1000)}


ENDPOINTS = [rules.endpoint_rule(bytes((198, 51, 100, 2))), rules.endpoint_rule(b"\x20" + bytes(15))]


def test_endpoints_do_not_keep_the_system_rule() -> None:
    assert system_rule(V4) in superfluous(1000, {*ALL, *ENDPOINTS})
    assert rules.PREFERENCE_ENDPOINT < rules.PREFERENCE_SYSTEM


def test_the_system_rule_comes_first() -> None:
    wanted = [system_rule(V4), bgp_rule(V4, 1000), system_rule(V6), bgp_rule(V6, 1000)]
    assert missing(1000, set()) == wanted


def test_nothing_is_due_twice() -> None:
    assert missing(1000, ALL) == []
    assert missing(1001, ALL) == [bgp_rule(V4, 1001), bgp_rule(V6, 1001)]
    assert missing(1000, ALL - {system_rule(V6)}) == [system_rule(V6)]


def test_the_main_table_needs_no_rules() -> None:
    assert missing(254, set()) == []
    assert superfluous(254, ALL) == []


def test_the_system_rule_goes_last_and_only_if_nobody_needs_it() -> None:
    assert superfluous(1000, ALL) == [
        bgp_rule(V4, 1000),
        system_rule(V4),
        bgp_rule(V6, 1000),
        system_rule(V6),
    ]
    assert superfluous(1000, {*ALL, bgp_rule(V4, 1001)}) == [
        bgp_rule(V4, 1000),
        bgp_rule(V6, 1000),
        system_rule(V6),
    ]
    assert superfluous(1000, set()) == []


def test_preferences_leave_room_and_come_before_main() -> None:
    policy = rules.PREFERENCE_POLICY
    assert len(policy) == 100
    order = [rules.PREFERENCE_SYSTEM, *policy, rules.PREFERENCE_STATIC, rules.PREFERENCE_BGP, 32766]
    assert order == sorted(set(order))


@pytest.mark.parametrize("rule", [*ALL, bgp_rule(V4, 200), Rule(V6, 5, 1 << 31), *ENDPOINTS])
def test_what_was_packed_reads_the_same(rule: Rule) -> None:
    (item,) = messages(rules.pack_rule(rules.RTM_NEWRULE, 1, rule))
    assert rules.decode_rule(item.payload, rule.family) == rule


def test_rules_of_others_are_not_ours() -> None:
    (item,) = messages(rules.pack_rule(rules.RTM_NEWRULE, 1, bgp_rule(V4, 1000)))
    foreign = item.payload.replace(bytes((201, 0, 0, 0)), bytes((3, 0, 0, 0)))
    assert foreign != item.payload
    assert rules.decode_rule(foreign, V4) is None
