"""A speaker's lines to events.

One `Decoder` per speaker. It keeps, per session, what it takes to understand the next line: the
counter (a jump means that lines were lost), the parameters of the last OPEN, and whether the
session is Established as far as lines have said so. Attributes are interned. Plain UPDATEs come as
lines of `packed`, everything else as JSON.

Lines are trusted to come from our own speaker but not to be known: whatever is not understood is
counted in `unknown` and otherwise ignored.

End-of-RIB says that a table is complete. After a loss the one that is still on its way would say so
of a table with holes, and what is missing would be taken for withdrawn. So from `MessagesLost` and
`SessionResync` on only the end of a route refresh counts that began later (RFC 7313 4); a peer without
enhanced route refresh sends none, and the consumer's deadline has to do.
"""

from __future__ import annotations

import struct
from binascii import a2b_base64
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from bgpsvc.events import (
    Announced,
    BgpEvent,
    EndOfRib,
    MessagesLost,
    OpenMessages,
    SessionDown,
    SessionResync,
    SessionStateChanged,
    SessionUp,
    Withdrawn,
)
from bgpsvc.exabgp.attributes import MalformedAttributes
from bgpsvc.exabgp.interned import Interned, Judged
from bgpsvc.exabgp.nlri import FAMILIES, packed_prefixes, unpack_prefixes
from bgpsvc.exabgp.packed import MARK, Head
from bgpsvc.exabgp.wording import malformed, negotiated_of, notification_of, opens_of, printable
from bgpsvc.model import Family, Prefix, SessionId, SessionState

MOST_MERGED = 16_384
"""Bytes (in base64) that consecutive UPDATEs of one event have at most: about 3,000 prefixes."""
_STATES = {state.value: state for state in SessionState}
_COLLISION = "closing outgoing connection as we have another incoming"
# A connection lost without a NOTIFICATION, or closed by ourselves without one (RFC 4724 4.2).
_TRANSPORT_LOST = ("closing connection", "graceful restarted negotiated", "process problem")


@dataclass(slots=True)
class _Session:
    """What is known about one session."""

    id: SessionId
    counter: int | None = None
    established: bool = False
    state: SessionState | None = None
    connecting: bool = False
    negotiated: dict[str, Any] | None = None
    opened: dict[str, Any] | None = None
    opens: OpenMessages | None = None
    ended: bytes = b""
    """The NOTIFICATION of which the next `down` tells."""
    awaited: set[Family] = field(default_factory=set)
    """Families whose next End-of-RIB has to be the end of a route refresh."""
    begun: set[Family] = field(default_factory=set)
    """Those of them whose refresh has begun."""

    def expect_refresh(self, families: Iterable[Family] = tuple(Family)) -> None:
        self.awaited |= set(families)
        self.begun -= set(families)

    def expect_nothing(self) -> None:
        self.awaited = set()
        self.begun = set()

    def told_to_nobody(self, name: SessionId) -> _Session:
        """The same, for a consumer who knows nothing of it yet; what the next lines need is kept."""
        return _Session(
            name,
            counter=self.counter,
            connecting=self.connecting,
            negotiated=self.negotiated,
            opened=self.opened,
            opens=self.opens,
        )


@dataclass(frozen=True, slots=True)
class _Link:
    """Whose packed lines begin with a certain head; no session if it is none of ours."""

    head: Head
    session: _Session | None


@dataclass(slots=True)
class _Run:
    """NLRI of consecutive lines that make one event: announced with `tail`, or withdrawn if that is None."""

    link: _Link
    tail: bytes | None
    chunks: list[bytes]
    size: int

    def prefixes(self) -> tuple[Prefix, ...]:
        return unpack_prefixes(b"".join(map(a2b_base64, self.chunks)), self.link.head.family)


Handler = Callable[["Decoder", _Session, dict[str, Any]], list[BgpEvent]]


class Decoder:
    """Lines of one speaker to events. `sessions` names the sessions by (local, peer) address as text."""

    def __init__(self, sessions: Mapping[tuple[str, str], SessionId]) -> None:
        self.unknown = 0
        self.last_unknown = b""
        self._pid: int | None = None
        self._sessions: dict[tuple[str, str], _Session] = {}
        self._links: dict[bytes, _Link] = {}
        self._run: _Run | None = None
        self._interned = Interned()
        self.set_sessions(sessions)

    def set_sessions(self, sessions: Mapping[tuple[str, str], SessionId]) -> None:
        """The configured sessions; what is known about those that stay is kept.

        A session with a new name is told anew, as after `forget`.
        """
        kept = {}
        for addresses, name in sessions.items():
            known = self._sessions.get(addresses)
            if known is None:
                known = _Session(name)
            kept[addresses] = known if known.id == name else known.told_to_nobody(name)
        self._sessions = kept
        self._links = {}

    def forget(self, ids: Collection[SessionId]) -> None:
        """What was told of these sessions is forgotten where it was told to.

        The next `sync` tells their state: `SessionResync` if they are Established.
        """
        for addresses, known in self._sessions.items():
            if known.id in ids:
                self._sessions[addresses] = known.told_to_nobody(known.id)
        self._links = {}

    def reset(self) -> None:
        """The speaker ended: its sessions are down and the counters begin anew."""
        self._pid = None
        self._sessions = {addresses: _Session(known.id) for addresses, known in self._sessions.items()}
        self._links = {}

    def established(self) -> tuple[SessionId, ...]:
        """Sessions that are Established as far as is known."""
        return tuple(known.id for known in self._sessions.values() if known.established)

    def counter(self, session: SessionId) -> int | None:
        """Of the session's last line; None before the first."""
        return next((known.counter for known in self._sessions.values() if known.id == session), None)

    def expect_refresh(self, session: SessionId, families: Iterable[Family]) -> None:
        """A refresh is being asked for: no End-of-RIB from before may pass for its end."""
        for known in self._sessions.values():
            if known.id == session:
                known.expect_refresh(families)

    def feed(self, *lines: bytes) -> list[BgpEvent]:
        """The events of lines, given without their ends.

        What consecutive packed lines of a session announce with equal attributes is one event.
        """
        events: list[BgpEvent] = []
        for line in lines:
            if line[:1] == MARK:
                self._packed(line, events)
            else:
                self._end_run(events)
                events += self._json(line)
        self._end_run(events)
        return events

    def _json(self, line: bytes) -> list[BgpEvent]:
        try:
            data = orjson.loads(line)
            neighbor = data.get("neighbor")
            if neighbor is None:
                return self._not_understood(line) if data.get("type") != "notification" else []
            address = neighbor["address"]
            session = self._sessions.get((address["local"], address["peer"]))
            if session is None:
                # Just removed from the configuration, or not of ours.
                return []
            events = self._count(session, data["pid"], data["counter"])
            handler = _HANDLERS.get(data["type"])
            if handler is None:
                return events + self._not_understood(line)
            return events + handler(self, session, neighbor)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, OSError):
            return self._not_understood(line)

    def _not_understood(self, line: bytes) -> list[BgpEvent]:
        self.unknown += 1
        self.last_unknown = line[:500]
        return []

    def _count(self, session: _Session, pid: int, counter: int) -> list[BgpEvent]:
        """Compares the counter with the one before; it starts again when the speaker does."""
        if pid != self._pid:
            if self._pid is not None:
                self.reset_counters()
            self._pid = pid
        before, session.counter = session.counter, counter
        if before is None or counter == before + 1:
            return []
        missing = counter - before - 1 if counter > before else counter - 1
        if missing <= 0:
            return []
        session.expect_refresh()
        return [MessagesLost(session.id, missing)]

    def reset_counters(self) -> None:
        """The next line of every session is the first: nothing before it is missed."""
        for session in self._sessions.values():
            session.counter = None

    # Packed lines -------------------------------------------------------------------------

    def _packed(self, line: bytes, events: list[BgpEvent]) -> None:
        try:
            head, counter, withdrawn, announced, tail = line.split(b" ", 4)
            link = self._links.get(head) or self._link(head)
            if link.session is None:
                return
            lost = self._count(link.session, link.head.pid, int(counter))
        except ValueError:
            self._not_understood(line)
            return
        if lost:
            self._end_run(events)
            events += lost
        if withdrawn:
            self._extend_run(link, None, withdrawn, events)
        if announced:
            self._extend_run(link, tail, announced, events)

    def _link(self, word: bytes) -> _Link:
        head = Head.parse(word)
        link = _Link(head, self._sessions.get((head.local, head.peer)))
        self._links[word] = link
        return link

    def _extend_run(self, link: _Link, tail: bytes | None, chunk: bytes, events: list[BgpEvent]) -> None:
        run = self._run
        if run is not None and run.link is link and run.tail == tail and run.size + len(chunk) <= MOST_MERGED:
            run.chunks.append(chunk)
            run.size += len(chunk)
            return
        self._end_run(events)
        self._run = _Run(link, tail, [chunk], len(chunk))

    def _end_run(self, events: list[BgpEvent]) -> None:
        """The event of what consecutive lines have in common."""
        run, self._run = self._run, None
        if run is None or run.link.session is None:
            return
        session = run.link.session.id
        try:
            if run.tail is None:
                events.append(Withdrawn(session, run.prefixes()))
            else:
                judged = self._interned.of_line(run.tail, run.link.head.peering)
                events.append(_announced(session, judged, run.prefixes()))
        except (ValueError, KeyError, IndexError, struct.error):
            self._not_understood(run.link.head.pack() + b" " + run.chunks[0])

    # Routes -------------------------------------------------------------------------------

    def _update(self, session: _Session, neighbor: dict[str, Any]) -> list[BgpEvent]:
        message = neighbor["message"]
        if "eor" in message:
            family = FAMILIES.get(f"{message['eor']['afi']} {message['eor']['safi']}")
            if family is None or family in session.awaited:
                return []
            return [EndOfRib(session.id, family)]
        update = message["update"]
        content = update.get("attribute", {})
        events: list[BgpEvent] = []
        if withdraw := update.get("withdraw"):
            error = malformed(content.get("error", ""))
            gone = tuple(
                prefix for family, texts in withdraw.items() for prefix in packed_prefixes(family, texts)
            )
            if gone:
                events.append(Withdrawn(session.id, gone, error))
        ibgp = neighbor["asn"]["local"] == neighbor["asn"]["peer"]
        for family, hops in update.get("announce", {}).items():
            for next_hop, texts in hops.items():
                prefixes = packed_prefixes(family, texts)
                if not prefixes:
                    continue
                events.append(
                    _announced(session.id, self._interned.of_json(content, next_hop, ibgp), prefixes)
                )
        return events

    def _refresh(self, session: _Session, neighbor: dict[str, Any]) -> list[BgpEvent]:
        refresh = neighbor["route-refresh"]
        family = FAMILIES.get(f"{refresh['afi']} {refresh['safi']}")
        # `query` is the peer's, ExaBGP answers it.
        if family is None or refresh["subtype"] == "query":
            return []
        if refresh["subtype"] == "begin":
            session.begun |= {family} & session.awaited
            return []
        if family in session.awaited - session.begun:
            return []
        session.awaited.discard(family)
        session.begun.discard(family)
        return [EndOfRib(session.id, family)]

    # Sessions -----------------------------------------------------------------------------

    def _open(self, session: _Session, neighbor: dict[str, Any]) -> list[BgpEvent]:
        if neighbor.get("direction") == "receive":
            session.opened = neighbor["open"]
        return []

    def _negotiated(self, session: _Session, neighbor: dict[str, Any]) -> list[BgpEvent]:
        session.negotiated = neighbor["negotiated"]
        return []

    def _opens(self, session: _Session, neighbor: dict[str, Any]) -> list[BgpEvent]:
        session.opens = opens_of(neighbor)
        return []

    def _ended(self, session: _Session, neighbor: dict[str, Any]) -> list[BgpEvent]:
        session.ended = a2b_base64(neighbor["message"])
        return []

    def _state(self, session: _Session, neighbor: dict[str, Any]) -> list[BgpEvent]:
        state = neighbor["state"]
        if state == "up":
            session.established = True
            session.expect_nothing()
            session.state = SessionState.ESTABLISHED
            negotiated = negotiated_of(session.negotiated or {}, session.opened or {})
            return [SessionUp(session.id, negotiated, session.opens)]
        if state == "down":
            return self._down(session, printable(neighbor["reason"]))
        return []

    def _down(self, session: _Session, reason: str) -> list[BgpEvent]:
        established, session.established = session.established, False
        session.negotiated = session.opened = session.opens = None
        ended, session.ended = session.ended, b""
        session.expect_nothing()
        if reason.startswith(_COLLISION):
            # RFC 4271 6.8: one of two connections goes on.
            return []
        notification = notification_of(reason, ended)
        graceful = established and notification is None and reason.startswith(_TRANSPORT_LOST)
        return [SessionDown(session.id, reason, notification, graceful)]

    def _attempt(self, session: _Session, neighbor: dict[str, Any]) -> list[BgpEvent]:
        return [SessionDown(session.id, f"no connection: {neighbor['reason']}")]

    def _fsm(self, session: _Session, neighbor: dict[str, Any]) -> list[BgpEvent]:
        state = _STATES[neighbor["state"].lower()]
        # ExaBGP's IDLE right after its ACTIVE is what RFC 4271 8.2.2 calls Connect.
        if state is SessionState.IDLE and session.connecting:
            state = SessionState.CONNECT
        session.connecting = state is SessionState.ACTIVE
        return self._changed(session, SessionState.CONNECT if session.connecting else state)

    def _changed(self, session: _Session, state: SessionState) -> list[BgpEvent]:
        # Established is told by `up` and `sync`, with what was negotiated.
        if state is session.state or state is SessionState.ESTABLISHED:
            return []
        session.state = state
        return [SessionStateChanged(session.id, state)]

    def _sync(self, session: _Session, neighbor: dict[str, Any]) -> list[BgpEvent]:
        """The present state, asked for; it comes between the lines of what happened, at its right place."""
        if neighbor["state"] == "established":
            if session.established:
                return []
            session.established = True
            session.state = SessionState.ESTABLISHED
            session.expect_refresh()
            negotiated = negotiated_of(neighbor["negotiated"], neighbor["open"])
            session.opens = opens_of(neighbor.get("opens"))
            return [SessionResync(session.id, negotiated, session.opens)]
        if session.established:
            return self._down(session, "the session ended while messages were lost")
        return self._changed(session, _STATES[neighbor["state"]]) if session.state is None else []


_HANDLERS: dict[str, Handler] = {
    "update": Decoder._update,
    "refresh": Decoder._refresh,
    "open": Decoder._open,
    "negotiated": Decoder._negotiated,
    "opens": Decoder._opens,
    "ended": Decoder._ended,
    "state": Decoder._state,
    "attempt": Decoder._attempt,
    "fsm": Decoder._fsm,
    "sync": Decoder._sync,
}


def _announced(session: SessionId, judged: Judged, prefixes: tuple[Prefix, ...]) -> BgpEvent:
    if isinstance(judged, MalformedAttributes):
        return Withdrawn(session, prefixes, str(judged))
    return Announced(session, judged, prefixes)
