"""Which policy rules there should be, and in which order they come and go."""

from __future__ import annotations

from bgpsvc.fib import rules
from bgpsvc.fib.rules import Rule, changes, wanted
from bgpsvc.model import Family, parse_address

V4, V6 = Family.IPV4, Family.IPV6
FAR = parse_address("198.51.100.2")


def test_endpoints_and_the_system_come_before_what_is_learned() -> None:
    assert wanted([201], [FAR]) == [
        Rule(V4, 31990, 254, to=FAR),
        Rule(V4, 32000, 254, suppress=0),
        Rule(V4, 32300, 201),
        Rule(V6, 32000, 254, suppress=0),
        Rule(V6, 32300, 201),
    ]


def test_several_tables_share_the_system_rule() -> None:
    assert [r.table for r in wanted([202, 201, 202], []) if r.family is V4] == [254, 201, 202]


def test_without_a_table_there_are_no_rules() -> None:
    assert wanted([], [FAR]) == []


def test_only_what_differs_is_changed() -> None:
    wished = wanted([201], [FAR])
    assert changes(wished, wished) == ([], [])
    assert changes(wished, wished[2:]) == (wished[:2], [])


def test_the_learned_table_goes_before_what_protects_from_it() -> None:
    present = wanted([201], [FAR])
    assert changes([], present) == (
        [],
        [
            Rule(V4, 32300, 201),
            Rule(V6, 32300, 201),
            Rule(V4, 32000, 254, suppress=0),
            Rule(V6, 32000, 254, suppress=0),
            Rule(V4, 31990, 254, to=FAR),
        ],
    )


def test_preferences_leave_room_and_come_before_main() -> None:
    policy = rules.PREFERENCE_POLICY
    assert len(policy) == 100
    order = [
        rules.PREFERENCE_ENDPOINT,
        rules.PREFERENCE_SYSTEM,
        *policy,
        rules.PREFERENCE_STATIC,
        rules.PREFERENCE_BGP,
        32766,
    ]
    assert order == sorted(set(order))
