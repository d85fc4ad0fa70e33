"""What a simulation, an explanation and a plan say is what the engine then does, over random histories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bgpsvc.engine import Engine
from bgpsvc.events import (
    Announced,
    ConnectedChanged,
    EndOfRib,
    LinkChanged,
    MessagesLost,
    OperatorSwitch,
    PropagationSet,
    Withdrawn,
)
from bgpsvc.explaining import explain
from bgpsvc.insight import Question
from bgpsvc.model import Family, SessionId, SwitchMode, format_prefix, parse_prefix
from bgpsvc.planning import plan
from bgpsvc.resources import Intent
from tests.unit.core.answers import ask, carried, differences, told
from tests.unit.core.policies import policed, policy, prefixes, rule
from tests.unit.support import IFINDEX, T1, T2, down, path, run, up

_TEXTS = ("0.0.0.0/0", "10.0.9.0/24", "172.16.0.0/12", "192.168.0.0/16", "192.168.7.0/24", "203.0.113.0/24")
PREFIXES = [parse_prefix(text) for text in _TEXTS]
SESSIONS = st.sampled_from([T1, T2])
SOME = st.lists(st.sampled_from(PREFIXES), min_size=1, unique=True).map(tuple)
POLICIES = st.sampled_from(
    [
        None,
        policy(rule("reject", match={"prefixes": prefixes("192.168.0.0/16 - 32")})),
        policy(rule("reject", match={"as_path": "_65501_"}), rule(local_preference=50), name="from-dc"),
        policy(rule(match={"sessions": (T2,)}, local_preference=300)),
        policy(rule(match={"prefixes": prefixes("172.16.0.0/12", "0.0.0.0/0")}), default="reject"),
        policy(rule(med=7, prepend=2, match={"sessions": (T1,)})),
    ]
)
EXPORTS = st.sampled_from(
    [
        None,
        policy(rule("reject", match={"sessions": (T2,)}), name="to-dc"),
        policy(name="to-dc", default="reject"),
    ]
)
CONNECTIONS = st.fixed_dictionaries(
    {},
    optional={
        "prefer_active_tunnel": st.booleans(),
        "accept_default_route": st.booleans(),
        "local_asn": st.sampled_from([65530, 65501]),
        "failback_hold_down": st.sampled_from([0.0, 5.0]),
    },
)
INTENTS = st.builds(
    lambda imports, exports, connection, propagate, limit, hold, cidr: _with_cidr(
        policed(
            imports, exports, connection=connection, propagate=propagate, max_prefixes=limit, hold_time=hold
        ),
        cidr,
    ),
    POLICIES,
    EXPORTS,
    CONNECTIONS,
    st.sampled_from([True, True, True, False]),
    st.sampled_from([2, 3, 1000]),
    st.sampled_from([30, 90]),
    st.sampled_from(["10.0.0.0/16", "10.0.0.0/16", "203.0.113.0/24"]),
)

Step = Callable[[Engine, float], None]


def _with_cidr(intent: Intent, cidr: str) -> Intent:
    plain = intent.model_dump()
    plain["vpcs"][0]["cidrs"] = (cidr,)
    return Intent.model_validate(plain)


def _announce(session: SessionId, some: Any, longer: bool) -> Step:
    def step(engine: Engine, now: float) -> None:
        if engine.sessions[session].established:
            attributes = path(session, *((65500, 65501) if longer else (65500,)))
            engine.handle(Announced(session, attributes, some), now)

    return step


def _withdraw(session: SessionId, some: Any) -> Step:
    def step(engine: Engine, now: float) -> None:
        if engine.sessions[session].established:
            engine.handle(Withdrawn(session, some), now)

    return step


def _session(session: SessionId, comes: bool, graceful: bool) -> Step:
    more = {"graceful_restart_time": 20, "graceful_restart_families": (Family.IPV4,)} if graceful else {}

    def step(engine: Engine, now: float) -> None:
        if not comes:
            down(engine, session, now, graceful=graceful)
        elif not engine.sessions[session].established:
            up(engine, session, now, end=False, **more)

    return step


def _event(event: Any) -> Step:
    def step(engine: Engine, now: float) -> None:
        session = getattr(event, "session", None)
        if session is None or engine.sessions[session].established:
            engine.handle(event, now)

    return step


STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(_announce, SESSIONS, SOME, st.booleans()),
    st.builds(_announce, SESSIONS, SOME, st.booleans()),
    st.builds(_withdraw, SESSIONS, SOME),
    st.builds(_session, SESSIONS, st.booleans(), st.booleans()),
    st.builds(lambda s: _event(EndOfRib(s, Family.IPV4)), SESSIONS),
    st.builds(lambda s: _event(MessagesLost(s, 1)), SESSIONS),
    st.builds(lambda m: _event(OperatorSwitch("conn1", m)), st.sampled_from(list(SwitchMode))),
    st.builds(lambda n, u: _event(LinkChanged(n, IFINDEX[n], u)), st.sampled_from([*IFINDEX]), st.booleans()),
    st.builds(
        lambda c: _event(ConnectedChanged(c)), st.lists(st.sampled_from(PREFIXES[1:]), max_size=1).map(tuple)
    ),
)
HISTORIES = st.lists(st.tuples(STEPS, st.sampled_from([0.5, 6.0, 25.0])), max_size=10)


def live(intent: Intent, history: list[tuple[Step, float]]) -> tuple[Engine, float]:
    """An engine with both sessions up and a history behind it, at rest; and the time."""
    engine = Engine(intent, 0.0)
    for name, ifindex in IFINDEX.items():
        engine.handle(LinkChanged(name, ifindex, True), 0.0)
    engine.takeover.loaded()
    for session in (T1, T2):
        up(engine, session, 0.0, *map(format_prefix, PREFIXES[2:5]))
    now = 1.0
    for step, seconds in history:
        step(engine, now)
        run(engine)
        now += seconds
        engine.tick(now)
        run(engine)
    return engine, now


RELAXED = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
EVERYTHING = 100


@RELAXED
@given(INTENTS, HISTORIES, SESSIONS, st.booleans())
def test_a_failed_tunnel_does_what_was_simulated(
    intent: Intent, history: list[tuple[Step, float]], session: SessionId, by_link: bool
) -> None:
    engine, now = live(intent, history)
    outcome = ask(engine, Question(fail_tunnels=(session,), samples=EVERYTHING))
    before = carried(engine)
    if by_link or not engine.sessions[session].established:
        name = engine.tunnels[session].interface
        engine.handle(LinkChanged(name, IFINDEX[name], False), now)
        run(engine)
    else:
        down(engine, session, now)
    assert told(outcome) == differences(before, carried(engine))


@RELAXED
@given(INTENTS, HISTORIES, st.booleans())
def test_propagation_does_what_was_simulated(
    intent: Intent, history: list[tuple[Step, float]], on: bool
) -> None:
    engine, now = live(intent, history)
    engine.handle(PropagationSet("gw1", not on), now)
    outcome = ask(engine, Question(auto_propagate=on, samples=EVERYTHING))
    before, heard = carried(engine), advertised(engine)
    engine.handle(PropagationSet("gw1", on), now)
    run(engine)
    assert told(outcome) == differences(before, carried(engine))
    assert (outcome.advertised_gained, outcome.advertised_lost) == changed(heard, advertised(engine))


@RELAXED
@given(INTENTS, HISTORIES, INTENTS)
def test_another_configuration_does_what_was_simulated(
    intent: Intent, history: list[tuple[Step, float]], other: Intent
) -> None:
    engine, now = live(intent, history)
    outcome = ask(engine, Question(samples=EVERYTHING), other)
    before, heard = carried(engine), advertised(engine)
    made_anew = engine.reconfigure(other, now)
    run(engine)
    assert told(outcome) == differences(before, carried(engine))
    if not made_anew:
        assert (outcome.advertised_gained, outcome.advertised_lost) == changed(heard, advertised(engine))


@RELAXED
@given(INTENTS, HISTORIES, INTENTS, SESSIONS)
def test_a_failure_under_another_configuration_does_what_was_simulated(
    intent: Intent, history: list[tuple[Step, float]], other: Intent, session: SessionId
) -> None:
    engine, now = live(intent, history)
    outcome = ask(engine, Question(fail_tunnels=(session,), samples=EVERYTHING), other)
    before = carried(engine)
    engine.reconfigure(other, now)
    run(engine)
    name = engine.tunnels[session].interface
    engine.handle(LinkChanged(name, IFINDEX[name], False), now)
    run(engine)
    assert told(outcome) == differences(before, carried(engine))


@RELAXED
@given(INTENTS, HISTORIES)
def test_nothing_asked_is_nothing_changed(intent: Intent, history: list[tuple[Step, float]]) -> None:
    engine, _ = live(intent, history)
    expected: Any = ({}, {}, {}, len(carried(engine)))
    assert told(ask(engine, Question(samples=EVERYTHING))) == expected
    assert told(ask(engine, Question(samples=EVERYTHING), engine.intent)) == expected


@RELAXED
@given(INTENTS, SOME, SESSIONS)
def test_a_recovered_tunnel_does_what_was_simulated(intent: Intent, some: Any, session: SessionId) -> None:
    engine, now = live(intent, [(_announce(session, some, False), 1.0)])
    name = engine.tunnels[session].interface
    engine.handle(LinkChanged(name, IFINDEX[name], False), now)
    run(engine)
    outcome = ask(engine, Question(recover_tunnels=(session,), samples=EVERYTHING))
    before = carried(engine)
    engine.handle(LinkChanged(name, IFINDEX[name], True), now)
    engine.tick(now + 10)  # the failback hold-down is over
    run(engine)
    assert told(outcome) == differences(before, carried(engine))


@RELAXED
@given(INTENTS, HISTORIES)
def test_an_explanation_names_the_tunnel_that_carries(
    intent: Intent, history: list[tuple[Step, float]]
) -> None:
    engine, _ = live(intent, history)
    now = carried(engine)
    for prefix in PREFIXES:
        story = explain(engine, "gw1", format_prefix(prefix))
        chosen = [hop.session for hop in story.hops if hop.chosen]
        if prefix in now:
            assert chosen == [now[prefix]]
            assert story.nexthop_group is not None
        elif engine.gateways["gw1"].propagate:
            assert chosen == []
        remaining = [step.remaining for step in story.decision]
        ranked = [p.session for p in story.paths if p.candidate is not None]
        if ranked:
            assert (remaining[-1] if remaining else tuple(ranked)) == (ranked[0],)
        refused = {p.session for p in story.paths if p.candidate is None}
        assert refused == {p.session for p in story.paths if not all(v.accepted for v in p.verdicts)}


@RELAXED
@given(INTENTS, HISTORIES, INTENTS)
def test_a_plan_names_the_sessions_that_are_made_anew(
    intent: Intent, history: list[tuple[Step, float]], other: Intent
) -> None:
    engine, now = live(intent, history)
    heard = advertised(engine, established=False)
    planned = plan(engine.intent, other, engine)
    made_anew = engine.reconfigure(other, now)
    actions = {effect.subject: effect.action for effect in planned.sessions}
    anew = {s for s, action in actions.items() if action == "reset"}
    hold_times = {intent.vpn_connections[0].tunnels[0].bgp, other.vpn_connections[0].tunnels[0].bgp}
    if len({bgp.hold_time for bgp in hold_times if bgp is not None}) == 1:
        assert anew == made_anew
    else:
        assert anew == {T1, T2}, "ExaBGP opens the session anew for another hold time"
    gained, lost = changed(heard, advertised(engine, established=False))
    told = {(e.action, e.subject): e.count for e in planned.peers if e.action != "change"}
    expected = {("announce", s): n for s, n in gained.items()} | {("withdraw", s): n for s, n in lost.items()}
    assert told == expected


def advertised(engine: Engine, established: bool = True) -> dict[str, set[bytes]]:
    """What each peer hears (or would, were its session up)."""
    gateway = engine.gateways["gw1"]
    return {
        i: {*gateway.advertisements(s.settings)} if s.established or not established else set()
        for i, s in engine.sessions.items()
    }


def changed(
    before: dict[str, set[bytes]], after: dict[str, set[bytes]]
) -> tuple[dict[str, int], dict[str, int]]:
    gained = {i: len(after[i] - before[i]) for i in before}
    lost = {i: len(before[i] - after[i]) for i in before}
    return {i: n for i, n in gained.items() if n}, {i: n for i, n in lost.items() if n}
