"""The Loc-RIB of one gateway, as one monitoring station knows it (RFC 9069)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bgpsvc.bgp_message import end_of_rib
from bgpsvc.bmp import peers, rows
from bgpsvc.bmp.backlog import Backlog, Walk
from bgpsvc.bmp.session_peer import PORTION, Context, Messages
from bgpsvc.bmp.wire import DownReason, Peer, Rib, Statistic, peer_down, peer_up, route_monitoring, tlv
from bgpsvc.gateway import Gateway
from bgpsvc.model import Family, Prefix
from bgpsvc.resources import Intent
from bgpsvc.rib import ForwardingClass
from bgpsvc.session import SessionSettings
from bgpsvc.tunnels import Hop


class LocRibPeer:
    """The Loc-RIB of one gateway."""

    def __init__(self, context: Context, name: str) -> None:
        self._context = context
        self.name = name
        self.told: Peer | None = None
        self.backlog = Backlog()
        self.moved = False
        """Forwarding classes may lead elsewhere."""
        self.dumping = False
        self._as_told: tuple[Gateway, Peer, frozenset[Family]] | None = None
        """The gateway, which may be another one of its name, and what Peer Up said."""
        self._chosen: dict[ForwardingClass, Hop | None] = {}
        """Where each class led when that was last looked at."""
        self._sweep: Walk | None = None
        self._altered: set[ForwardingClass] = set()
        self._known: tuple[Intent, list[SessionSettings]] | None = None

    def note(self, prefixes: tuple[Prefix, ...], at: float) -> None:
        """These changed. Before Peer Up nothing has to be noted: everything follows it."""
        if self.told is not None:
            self.backlog.note(prefixes, at)
            if self._sweep is not None:
                self._sweep.disturbed()

    @property
    def busy(self) -> bool:
        """There is more to tell."""
        wanted = self._wanted()
        if wanted is None or self.told is None or self._as_told != wanted:
            return (self.told is None) is not (wanted is None)
        return bool(self.backlog) or self.moved or self._sweep is not None or self.dumping

    def _wanted(self) -> tuple[Gateway, Peer, frozenset[Family]] | None:
        """The gateway, and as what it should be told; None if there is none, or no BGP at it."""
        engine = self._context.engine
        gateway = engine.gateways.get(self.name)
        settings = self._settings()
        if gateway is None or not settings:
            return None
        first = min(settings, key=lambda s: s.id)
        return gateway, peers.loc_rib_of(gateway, first.local_asn), peers.families_of(settings)

    def _settings(self) -> Sequence[SessionSettings]:
        intent = self._context.engine.intent
        if self._known is None or self._known[0] is not intent:
            sessions = self._context.engine.sessions.values()
            self._known = intent, [s.settings for s in sessions if s.settings.gateway == self.name]
        return self._known[1]

    def step(self) -> Messages:
        """The next messages."""
        wanted = self._wanted()
        if self.told is not None and (wanted is None or self._as_told != wanted):
            return self._end(self.told)  # what a Peer Up said does not change: another one follows
        if wanted is None:
            return []
        gateway, peer, families = wanted
        if self.told is None:
            return [self._begin(gateway, peer, families)]
        return [*self._routes(gateway), *self._swept(gateway), *self._finish()]

    def _end(self, gone: Peer) -> Messages:
        self.backlog.clear()
        self.told = self._sweep = self._as_told = None
        self.moved = self.dumping = False
        data = tlv(3, self.name.encode()[:255])
        return [peer_down(gone, self._context.clock(), DownReason.LOC_RIB, data)]

    def _begin(self, gateway: Gateway, peer: Peer, families: frozenset[Family]) -> bytes:
        self.told, self.dumping = peer, True
        self._as_told = gateway, peer, families
        self._note_classes(gateway)
        self.backlog.begin(Walk([gateway.rib.routes]))
        return peer_up(peer, self._context.clock(), peers.loc_rib_opened(gateway, peer, families))

    def _note_classes(self, gateway: Gateway) -> None:
        self._chosen = {c: c.chosen for c in gateway.rib.every_class()}
        self.moved = False

    def _routes(self, gateway: Gateway) -> Iterator[bytes]:
        for at, prefixes in self.backlog.take(PORTION):
            yield from self._tell(gateway, at, prefixes)

    def _swept(self, gateway: Gateway) -> Iterator[bytes]:
        """Prefixes whose class leads elsewhere."""
        if self.backlog:
            return
        if self._sweep is None and self.moved:
            before = self._chosen
            self._note_classes(gateway)
            self._altered = {c for c, hop in self._chosen.items() if c not in before or before[c] != hop}
            self._sweep = Walk([gateway.rib.routes]) if self._altered else None
        if self._sweep is None:
            return
        portion = self._sweep.take(PORTION)
        if len(portion) < PORTION:
            self._sweep = None
        routes, altered = gateway.rib.routes, self._altered
        moved = [p for p in portion if p in routes and routes[p].forwarding in altered]
        yield from self._tell(gateway, self._context.clock(), moved)

    def _tell(self, gateway: Gateway, at: float, prefixes: Sequence[Prefix]) -> Iterator[bytes]:
        assert self.told is not None, "Peer Up goes before routes"
        found = rows.selected(gateway, self._context.engine.sessions, prefixes)
        for update in rows.updates(found, True):
            yield route_monitoring(self.told, at, Rib.LOC_RIB, [update])

    def _finish(self) -> Iterator[bytes]:
        if self.backlog or not self.dumping or self.told is None or self._as_told is None:
            return
        self.dumping = False
        for family in sorted(self._as_told[2]):
            yield route_monitoring(self.told, self._context.clock(), Rib.LOC_RIB, [end_of_rib(family)])

    def figures(self) -> list[tuple[Statistic, int]]:
        """For a Statistics Report."""
        gateway = self._context.engine.gateways.get(self.name)
        return [] if gateway is None else [(Statistic.LOC_RIB_ROUTES, len(gateway.rib.routes))]
