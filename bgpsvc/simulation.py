"""What would happen if: routes gained, lost and moved. Pure; reads the engine, changes nothing.

Failing and recovering tunnels need no more than another choice per forwarding class. A changed import policy
means to judge again what each session announced, by the code that judges an UPDATE (`policy.weigh`), and to
decide again (`decide`).

Learned routes alone are counted. A simulation looks at the table in pieces and begins again if it changes
under its hands; where it never comes to rest, the last attempt counts, and says so.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping

from bgpsvc.comparison import Comparison, Fate, Tally
from bgpsvc.engine import Engine
from bgpsvc.events import Advertisement
from bgpsvc.gateway import Gateway
from bgpsvc.insight import Change, Outcome, Question, SampledRoute
from bgpsvc.model import Prefix, SessionId, format_prefix
from bgpsvc.port import InvalidQuery, NotFound
from bgpsvc.resources import Intent
from bgpsvc.session import Session
from bgpsvc.supposition import World
from bgpsvc.tunnels import TunnelState

ATTEMPTS = 3
"""How often a simulation begins because the routes changed under its hands."""


def simulate(
    engine: Engine, gateway: str, question: Question, hypothetical: Intent | None
) -> Generator[None, None, Outcome]:
    """Answer a question about a VPN gateway, in pieces of a few milliseconds: each `yield` ends one.

    `hypothetical` is the whole intent with the question's documents applied, None if it has none. NotFound if
    there is no such VPN gateway or tunnel, InvalidQuery if a tunnel is to fail and to recover.
    """
    _place(engine, gateway)
    known = [t.session for t in engine.tunnels.values() if t.settings.gateway == gateway]
    for name in (*question.fail_tunnels, *question.recover_tunnels):
        if name not in known:
            raise NotFound("tunnel", name, known)
    both = sorted({*question.fail_tunnels} & {*question.recover_tunnels})
    if both:
        raise InvalidQuery("recover_tunnels", f"{', '.join(both)} cannot fail and recover at once")
    return _simulate(engine, gateway, question, hypothetical)


def _place(engine: Engine, name: str) -> Gateway:
    place = engine.gateways.get(name)
    if place is None:
        raise NotFound("VPN gateway", name, sorted(engine.gateways))
    return place


def _simulate(
    engine: Engine, name: str, question: Question, hypothetical: Intent | None
) -> Generator[None, None, Outcome]:
    attempt = 0
    while True:
        attempt += 1
        place = _place(engine, name)
        mark = _mark(engine, place)
        world = World(engine, place, question, hypothetical)
        comparison = Comparison(place, engine.tunnels, world)
        tally = Tally(question.samples)
        changed = False
        for _ in comparison.run(tally):
            yield
            changed = _place(engine, name) is not place or _mark(engine, place) != mark
            if changed and attempt < ATTEMPTS:
                break
        else:
            return _outcome(engine, place, world, comparison, tally, changed)


def _mark(engine: Engine, place: Gateway) -> object:
    """Equal as long as nothing changed that the fate of a route depends on."""
    states = [(t.session, t.state) for t in engine.tunnels.values()]
    return place.rib.version, place.propagate, states, dict(engine.modes), engine.intent


def _outcome(
    engine: Engine, place: Gateway, world: World, comparison: Comparison, tally: Tally, changed: bool
) -> Outcome:
    def change(count: int, samples: list[tuple[Prefix, Fate]]) -> Change:
        return Change(
            count,
            tuple(SampledRoute(format_prefix(p), *fate, comparison.why(p, fate)) for p, fate in samples),
        )

    gained, lost = _advertised(place, world)
    notes = [*_notes(engine, place, world)]
    if changed:
        notes.append("routes kept changing while this was worked out; it is right but for the latest changes")
    return Outcome(
        gateway=place.name,
        gained=change(tally.gained, tally.samples["gained"]),
        lost=change(tally.lost, tally.samples["lost"]),
        moved=change(tally.moved, tally.samples["moved"]),
        unchanged=tally.unchanged,
        advertised_gained=gained,
        advertised_lost=lost,
        notes=tuple(notes),
    )


# What peers hear --------------------------------------------------------------------------------


def _advertised(place: Gateway, world: World) -> tuple[dict[str, int], dict[str, int]]:
    """Per session, how many prefixes its peer would newly hear, and not hear any more."""
    gained: dict[str, int] = {}
    lost: dict[str, int] = {}
    for ident, session in sorted(world.old.items()):
        now: Mapping[Prefix, Advertisement] = {}
        if session.established:
            now = place.advertisements(session.settings)
        then = _heard(place, world, session)
        more, fewer = len(then.keys() - now.keys()), len(now.keys() - then.keys())
        if more:
            gained[ident] = more
        if fewer:
            lost[ident] = fewer
    return gained, lost


def _heard(place: Gateway, world: World, session: Session) -> Mapping[Prefix, Advertisement]:
    """What the peer of a session of today would hear."""
    ident, question = session.id, world.question
    speaks = ident in question.recover_tunnels or (session.established and ident not in question.fail_tunnels)
    if not speaks or world.removed:
        return {}
    supposed = world.hypothetical
    if supposed is None:
        return place.advertisements(session.settings)
    then = supposed.sessions.get(ident)
    return {} if then is None else supposed.gateway.advertisements(then.settings)


# What the numbers do not say --------------------------------------------------------------------


def _notes(engine: Engine, place: Gateway, world: World) -> Iterator[str]:
    if world.removed:
        yield f"VPN gateway {place.name} would be removed"
    if not place.propagate and not world.propagate and not world.removed:
        yield "automatic propagation is off: no learned route is in the VPC's table, nor would one be"
    yield from _tunnel_notes(engine, world)
    yield from _session_notes(world)
    for session in world.old.values():
        if session.adj.forgotten:
            yield (
                f"{session.id} announced {session.adj.forgotten} more prefixes than could be kept, over its "
                "maximum; what would become of them is not known"
            )
    if place.statics.classes:
        yield "static routes are not counted; they follow the tunnels of their connection"


def _tunnel_notes(engine: Engine, world: World) -> Iterator[str]:
    for name in world.question.fail_tunnels:
        tunnel = engine.tunnels.get(SessionId(name))
        if tunnel is not None and tunnel.state is TunnelState.DOWN:
            yield f"{name} is down already: {tunnel.reason}"
    for name in world.question.recover_tunnels:
        tunnel = engine.tunnels.get(SessionId(name))
        session = world.old.get(SessionId(name))
        if tunnel is not None and tunnel.state is TunnelState.LIVE:
            yield f"{name} is live already"
        elif session is not None:
            count = len(session.adj.fresh) + len(session.adj.stale)
            kept = "1 path is kept and counts" if count == 1 else f"{count} paths are kept and count"
            yield f"of {name} {kept}; what else its peer would say is not known"


def _session_notes(world: World) -> Iterator[str]:
    """Sessions that would come, go, or begin anew."""
    supposed = world.hypothetical
    if not world.changed or supposed is None:
        return
    for ident, session in sorted(world.old.items()):
        count = len(session.adj.fresh) + len(session.adj.stale)
        one = count == 1
        if ident not in supposed.sessions:
            yield f"{ident} would be removed, with its {'only path' if one else f'{count} paths'}"
        elif ident not in supposed.kept:
            lost = "its only path counts as lost" if one else f"its {count} paths count as lost"
            yield f"{ident} would be set up anew; {lost}, as what its peer announces then is not known"
    for ident in sorted(supposed.sessions.keys() - world.old.keys()):
        yield f"{ident} would be new; what its peer announces is not known"
