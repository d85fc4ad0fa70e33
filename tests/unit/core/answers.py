"""Asking an engine what would be, and telling whether it was changed by the question."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from bgpsvc.engine import Engine
from bgpsvc.insight import Outcome, Question
from bgpsvc.model import Prefix, SessionId, format_prefix
from bgpsvc.resources import Intent
from bgpsvc.simulation import simulate


def ask(engine: Engine, question: Question, hypothetical: Intent | None = None) -> Outcome:
    """The answer about gw1. The engine must be afterwards as it was before."""
    before = snapshot(engine)
    outcome, _ = finished(simulate(engine, "gw1", question, hypothetical))
    assert snapshot(engine) == before, "a simulation changes nothing"
    return outcome


def finished(work: Generator[None, None, Outcome]) -> tuple[Outcome, int]:
    """The answer, and in how many pieces it was worked out."""
    pieces = 0
    while True:
        try:
            next(work)
        except StopIteration as stop:
            answer: Outcome = stop.value
            return answer, pieces
        pieces += 1


def snapshot(engine: Engine) -> dict[str, Any]:
    """Everything of an engine that a question could spoil, as plain values."""
    fib = engine.fib
    return {
        "sessions": {
            i: (
                s.settings,
                s.state,
                dict(s.adj.fresh),
                dict(s.adj.stale),
                dict(s.adj.refused),
                dict(s.adj.shed),
                (s.adj.forgotten, s.keep_stale, s.over_limit, s.epoch, s.advertised),
                repr(s.counters),
            )
            for i, s in engine.sessions.items()
        },
        "tunnels": {i: repr(t) for i, t in engine.tunnels.items()},
        "gateways": {
            n: (
                g.propagate,
                g.rib.version,
                {p: (dict(s.paths), s.forwarding.ident) for p, s in g.rib.routes.items()},
                {c.hops: (c.ident, c.count, c.chosen, c.target) for c in g.rib.classes.values()},
                tuple(g.statics.published),
            )
            for n, g in engine.gateways.items()
        },
        "fib": (
            dict(fib.wanted_nexthops),
            dict(fib.wanted_groups),
            fib.queued,
            {n: (t.held, dict(t.primary), dict(t.backup), list(t.dirty)) for n, t in fib.tables.items()},
        ),
        "rest": (dict(engine.modes), dict(engine.links), engine.connected, len(engine.outbox), engine.busy),
        "intent": engine.intent,
    }


def carried(engine: Engine) -> dict[Prefix, SessionId]:
    """Every learned prefix that should be in the kernel's table, and the tunnel it should lead over."""
    gateway = engine.gateways.get("gw1")
    found: dict[Prefix, SessionId] = {}
    for prefix, paths in gateway.rib.routes.items() if gateway is not None else ():
        assert gateway is not None
        if gateway.desired(prefix)[0] == paths.forwarding.ident:
            assert paths.forwarding.chosen is not None
            found[prefix] = paths.forwarding.chosen.session
    return found


def differences(
    before: dict[Prefix, SessionId], after: dict[Prefix, SessionId]
) -> tuple[dict[str, str], dict[str, str], dict[str, tuple[str, str]], int]:
    """Gained, lost and moved prefixes in words with their sessions, and how many stay."""
    both = [p for p in before if p in after]
    return (
        {format_prefix(p): s for p, s in after.items() if p not in before},
        {format_prefix(p): s for p, s in before.items() if p not in after},
        {format_prefix(p): (before[p], after[p]) for p in both if before[p] != after[p]},
        sum(before[p] == after[p] for p in both),
    )


def told(outcome: Outcome) -> tuple[dict[str, str], dict[str, str], dict[str, tuple[str, str]], int]:
    """The same of an outcome (whose samples must hold all)."""
    for change in (outcome.gained, outcome.lost, outcome.moved):
        assert change.count == len(change.samples)
    return (
        {s.prefix: s.to_session or "" for s in outcome.gained.samples},
        {s.prefix: s.from_session or "" for s in outcome.lost.samples},
        {s.prefix: (s.from_session or "", s.to_session or "") for s in outcome.moved.samples},
        outcome.unchanged,
    )
