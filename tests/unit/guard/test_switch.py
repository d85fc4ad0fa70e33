"""Where groups go: a table of the rules, and what holds whatever happens in whatever order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgpsvc.guard.model import Candidate, GroupPlan, Plan
from bgpsvc.guard.switch import Move, Switch, place
from bgpsvc.model import SessionId

A, B, C = (SessionId(f"{name}-tunnel1") for name in "abc")
IDS = {A: 1, B: 2, C: 3}


def candidates(*tunnels: tuple[SessionId, bool]) -> tuple[Candidate, ...]:
    return tuple(Candidate(IDS[tunnel], tunnel, usable) for tunnel, usable in tunnels)


BOTH = candidates((A, True), (B, True))
LAST_RESORT = candidates((A, True), (B, False))


@pytest.mark.parametrize(
    ("places", "present", "dead", "alive", "expected"),
    [
        (BOTH, 1, "", "", None),  # nothing is dead: stays
        (BOTH, 2, "", "ab", None),  # nor does it go back by itself
        (BOTH, 1, "a", "", 2),  # usable: whether anything says that it is alive or not
        (BOTH, 2, "b", "", 1),
        (BOTH, 1, "ab", "", None),  # nowhere to go
        (BOTH, None, "a", "", None),  # leads nowhere that is known
        (BOTH, 9, "a", "", None),  # leads to what is no candidate: somebody else's doing
        (LAST_RESORT, 1, "a", "", None),  # not usable, and nothing says that it is alive
        (LAST_RESORT, 1, "a", "b", 2),  # not usable, but the guard sees it alive
        (LAST_RESORT, 1, "ab", "b", None),
        (LAST_RESORT, 2, "b", "a", 1),
        (candidates((A, True), (B, False), (C, True)), 1, "a", "bc", 3),  # usable before last resort
        (candidates((B, False), (A, False)), 2, "b", "a", 1),  # all unusable: where one is alive
    ],
)
def test_rules(
    places: tuple[Candidate, ...], present: int | None, dead: str, alive: str, expected: int | None
) -> None:
    names = {"a": A, "b": B, "c": C}
    found = place(places, present, {names[x] for x in dead}, {names[x] for x in alive})
    assert (None if found is None else found.nexthop) == expected


def switch_with(*groups: tuple[Candidate, ...]) -> Switch:
    made = Switch()
    made.plan(Plan(tuple(GroupPlan(100 + i, one) for i, one in enumerate(groups)), whole=True))
    return made


def settle(switch: Switch) -> dict[int, int]:
    """Carry moves out until there are none; where they led."""
    found = {}
    while moves := switch.moves():
        for move in moves:
            switch.seen(move.group, move.nexthop)
            found[move.group] = move.nexthop
    return found


def test_all_groups_of_a_dead_tunnel_move_in_one_round() -> None:
    switch = switch_with(BOTH, candidates((B, True), (A, True)), BOTH)
    switch.judge(A, dead=True, alive=False)
    assert switch.moves() == [Move(100, 2, A), Move(102, 2, A)]
    assert not switch.unsettled
    assert switch.moves() == []


def test_many_move_in_portions() -> None:
    switch = switch_with(*[BOTH] * 5)
    switch.judge(A, dead=True, alive=False)
    assert [len(switch.moves(2)) for _ in range(2)] == [2, 2]
    assert switch.unsettled
    assert switch.moves(2) == [Move(104, 2, A)]
    assert not switch.unsettled


def test_a_daemon_that_has_not_heard_is_obeyed_only_as_far_as_it_is_right() -> None:
    switch = switch_with(BOTH)
    switch.judge(A, dead=True, alive=False)
    assert settle(switch) == {100: 2}
    # It says again what it said before, but has not touched the group: told again, nothing to do.
    assert switch.plan(Plan((GroupPlan(100, BOTH),))) == {A}
    assert settle(switch) == {}
    assert switch.led(A) == ((100, 2),)
    # It has moved the group to the dead tunnel.
    switch.seen(100, 1)
    assert settle(switch) == {100: 2}
    # It knows now, and nothing is left to be told.
    assert switch.plan(Plan((GroupPlan(100, candidates((B, True), (A, False))),))) == frozenset()
    assert switch.led(A) == ()


def test_tunnels_that_are_not_watched_any_more_and_groups_that_are_gone() -> None:
    switch = switch_with(BOTH, BOTH)
    switch.judge(A, dead=True, alive=False)
    switch.plan(Plan((), gone=(100, 77)))
    assert switch.moves() == [Move(101, 2, A)]
    switch.forget(A)
    switch.seen(101, 1)
    assert switch.moves() == []
    switch.judge(A, dead=True, alive=False)
    switch.plan(Plan((), whole=True))
    assert switch.moves() == []
    assert switch.present(101) == 1, "known still, should a plan for it come"


def test_what_the_kernel_refuses_is_not_tried_again_until_there_is_another_plan() -> None:
    switch = switch_with(candidates((A, True), (B, True), (C, True)))
    switch.judge(A, dead=True, alive=False)
    (move,) = switch.moves()
    switch.refused(move)
    assert switch.moves() == [Move(100, 3, A)]
    switch.plan(Plan((GroupPlan(100, candidates((A, True), (B, True), (C, True))),)))
    assert switch.moves() == [Move(100, 2, A)]


def test_an_unknown_group_is_where_the_engine_would_have_it_and_one_that_is_gone_stays_unknown() -> None:
    switch = switch_with(candidates((A, False), (B, True)))
    assert switch.present(100) == 2
    assert switch.present(5) is None
    switch.seen(100, None)
    switch.judge(A, dead=False, alive=True)
    switch.judge(B, dead=True, alive=False)
    assert switch.moves() == [Move(100, 1, B)]


# Whatever happens ----------------------------------------------------------------------------

TUNNELS = [SessionId(f"t{i}-tunnel1") for i in range(4)]
ORDERS = st.permutations(TUNNELS).flatmap(
    lambda order: st.tuples(*(st.tuples(st.just(one), st.booleans()) for one in order))
)
PLANS = st.lists(ORDERS, min_size=1, max_size=3)
STATES = {"dead": (True, False), "alive": (False, True), "unknown": (False, False)}
HAPPENS = st.one_of(
    st.tuples(st.just("judge"), st.sampled_from(TUNNELS), st.sampled_from(sorted(STATES))),
    st.tuples(st.just("plan"), st.integers(0, 2), ORDERS),
    st.tuples(st.just("engine"), st.integers(0, 2), st.sampled_from(TUNNELS)),
)


def made(order: tuple[tuple[SessionId, bool], ...]) -> tuple[Candidate, ...]:
    return tuple(Candidate(TUNNELS.index(one), one, usable) for one, usable in order)


@given(PLANS, st.lists(HAPPENS, max_size=30))
def test_never_at_a_dead_tunnel_while_there_is_a_better_one(
    plans: list[tuple[tuple[SessionId, bool], ...]], events: list[tuple[str, object, object]]
) -> None:
    switch = switch_with(*map(made, plans))
    state = dict.fromkeys(TUNNELS, "unknown")
    kernel = {group: switch.present(group) for group in switch.plans}
    tell(switch, kernel)
    for kind, subject, value in events:
        before = dict(kernel)
        if kind == "judge":
            state[SessionId(str(subject))] = str(value)
            switch.judge(SessionId(str(subject)), *STATES[str(value)])
        elif kind == "plan":
            group = 100 + int(str(subject))
            switch.plan(Plan((GroupPlan(group, made(value)),)))  # type: ignore[arg-type]
            kernel.setdefault(group, switch.present(group))
            tell(switch, kernel)
        elif 100 + int(str(subject)) in kernel:
            group = 100 + int(str(subject))
            kernel[group] = TUNNELS.index(SessionId(str(value)))
            switch.seen(group, kernel[group])
            before = dict(kernel)
        kernel |= settle(switch)
        check(switch, state, before, kernel)


def tell(switch: Switch, kernel: dict[int, int | None]) -> None:
    """What notifications say."""
    for group, nexthop in kernel.items():
        switch.seen(group, nexthop)


def check(
    switch: Switch, state: dict[SessionId, str], before: dict[int, int | None], after: dict[int, int | None]
) -> None:
    for group, plan in switch.plans.items():
        here, there = before.get(group), after[group]
        if here is not None and state[TUNNELS[here]] != "dead":
            assert there == here, "nothing leaves a tunnel that is not dead"
        if there is not None and state[TUNNELS[there]] == "dead":
            others = [one for one in plan.candidates if state[one.tunnel] != "dead"]
            assert not [one for one in others if one.usable or state[one.tunnel] == "alive"]
    assert switch.moves() == [], "once is enough"


@given(PLANS, st.permutations(TUNNELS), st.integers(1, 3), st.sets(st.sampled_from(TUNNELS)))
def test_the_order_of_deaths_does_not_matter_for_where_it_ends(
    plans: list[tuple[tuple[SessionId, bool], ...]],
    deaths: list[SessionId],
    count: int,
    alive: set[SessionId],
) -> None:
    dying = deaths[:count]
    ends = []
    for order in (dying, dying[::-1]):
        switch = switch_with(*map(made, plans))
        for tunnel in alive:
            switch.judge(tunnel, dead=False, alive=True)
        for tunnel in order:
            switch.judge(tunnel, dead=True, alive=False)
            settle(switch)
        ends.append([switch.present(group) for group in switch.plans])
    for i, (one, other) in enumerate(zip(*ends, strict=True)):
        saved = [
            candidate
            for candidate in made(plans[i])
            if candidate.tunnel not in dying and (candidate.usable or candidate.tunnel in alive)
        ]
        if saved:  # with no place to go it stays where it was last
            assert one == other
