"""What one monitoring station has been told and what is still to be told, as messages.

Level-based: nothing that happened is queued, only where to look (`backlog`), and what is told is what the
RIBs say when its turn comes. So a station that reads slowly is told less often and ends with the same tables,
and what waits for it is bounded. A session's state goes before its routes: a session that went down and came
up again while nobody read is told as Peer Down, Peer Up and all of its routes.

The order of one peer: Peer Up, everything that its RIBs hold, what changed meanwhile, End-of-RIB once the
session has had the peer's (RFC 7854 5), then changes. Several peers take turns, a portion of prefixes each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bgpsvc.bmp.loc_rib_peer import LocRibPeer
from bgpsvc.bmp.session_peer import Context, Messages, SessionPeer
from bgpsvc.bmp.wire import Rib, statistics
from bgpsvc.engine import Engine
from bgpsvc.events import SessionDown, SessionResync, SessionUp
from bgpsvc.model import Prefix, SessionId
from bgpsvc.resources import Intent
from bgpsvc.tap import SessionEvent

Monitored = SessionPeer | LocRibPeer


class Plan:
    """For one connection to one station; it observes the tap as long as that lasts.

    `clock` tells Unix time, `wall` is what to add to the engine's clock for it, `changed` is called when
    there is something to tell.
    """

    def __init__(
        self,
        engine: Engine,
        ribs: frozenset[Rib],
        clock: Callable[[], float],
        wall: float,
        changed: Callable[[], None],
    ) -> None:
        self._context = Context(engine, ribs, clock, wall)
        self._changed = changed
        self._peers: dict[SessionId, SessionPeer] = {}
        self._loc_ribs: dict[str, LocRibPeer] = {}
        self._due: dict[Monitored, None] = {}
        self._surveyed: Intent | None = None
        self.overflown = False
        """More waited than may: the station has to begin anew."""
        self.deaf = False
        """It was dropped and hears no more: likewise."""
        self.survey()

    # From the tap -------------------------------------------------------------------------------

    def heard(self, events: Sequence[SessionEvent], at: float) -> None:
        """What sessions say: here only that they come and go."""
        for event in events:
            match event:
                case SessionUp() | SessionResync():
                    known = self._peers.setdefault(event.session, SessionPeer(self._context, event.session))
                    known.came()
                    self._wake(known)
                case SessionDown():
                    gone = self._peers.get(event.session)
                    if gone is not None:
                        gone.went(event, at)
                        self._wake(gone)

    def routes_changed(self, gateway: str, session: SessionId | None, prefixes: tuple[Prefix, ...]) -> None:
        """Look at these again."""
        at = self._context.clock()
        found: list[Monitored | None] = [self._loc_ribs.get(gateway)]
        if session is not None:
            found.append(self._peers.get(session))
        for peer in found:
            if peer is not None and not self.overflown:
                peer.note(prefixes, at)
                self._wake(peer)
                if peer.backlog.overflown:
                    self._overflow()

    def forwarding_changed(self, gateway: str) -> None:
        """Other paths are in use."""
        loc_rib = self._loc_ribs.get(gateway)
        if loc_rib is not None:
            loc_rib.moved = True
            self._wake(loc_rib)

    def advertisements_changed(self, session: SessionId) -> None:
        """Look at what is advertised."""
        peer = self._peers.get(session)
        if peer is not None:
            peer.advertising = True
            self._wake(peer)

    def dropped(self) -> None:
        """The tap tells nothing more."""
        self.deaf = True
        self._changed()

    def _overflow(self) -> None:
        self.overflown = True
        self._due = {}
        for peer in self._every():
            peer.backlog.clear()
        self._changed()

    def _every(self) -> list[Monitored]:
        return [*self._peers.values(), *self._loc_ribs.values()]

    def _wake(self, peer: Monitored) -> None:
        self._due[peer] = None
        self._changed()

    # For the sender ---------------------------------------------------------------------------

    def survey(self) -> None:
        """Once a second: are there other gateways, did another table become complete?"""
        if self._surveyed is not self._context.engine.intent:
            self._surveyed = self._context.engine.intent
            for name in self._context.engine.gateways if Rib.LOC_RIB in self._context.ribs else ():
                self._loc_ribs.setdefault(name, LocRibPeer(self._context, name))
            for peer in self._every():
                self._wake(peer)
        for waiting in self._peers.values():
            if waiting.ending():
                self._wake(waiting)

    def step(self) -> Messages | None:
        """The next messages, of one peer; may be none. None if there is nothing to tell."""
        if not self._due:
            return None
        peer = next(iter(self._due))
        del self._due[peer]
        messages = peer.step()
        if peer.busy:
            self._due[peer] = None
        return messages

    def statistics(self) -> Messages:
        """A report on each peer that the station knows of."""
        at = self._context.clock()
        known = ((peer.told, peer.figures()) for peer in self._every())
        return [statistics(told, at, values) for told, values in known if told is not None and values]

    @property
    def told(self) -> int:
        """Peers that the station knows to be up, Loc-RIBs included."""
        return sum(peer.told is not None for peer in self._every())

    @property
    def pending(self) -> int:
        """Prefixes that changed and are not told yet; some may be counted several times."""
        return sum(peer.backlog.size for peer in self._every())

    @property
    def dumping(self) -> int:
        """Peers whose tables are being told for the first time."""
        return sum(peer.dumping for peer in self._every())
