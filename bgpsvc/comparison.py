"""Every prefix asked twice: where its packets go now, and where they would in a supposed world. Pure.

Answers are shared as the engine shares its own: prefixes with the same candidates have the same fate.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from heapq import nsmallest

from bgpsvc.decide import Ranked, decide
from bgpsvc.gateway import Gateway
from bgpsvc.jobs import PIECE
from bgpsvc.model import Attributes, Prefix, Reason, SessionId
from bgpsvc.rib import ForwardingClass, PathSet
from bgpsvc.supposition import World
from bgpsvc.tunnels import Hop, Tunnel, TunnelState

_STATES = {
    TunnelState.DOWN: "down",
    TunnelState.SYNCING: "waiting for End-of-RIB",
    TunnelState.STALE: "restarting",
    TunnelState.WARMING: "waiting for the failback hold-down",
    TunnelState.LIVE: "live",
}

Fate = tuple[SessionId | None, SessionId | None]
"""The sessions whose tunnels carry a prefix now and then, None where nothing does."""


@dataclass(slots=True)
class Tally:
    """Prefixes by what would become of them; of each outcome the first `limit` in address order."""

    limit: int
    gained: int = 0
    lost: int = 0
    moved: int = 0
    unchanged: int = 0
    samples: dict[str, list[tuple[Prefix, Fate]]] = field(
        default_factory=lambda: {"gained": [], "lost": [], "moved": []}
    )

    def add(self, fates: Iterable[tuple[Prefix, Fate]]) -> None:
        """Count a piece."""
        found: dict[str, list[tuple[Prefix, Fate]]] = {"gained": [], "lost": [], "moved": []}
        for item in fates:
            before, after = item[1]
            if before is None:
                if after is not None:
                    found["gained"].append(item)
            elif after is None:
                found["lost"].append(item)
            elif after != before:
                found["moved"].append(item)
            else:
                self.unchanged += 1
        self.gained += len(found["gained"])
        self.lost += len(found["lost"])
        self.moved += len(found["moved"])
        for kind, items in found.items():
            if items and self.limit:
                self.samples[kind] = self._first(self.samples[kind], items)

    def _first(
        self, best: list[tuple[Prefix, Fate]], items: list[tuple[Prefix, Fate]]
    ) -> list[tuple[Prefix, Fate]]:
        if len(best) == self.limit:
            last = _order(best[-1])
            items = [item for item in items if _order(item) < last]
        return nsmallest(self.limit, best + items, key=_order) if items else best


def _order(item: tuple[Prefix, Fate]) -> tuple[int, Prefix]:
    return len(item[0]), item[0]


class Comparison:
    """The gateway as it is, beside the world that is supposed."""

    def __init__(self, place: Gateway, tunnels: Mapping[SessionId, Tunnel], world: World) -> None:
        self._place = place
        self._states = {t.session: t.state for t in tunnels.values()}
        self._world = world
        self._losers = [s for s in world.old.values() if s.adj.stale and not world.keeps_stale(s)]
        self._by_class: dict[ForwardingClass, SessionId | None] = {}
        self._by_paths: dict[tuple[int, ...], SessionId | None] = {}
        """By the ids of the attributes of each session's path (or of None), as in `World.imports`."""
        self._hidden_now = {p for p, c in place.statics.published.items() if c.target[0] is not None}
        supposed = world.hypothetical
        statics = place.statics if supposed is None else supposed.gateway.statics
        revoked = {t.session for t in world.tunnels.values() if t.revoked}
        self._hidden_then = {
            p
            for p, c in statics.published.items()
            if world.choose(h for h in c.hops if h.session not in revoked) is not None
        }

    def run(self, tally: Tally) -> Generator[None, None, None]:
        """Count every prefix, a bounded number at a time."""
        imports = self._world.imports
        extra: dict[Prefix, None] = {}
        for rejudged in (imports or {}).values():
            yield from rejudged.admit()
            extra.update(dict.fromkeys(rejudged.admitted))
        routes = self._place.rib.routes
        everything = [*routes, *(p for p in extra if p not in routes)]
        for first in range(0, len(everything), PIECE):
            tally.add(self._fates(everything[first : first + PIECE]))
            yield

    def _fates(self, prefixes: Iterable[Prefix]) -> Iterable[tuple[Prefix, Fate]]:
        routes = self._place.rib.routes
        now_on, then_on = self._place.propagate, self._world.propagate
        by_class, imports = self._by_class, self._world.imports
        plain = imports is None and not self._losers and not self._hidden_now and not self._hidden_then
        for prefix in prefixes:
            paths = routes.get(prefix)
            before: SessionId | None = None
            after: SessionId | None = None
            if paths is not None and now_on:
                chosen = paths.forwarding.chosen
                before = chosen.session if chosen is not None else None
            if then_on:
                if plain and paths is not None and paths.forwarding in by_class:
                    after = by_class[paths.forwarding]
                else:
                    after = self._then(prefix, paths)
            if self._hidden_now and prefix in self._hidden_now:
                before = None
            yield prefix, (before, after)

    def _then(self, prefix: Prefix, paths: PathSet | None) -> SessionId | None:
        """The session that would carry the prefix."""
        if prefix in self._hidden_then:
            return None
        imports = self._world.imports
        if imports is None:
            if paths is None or not self._backed(prefix, paths.paths):
                return None
            return self._of_class(paths.forwarding)
        made = [rejudged.accepted(prefix) for rejudged in imports.values()]
        key = tuple(map(id, made))
        if self._losers and not self._backed(prefix, [s for s, a in zip(imports, made, strict=True) if a]):
            return None
        if key not in self._by_paths:
            accepted = {s: a for s, a in zip(imports, made, strict=True) if a is not None}
            hops = (Hop(r.candidate.session, r.candidate.attributes.next_hop) for r in self._ranked(accepted))
            self._by_paths[key] = self._world.choose(hops)
        return self._by_paths[key]

    def _of_class(self, forwarding: ForwardingClass) -> SessionId | None:
        if forwarding not in self._by_class:
            self._by_class[forwarding] = self._world.choose(forwarding.hops)
        return self._by_class[forwarding]

    def _ranked(self, accepted: Mapping[SessionId, Attributes]) -> tuple[Ranked, ...]:
        imports = self._world.imports
        assert imports is not None
        return decide(imports[s].supposed.candidate(a) for s, a in accepted.items())

    def _backed(self, prefix: Prefix, accepted: Iterable[SessionId]) -> bool:
        """Stale paths that no usable session backs are removed (see `Intake.purge_orphans`)."""
        if not any(prefix in loser.adj.stale for loser in self._losers):
            return True
        old = self._world.old
        return any(
            ident in old
            and self._world.usable(ident)
            and (prefix not in old[ident].adj.stale or self._world.keeps_stale(old[ident]))
            for ident in accepted
        )

    # Why ----------------------------------------------------------------------------------------

    def why(self, prefix: Prefix, fate: Fate) -> str:
        """What the change comes from, in words."""
        before, after = fate
        if after is None:
            return self._why_lost(prefix, before)
        if before is None:
            return self._why_gained(prefix, after)
        refused = self._why_no_path(prefix, before)
        if refused is not None:
            return refused
        world = self._world
        old, then = self._states[before], world.tunnels[before].state
        if then < old:
            return f"{before} would be {_STATES[then]}"
        if world.tunnels[after].state > self._states[after]:
            return f"{after} would be {_STATES[world.tunnels[after].state]} and comes first"
        return f"{after} would have the better path: {self._step(prefix, before)}"

    def _why_lost(self, prefix: Prefix, before: SessionId | None) -> str:
        if not self._world.propagate:
            return "automatic propagation would be off"
        if prefix in self._hidden_then:
            return "a published static route would stand in its place"
        refused = None if before is None else self._why_no_path(prefix, before)
        return refused or "no tunnel that announces it would be usable"

    def _why_gained(self, prefix: Prefix, after: SessionId) -> str:
        if not self._place.propagate:
            return "automatic propagation would be on"
        if prefix in self._hidden_now:
            return "no published static route would stand in its place"
        paths = self._place.rib.routes.get(prefix)
        if paths is None or after not in paths.paths:
            return f"import would accept the path of {after}"
        return f"{after} would be usable"

    def _why_no_path(self, prefix: Prefix, session: SessionId) -> str | None:
        """Why the session would have no path to the prefix any more; None if it would."""
        imports = self._world.imports
        if imports is None:
            return None
        rejudged = imports.get(session)
        if rejudged is None:
            gone = self._world.hypothetical is None or session not in self._world.hypothetical.sessions
            return f"{session} would be {'removed' if gone else 'set up anew'}"
        judgement = rejudged.judgement(prefix)
        if judgement is None or judgement.reason is None:
            return None
        return f"the path of {session} would be refused: {judgement.text}"

    def _step(self, prefix: Prefix, loser: SessionId) -> str:
        """At which step of the decision the path of a session would lose."""
        imports = self._world.imports
        if imports is None:
            return Reason.OPERATOR_PREFERENCE.text
        accepted = {s: a for s, r in imports.items() if (a := r.accepted(prefix)) is not None}
        reason = next((r.reason for r in self._ranked(accepted) if r.candidate.session == loser), None)
        return (reason or Reason.OPERATOR_PREFERENCE).text
