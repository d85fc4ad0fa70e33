"""The tap: what happens to sessions and routes, for those who watch (BMP, recordings).

Observers hear of it in the daemon's event loop, after the engine has taken it, and must only note it down:
what takes time they do later, in tasks of their own. Nobody waits for them, and one that raises is dropped
and never heard of again. Without observers the tap costs one comparison an event.

Two kinds, because they need different things:

- `SessionObserver` hears every message of every session in order: up, announced, withdrawn, End-of-RIB,
  down.
- `RouteObserver` hears which prefixes it has to look at again, whoever changed them (an UPDATE, another
  policy, the end of a restart), and reads from the RIBs what is so by then. So what it has not come to yet
  is bounded by the RIB, however often a route flaps.

Of one batch of events the routes that changed are told of before the events themselves.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol

from bgpsvc.engine import Engine
from bgpsvc.events import (
    Announced,
    EndOfRib,
    Event,
    MessagesLost,
    SessionDown,
    SessionResync,
    SessionUp,
    SpeakerDown,
    Withdrawn,
)
from bgpsvc.model import Prefix, SessionId

SessionEvent = SessionUp | SessionResync | SessionDown | Announced | Withdrawn | EndOfRib | MessagesLost
REMOVED = "removed from the configuration"
"""The reason of a `SessionDown` that no speaker told of."""

log = logging.getLogger(__name__)


class SessionObserver(Protocol):
    """Hears what sessions say."""

    def heard(self, events: Sequence[SessionEvent], at: float) -> None:
        """Events in order; `at` is when they arrived, in Unix seconds.

        Of a session that was up already when the observer came, or when the daemon did, a `SessionResync`
        is the first. After each `SessionUp` or `SessionResync` comes exactly one `SessionDown` before the
        next, also when the speaker crashed or the session is removed from the configuration; attempts to
        connect that failed are not told of. A `SessionResync` without one means that it is not known what
        the session announced: everything follows again.
        """
        ...

    def dropped(self) -> None:
        """It raised, and hears no more."""
        ...


class RouteObserver(Protocol):
    """Hears where to look again. `gateway` is the name of a VPN gateway."""

    def routes_changed(self, gateway: str, session: SessionId | None, prefixes: tuple[Prefix, ...]) -> None:
        """A session's paths to these prefixes; None: of no session that is left, look at the Loc-RIB."""
        ...

    def forwarding_changed(self, gateway: str) -> None:
        """Prefixes of the gateway lead over other tunnels, although their paths are the same."""
        ...

    def advertisements_changed(self, session: SessionId) -> None:
        """What is advertised on the session may be something else now."""
        ...

    def dropped(self) -> None:
        """It raised, and hears no more."""
        ...


class Tap:
    """Hands on to observers what the shell tells the engine, and what the engine makes of it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sessions: list[SessionObserver] = []
        self._routes: list[RouteObserver] = []
        self._up: set[SessionId] = set()
        """Of these observers know that they are up."""

    def watch_sessions(self, observer: SessionObserver, at: float) -> None:
        """From now on it hears everything; at once of the sessions that are up. Unix seconds."""
        sessions = self._engine.sessions.values()
        if not self._sessions:
            self._up = {session.id for session in sessions if session.established}
        self._sessions.append(observer)
        present = [
            SessionResync(session.id, session.negotiated, session.opens)
            for session in sessions
            if session.id in self._up and session.negotiated is not None
        ]
        self._each_session(present, at, [observer])

    def watch_routes(self, observer: RouteObserver) -> None:
        """From now on it hears of changes; what there is it reads itself."""
        self._routes.append(observer)
        self._engine.observe(self)

    def forget(self, observer: SessionObserver | RouteObserver) -> None:
        """It wants to hear nothing any more; none that is unknown is an error."""
        self._sessions = [known for known in self._sessions if known is not observer]
        self._routes = [known for known in self._routes if known is not observer]
        if not self._routes:
            self._engine.observe(None)

    # What the shell tells --------------------------------------------------------------------

    def heard(self, events: Sequence[Event], at: float) -> None:
        """The engine has just taken these."""
        if self._sessions:
            self._each_session(list(self._told(events)), at, self._sessions)

    def reconfigured(self, made_anew: frozenset[SessionId], at: float) -> None:
        """The engine has another intent, in which these sessions are others and some may be missing."""
        if not self._sessions:
            return
        gone = [ident for ident in self._up if ident in made_anew or ident not in self._engine.sessions]
        self._each_session(
            [self._down(SessionDown(ident, REMOVED)) for ident in sorted(gone)], at, self._sessions
        )

    def advertised(self, session: SessionId) -> None:
        """The speaker is told what to advertise on a session."""
        self._each_route(lambda observer: observer.advertisements_changed(session))

    # What the engine tells (`bgpsvc.engine.Observer`) ----------------------------------------------------

    def routes_changed(self, gateway: str, session: SessionId | None, prefixes: tuple[Prefix, ...]) -> None:
        """As `RouteObserver`."""
        self._each_route(lambda observer: observer.routes_changed(gateway, session, prefixes))

    def forwarding_changed(self, gateway: str) -> None:
        """As `RouteObserver`."""
        self._each_route(lambda observer: observer.forwarding_changed(gateway))

    # Handing on --------------------------------------------------------------------------------

    def _told(self, events: Sequence[Event]) -> Iterator[SessionEvent]:
        known = self._engine.sessions
        for event in events:
            match event:
                case Announced() | Withdrawn() | EndOfRib() | MessagesLost():
                    if event.session in self._up and event.session in known:
                        yield event
                case SessionUp() | SessionResync() if event.session in known:
                    if isinstance(event, SessionUp) and event.session in self._up:
                        yield self._down(SessionDown(event.session, "the session came up anew"))
                    self._up.add(event.session)
                    yield event
                case SessionDown() if event.session in self._up:
                    yield self._down(event)
                case SpeakerDown():
                    for ident in sorted(self._up):
                        if ident in known and known[ident].settings.role is event.role:
                            yield self._down(SessionDown(ident, f"speaker ended: {event.reason}"))

    def _down(self, event: SessionDown) -> SessionDown:
        self._up.discard(event.session)
        return event

    def _each_session(
        self, events: Sequence[SessionEvent], at: float, observers: Sequence[SessionObserver]
    ) -> None:
        for observer in list(observers) if events else ():
            self._guarded(observer, partial(observer.heard, events, at))

    def _each_route(self, tell: Callable[[RouteObserver], None]) -> None:
        for observer in list(self._routes):
            self._guarded(observer, partial(tell, observer))

    def _guarded(self, observer: SessionObserver | RouteObserver, tell: Callable[[], None]) -> None:
        try:
            tell()
        except Exception:  # whatever is wrong with who watches, routing goes on
            log.exception("an observer failed and hears no more: %r", observer)
            self.forget(observer)
            try:
                observer.dropped()
            except Exception:  # likewise
                log.exception("an observer that is dropped fails to take it: %r", observer)
