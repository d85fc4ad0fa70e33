"""What a simulation answers, in words and numbers, and how it shares the loop with a table that changes."""

from __future__ import annotations

from collections.abc import Generator
from ipaddress import IPv4Network

import pytest

from bgpsvc.events import Announced, LinkChanged
from bgpsvc.insight import Outcome, Question, SampledRoute
from bgpsvc.jobs import PIECE
from bgpsvc.model import Prefix, pack_prefix
from bgpsvc.port import InvalidQuery, NotFound
from bgpsvc.resources import Intent
from bgpsvc.simulation import ATTEMPTS, simulate
from tests.unit.core.answers import ask, finished
from tests.unit.core.harness import Node
from tests.unit.core.policies import policed, policy, prefixes, rule
from tests.unit.core.test_statics import begin, route, static_intent
from tests.unit.support import IFINDEX, T1, T2, down, intent, path, run, up

A, B, C = "192.168.0.0/16", "172.16.0.0/12", "192.168.7.0/24"


def both_up(wanted: Intent | None = None) -> Node:
    """A and C over both tunnels, B over the active one alone."""
    node = begin(wanted or intent())
    up(node.engine, T1, 1, A, B, C)
    up(node.engine, T2, 1, A, C)
    node.settle()
    return node


def many(count: int) -> tuple[Prefix, ...]:
    return tuple(pack_prefix((0x0B000000 + 256 * n).to_bytes(4, "big"), 24) for n in range(count))


def with_cidr(cidr: str) -> Intent:
    plain = intent()
    (vpc,) = plain.vpcs
    return plain.model_copy(update={"vpcs": (vpc.model_copy(update={"cidrs": (IPv4Network(cidr),)}),)})


def test_a_failing_tunnel_moves_what_the_other_one_has_and_loses_the_rest() -> None:
    outcome = ask(both_up().engine, Question(fail_tunnels=(T1,)))
    assert outcome.moved.samples == (
        SampledRoute(A, T1, T2, "conn1-tunnel1 would be down"),
        SampledRoute(C, T1, T2, "conn1-tunnel1 would be down"),
    )
    assert outcome.lost.samples == (SampledRoute(B, T1, None, "no tunnel that announces it would be usable"),)
    assert (outcome.gained.count, outcome.unchanged) == (0, 0)
    assert (outcome.advertised_gained, outcome.advertised_lost) == ({}, {T1: 1})


def test_the_standby_may_fail_without_a_change() -> None:
    outcome = ask(both_up().engine, Question(fail_tunnels=(T2,)))
    assert (outcome.unchanged, outcome.moved.count, outcome.lost.count) == (3, 0, 0)


def test_a_recovering_tunnel_takes_back_what_is_kept_of_it() -> None:
    node = both_up()
    down(node.engine, T1, 5)
    outcome = ask(node.engine, Question(recover_tunnels=(T1,)))
    assert outcome.moved.samples[0] == SampledRoute(A, T2, T1, "conn1-tunnel1 would be live and comes first")
    assert outcome.gained.count == 0, "B went with its session, and nobody knows whether it would return"
    assert outcome.notes == (
        "of conn1-tunnel1 2 paths are kept and count; what else its peer would say is not known",
    )
    assert outcome.advertised_gained == {T1: 1}


def test_propagation_off_and_on() -> None:
    node = both_up()
    outcome = ask(node.engine, Question(auto_propagate=False))
    assert (outcome.lost.count, outcome.advertised_lost) == (3, {T1: 1, T2: 1})
    assert {s.reason for s in outcome.lost.samples} == {"automatic propagation would be off"}
    node = both_up(intent(propagate=False))
    outcome = ask(node.engine, Question(auto_propagate=True))
    assert (outcome.gained.count, outcome.advertised_gained) == (3, {T1: 1, T2: 1})
    assert {s.reason for s in outcome.gained.samples} == {"automatic propagation would be on"}
    (note,) = ask(node.engine, Question(fail_tunnels=(T1,))).notes
    assert note == "automatic propagation is off: no learned route is in the VPC's table, nor would one be"


def test_a_policy_that_rejects_and_prefers() -> None:
    node = both_up()
    outcome = ask(
        node.engine, Question(), policed(policy(rule("reject", match={"prefixes": prefixes(B, C)})))
    )
    assert outcome.lost.samples == (
        SampledRoute(
            B,
            T1,
            None,
            "the path of conn1-tunnel1 would be refused: rejected by rule 1 of import policy from-dc",
        ),
        SampledRoute(
            C,
            T1,
            None,
            "the path of conn1-tunnel1 would be refused: rejected by rule 1 of import policy from-dc",
        ),
    )
    prefers = policed(policy(rule(match={"sessions": (T2,)}, local_preference=300)))
    outcome = ask(node.engine, Question(), prefers)
    assert outcome.moved.samples[0] == SampledRoute(
        A,
        T1,
        T2,
        "conn1-tunnel2 would have the better path: another path has a higher local preference",
    )
    assert (outcome.moved.count, outcome.unchanged) == (2, 1)


def test_a_policy_that_is_taken_away_lets_the_refused_in() -> None:
    node = both_up(policed(policy(rule("reject", match={"prefixes": prefixes(B)}))))
    outcome = ask(node.engine, Question(), intent())
    assert outcome.gained.samples == (
        SampledRoute(B, None, T1, "import would accept the path of conn1-tunnel1"),
    )


def test_an_export_policy_changes_what_peers_hear_alone() -> None:
    exports = policy(rule("reject", match={"sessions": (T2,)}), name="to-dc")
    outcome = ask(both_up().engine, Question(), policed(exports=exports))
    assert outcome.advertised_lost == {T2: 1}
    assert outcome.unchanged == 3


def test_the_vpcs_networks_refuse_and_are_advertised() -> None:
    outcome = ask(both_up().engine, Question(), with_cidr("192.168.0.0/20"))
    assert [s.prefix for s in outcome.lost.samples] == [C]
    assert outcome.lost.samples[0].reason.endswith("the prefix lies inside the VPC's own CIDRs")
    assert (outcome.advertised_gained, outcome.advertised_lost) == ({T1: 1, T2: 1}, {T1: 1, T2: 1})


def test_sessions_that_begin_anew_count_as_lost() -> None:
    node = begin(intent())
    up(node.engine, T1, 1, A, B, C)
    up(node.engine, T2, 1, A)
    node.settle()
    outcome = ask(node.engine, Question(), intent(connection={"local_asn": 65499}))
    assert (outcome.lost.count, outcome.unchanged) == (3, 0)
    assert outcome.lost.samples[0].reason == "conn1-tunnel1 would be set up anew"
    told = "would be set up anew; its"
    assert [note.partition(told)[2].partition(" lost")[0] for note in outcome.notes if told in note] == [
        " 3 paths count as",
        " only path counts as",
    ]


def test_a_removed_connection_and_a_removed_gateway() -> None:
    node = both_up()
    without = intent().model_copy(update={"vpn_connections": ()})
    outcome = ask(node.engine, Question(), without)
    assert (outcome.lost.count, outcome.advertised_lost) == (3, {T1: 1, T2: 1})
    assert outcome.lost.samples[0].reason == "conn1-tunnel1 would be removed"
    outcome = ask(node.engine, Question(), Intent())
    assert (outcome.lost.count, outcome.advertised_lost) == (3, {T1: 1, T2: 1})
    assert outcome.notes[0] == "VPN gateway gw1 would be removed"


def test_all_at_once() -> None:
    rejects = policed(policy(rule("reject", match={"prefixes": prefixes(C)})))
    outcome = ask(both_up().engine, Question(fail_tunnels=(T1,)), rejects)
    assert ([s.prefix for s in outcome.lost.samples], outcome.moved.count) == ([B, C], 1)


def test_a_published_static_route_hides_the_learned_one() -> None:
    node = both_up()
    outcome = ask(node.engine, Question(), static_intent(route("office", A, publish=True)))
    assert outcome.lost.samples == (
        SampledRoute(A, T1, None, "a published static route would stand in its place"),
    )
    outcome = ask(both_up(static_intent(route("office", A, publish=True))).engine, Question(), intent())
    assert outcome.gained.samples[0].reason == "no published static route would stand in its place"


def test_a_static_route_is_no_learned_one() -> None:
    node = both_up(static_intent(route("office", "203.0.113.0/24")))
    assert ask(node.engine, Question(fail_tunnels=(T1,))).notes == (
        "static routes are not counted; they follow the tunnels of their connection",
    )


def test_a_tunnel_that_is_down_already() -> None:
    node = both_up()
    node.link("t1", up=False)
    outcome = ask(node.engine, Question(fail_tunnels=(T1,), recover_tunnels=(T2,)))
    assert outcome.notes == (
        "conn1-tunnel1 is down already: the interface t1 is down or missing",
        "conn1-tunnel2 is live already",
    )


def test_questions_that_make_no_sense() -> None:
    made = both_up().engine
    with pytest.raises(NotFound, match="there is no VPN gateway 'gw9'"):
        simulate(made, "gw9", Question(), None)
    with pytest.raises(NotFound, match="there is no tunnel 'conn9-tunnel1'; there is conn1-tunnel1"):
        simulate(made, "gw1", Question(fail_tunnels=("conn9-tunnel1",)), None)
    with pytest.raises(InvalidQuery, match="conn1-tunnel1 cannot fail and recover at once"):
        simulate(made, "gw1", Question(fail_tunnels=(T1,), recover_tunnels=(T1,)), None)


def test_samples_are_the_first_in_address_order() -> None:
    node = both_up()
    node.engine.handle(Announced(T1, path(T1), tuple(reversed(many(PIECE + 10)))), 2)
    run(node.engine)
    outcome = ask(node.engine, Question(auto_propagate=False, samples=3))
    assert outcome.lost.count == PIECE + 13
    assert [s.prefix for s in outcome.lost.samples] == ["11.0.0.0/24", "11.0.1.0/24", "11.0.2.0/24"]
    assert ask(node.engine, Question(auto_propagate=False, samples=0)).lost.samples == ()


def test_the_work_comes_in_pieces() -> None:
    node = both_up()
    node.engine.handle(Announced(T1, path(T1), many(3 * PIECE)), 2)
    run(node.engine)
    outcome, pieces = finished(simulate(node.engine, "gw1", Question(fail_tunnels=(T1,)), None))
    assert (outcome.lost.count, pieces) == (3 * PIECE + 1, 4)


def interrupted(node: Node, times: int) -> Outcome:
    """Another prefix comes after each of the first pieces."""
    work: Generator[None, None, Outcome] = simulate(node.engine, "gw1", Question(auto_propagate=False), None)
    news = iter(many(3 * PIECE + times)[3 * PIECE :])
    while True:
        try:
            next(work)
        except StopIteration as stop:
            answer: Outcome = stop.value
            return answer
        prefix = next(news, None)
        if prefix is not None:
            node.engine.handle(Announced(T1, path(T1), (prefix,)), 3)


def test_a_table_that_changes_is_looked_at_again() -> None:
    node = both_up()
    node.engine.handle(Announced(T1, path(T1), many(3 * PIECE)), 2)
    run(node.engine)
    outcome = interrupted(node, 1)
    assert outcome.lost.count == 3 * PIECE + 4
    assert outcome.notes == ()


def test_a_table_that_never_rests_gets_an_answer_with_a_note() -> None:
    node = both_up()
    node.engine.handle(Announced(T1, path(T1), many(3 * PIECE)), 2)
    run(node.engine)
    outcome = interrupted(node, 1000)
    assert outcome.lost.count == 3 * PIECE + 3 + ATTEMPTS - 1
    assert outcome.notes == (
        "routes kept changing while this was worked out; it is right but for the latest changes",
    )


def test_a_gateway_that_is_removed_meanwhile() -> None:
    node = both_up()
    work = simulate(node.engine, "gw1", Question(), None)
    next(work)
    node.engine.reconfigure(Intent(), 3)
    with pytest.raises(NotFound, match="there is no VPN gateway 'gw1'"):
        finished(work)


def test_the_interfaces_of_the_scenario() -> None:
    """A failure by link and by session are one question: both leave the tunnel down."""
    node = both_up()
    outcome = ask(node.engine, Question(fail_tunnels=(T1, T2)))
    for name, ifindex in IFINDEX.items():
        node.engine.handle(LinkChanged(name, ifindex, False), 5)
    run(node.engine)
    assert outcome.lost.count == 3
    assert all(c.chosen is None for c in node.engine.gateways["gw1"].rib.classes.values())
