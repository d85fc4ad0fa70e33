"""One session, as one monitoring station knows it: Adj-RIB-In before and after import policy, Adj-RIB-Out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from bgpsvc.bgp_message import end_of_rib
from bgpsvc.bmp import peers, rows
from bgpsvc.bmp.backlog import Backlog, Walk
from bgpsvc.bmp.wire import DownReason, Peer, Rib, Statistic, peer_down, peer_up, route_monitoring
from bgpsvc.engine import Engine
from bgpsvc.events import SessionDown
from bgpsvc.exabgp.config import SpeakerSession, sessions_of
from bgpsvc.gateway import Gateway
from bgpsvc.model import Attributes, Family, Prefix, SessionId, parse_address
from bgpsvc.resources import Intent
from bgpsvc.session import Session

PORTION = 1000
"""Prefixes that are looked at in one step: about a millisecond for each RIB."""
ADJ_RIBS_IN = (Rib.PRE_POLICY, Rib.POST_POLICY)

Messages = list[bytes]


@dataclass(slots=True)
class Context:
    """What everything that is told to a station has in common.

    `clock` tells Unix time, `wall` is what to add to the engine's clock for it.
    """

    engine: Engine
    ribs: frozenset[Rib]
    clock: Callable[[], float]
    wall: float
    _speaking: tuple[Intent, Mapping[SessionId, SpeakerSession]] | None = field(default=None)

    def speaker_session(self, session: SessionId) -> SpeakerSession | None:
        """What the speaker knows of a session."""
        if self._speaking is None or self._speaking[0] is not self.engine.intent:
            self._speaking = self.engine.intent, {s.id: s for s in sessions_of(self.engine.intent)}
        return self._speaking[1].get(session)


class SessionPeer:
    """One session: its Adj-RIB-In as announced and as accepted, and its Adj-RIB-Out."""

    def __init__(self, context: Context, ident: SessionId) -> None:
        self._context = context
        self.ident = ident
        self.told: Peer | None = None
        """As the station knows it; None if it does not know that it is up."""
        self.backlog = Backlog()
        self.advertising = False
        """What is advertised has to be looked at."""
        self.dumping = False
        self._up = False
        self._farewell: tuple[DownReason, bytes, float] | None = None
        self._ended: set[tuple[Rib, Family]] = set()
        self._out: dict[Prefix, Attributes] = {}

    def came(self) -> None:
        """The session is up."""
        self._up = True

    def went(self, event: SessionDown, at: float) -> None:
        """It is down, and what waited of it is void."""
        self._up = False
        self.backlog.clear()
        if self.told is not None and self._farewell is None:
            self._farewell = (*peers.why_down(event), at)

    def note(self, prefixes: tuple[Prefix, ...], at: float) -> None:
        """These changed. Before Peer Up nothing has to be noted: everything follows it."""
        if self.told is not None and self._farewell is None:
            self.backlog.note(prefixes, at)

    @property
    def busy(self) -> bool:
        """There is more to tell."""
        if self._farewell is not None:
            return True
        if self._found() is None:
            return False
        return self.told is None or bool(self.backlog) or self.advertising or self.ending()

    def _found(self) -> tuple[Session, Gateway] | None:
        """The session and its gateway, if it is up."""
        session = self._context.engine.sessions.get(self.ident)
        if session is None or not session.established or not self._up:
            return None
        gateway = self._context.engine.gateways.get(session.settings.gateway)
        return None if gateway is None else (session, gateway)

    def ending(self) -> bool:
        """The end of a table can be told."""
        return self.told is not None and not self.backlog and next(self._ends(), None) is not None

    def step(self) -> Messages:
        """The next messages."""
        if self._farewell is not None and self.told is not None:
            reason, data, at = self._farewell
            gone, self.told, self._farewell = self.told, None, None
            self.dumping = False
            return [peer_down(gone, at, reason, data)]
        found = self._found()
        if found is None:
            return []
        session, gateway = found
        if self.told is None:
            return [self._begin(session, gateway)]
        return [*self._routes(session, gateway), *self._advertised(session, gateway), *self._finish()]

    def _begin(self, session: Session, gateway: Gateway) -> bytes:
        self.told = peers.peer_of(session, gateway)
        self._ended = set()
        self._out = {}
        self.advertising = Rib.ADJ_RIB_OUT in self._context.ribs
        self.dumping = True
        if not self._context.ribs.isdisjoint(ADJ_RIBS_IN):
            adj = session.adj
            kept = (adj.stale,) if session.keep_stale else ()
            self.backlog.begin(Walk([adj.fresh, adj.refused, adj.shed, *kept]))
        since = session.since + self._context.wall
        return peer_up(self.told, since, peers.opened_of(session, gateway))

    def _routes(self, session: Session, gateway: Gateway) -> Iterator[bytes]:
        for at, prefixes in self.backlog.take(PORTION):
            if Rib.PRE_POLICY in self._context.ribs:
                yield from self._tell(at, Rib.PRE_POLICY, rows.received(session, prefixes))
            if Rib.POST_POLICY in self._context.ribs:
                yield from self._tell(at, Rib.POST_POLICY, rows.accepted(gateway, session, prefixes))

    def _advertised(self, session: Session, gateway: Gateway) -> Iterator[bytes]:
        if not self.advertising or Rib.ADJ_RIB_OUT not in self._context.ribs:
            self.advertising = False
            return
        self.advertising = False
        wanted = self._wanted(session, gateway)
        gone = [prefix for prefix in self._out if prefix not in wanted]
        groups: dict[Attributes, list[Prefix]] = {}
        for prefix, attributes in wanted.items():
            if self._out.get(prefix) != attributes:
                groups.setdefault(attributes, []).append(prefix)
        self._out = wanted
        found: rows.Rows = [(None, gone)] if gone else []
        yield from self._tell(self._context.clock(), Rib.ADJ_RIB_OUT, [*found, *groups.items()])

    def _wanted(self, session: Session, gateway: Gateway) -> dict[Prefix, Attributes]:
        """What the speaker announces: in families that the peer takes, with our own address as next hop."""
        speaking = self._context.speaker_session(self.ident)
        if speaking is None or session.negotiated is None:
            return {}
        hops = {Family.IPV4: session.settings.local_address}
        if speaking.local_address_v6 is not None:
            hops[Family.IPV6] = parse_address(speaking.local_address_v6)
        families = {family: hop for family, hop in hops.items() if family in session.negotiated.families}
        wanted: dict[Prefix, Attributes] = {}
        for prefix, what in gateway.advertisements(session.settings).items():
            family = Family.IPV4 if len(prefix) == 5 else Family.IPV6
            if family in families:
                wanted[prefix] = rows.advertised(session, families, what, family)
        return wanted

    def _ends(self) -> Iterator[tuple[Rib, Family]]:
        """Tables whose end is known and not told yet."""
        found = self._found()
        negotiated = None if found is None else found[0].negotiated
        if found is None or negotiated is None:
            return
        for rib in Rib:
            if rib is Rib.LOC_RIB or rib not in self._context.ribs:
                continue
            for family in negotiated.families:
                complete = rib is Rib.ADJ_RIB_OUT or family in found[0].end_of_rib
                if complete and (rib, family) not in self._ended:
                    yield rib, family

    def _finish(self) -> Iterator[bytes]:
        if self.backlog or self.told is None:
            return
        self.dumping = False
        for rib, family in list(self._ends()):
            self._ended.add((rib, family))
            yield route_monitoring(self.told, self._context.clock(), rib, [end_of_rib(family)])

    def _tell(self, at: float, rib: Rib, found: rows.Rows) -> Iterator[bytes]:
        assert self.told is not None, "Peer Up goes before routes"
        for update in rows.updates(found, self.told.asn4):
            yield route_monitoring(self.told, at, rib, [update])

    def figures(self) -> list[tuple[Statistic, int]]:
        """For a Statistics Report."""
        found = self._found()
        if found is None:
            return []
        session, _ = found
        adj = session.adj
        routes = len(adj.fresh) + len(adj.refused) + len(adj.shed)
        return [
            (Statistic.ADJ_RIB_IN_ROUTES, routes + (len(adj.stale) if session.keep_stale else 0)),
            (Statistic.TREATED_AS_WITHDRAW, session.counters.treated_as_withdraw),
            (Statistic.ADJ_RIB_OUT_ROUTES, session.advertised),
        ]
