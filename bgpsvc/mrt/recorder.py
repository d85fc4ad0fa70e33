"""What sessions say as records of BGP4MP_ET (RFC 6396 4.4), as route collectors record it. Pure.

An UPDATE is written as the gateway understood it, with AS numbers of four octets: without attributes that
mean nothing to it, and what was treated as a withdrawal (RFC 7606) as one. The OPEN and the NOTIFICATION of
a peer are written as they were on the wire, where the speaker told them. KEEPALIVEs are not written.

What a session announced before is unknown when it was up already (the daemon was restarted) or messages of
it were lost. It announces all of it again then; a change of state in front of that says to begin anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from bgpsvc.bgp_message import MAXIMUM_EXTENDED, AttributesTooLong, end_of_rib, update_messages
from bgpsvc.events import (
    Announced,
    EndOfRib,
    MessagesLost,
    SessionDown,
    SessionResync,
    SessionUp,
    Withdrawn,
)
from bgpsvc.model import Attributes, Family, Prefix, SessionId, SessionState
from bgpsvc.mrt.codec import Ends, message_as4, state_change_as4
from bgpsvc.session import SessionSettings

SessionEvent = SessionUp | SessionResync | SessionDown | Announced | Withdrawn | EndOfRib | MessagesLost

_SIZES = {Family.IPV4: 5, Family.IPV6: 17}


def ends_of(settings: SessionSettings) -> Ends:
    """Both ends of a session; it runs over IPv4 whatever it carries."""
    return Ends(settings.peer_asn, settings.local_asn, settings.peer_address, settings.local_address)


class Recorder:
    """Makes records of events, session by session in order."""

    def __init__(self) -> None:
        self._up: dict[SessionId, Ends] = {}

    def records(self, at: float, event: SessionEvent, ends: Ends | None) -> Iterator[bytes]:
        """The records of an event, which happened then (Unix seconds).

        `ends` are those of a session that comes up; none for other events. What is told of a session that
        is not known to be up makes no record.
        """
        if isinstance(event, SessionUp | SessionResync):
            if ends is not None:
                yield from self._begin(at, event, ends)
            return
        known = self._up.get(event.session)
        if known is None:
            return
        if isinstance(event, SessionDown):
            del self._up[event.session]
            yield from _end(at, event, known)
            return
        if isinstance(event, MessagesLost):
            # What was withdrawn in them nobody knows; the peer is asked for everything again.
            yield state_change_as4(at, known, SessionState.ESTABLISHED, SessionState.IDLE)
            yield state_change_as4(at, known, SessionState.IDLE, SessionState.ESTABLISHED)
            return
        for message in _messages(event):
            yield message_as4(at, known, message)

    def _begin(self, at: float, event: SessionUp | SessionResync, ends: Ends) -> Iterator[bytes]:
        before = self._up.get(event.session)
        if before is not None:
            yield state_change_as4(at, before, SessionState.ESTABLISHED, SessionState.IDLE)
        self._up[event.session] = ends
        if isinstance(event, SessionResync):
            yield state_change_as4(at, ends, SessionState.IDLE, SessionState.ESTABLISHED)
            return
        if event.opens is not None:
            yield message_as4(at, ends, event.opens.received)
        yield state_change_as4(at, ends, SessionState.OPENCONFIRM, SessionState.ESTABLISHED)


def _end(at: float, event: SessionDown, ends: Ends) -> Iterator[bytes]:
    notification = event.notification
    if notification is not None and not notification.sent and notification.message:
        yield message_as4(at, ends, notification.message)
    yield state_change_as4(at, ends, SessionState.ESTABLISHED, SessionState.IDLE)


def _messages(event: Announced | Withdrawn | EndOfRib) -> Iterator[bytes]:
    if isinstance(event, EndOfRib):
        yield end_of_rib(event.family)
    elif isinstance(event, Announced):
        for family, prefixes in _by_family(event.prefixes):
            yield from _announcements(event.attributes, family, prefixes)
    elif isinstance(event, Withdrawn):
        for family, prefixes in _by_family(event.prefixes):
            yield from update_messages(None, family, (), prefixes)


def _by_family(prefixes: Collection[Prefix]) -> Iterator[tuple[Family, Sequence[Prefix]]]:
    for family, size in _SIZES.items():
        found = [prefix for prefix in prefixes if len(prefix) == size]
        if found:
            yield family, found


def _announcements(attributes: Attributes, family: Family, prefixes: Sequence[Prefix]) -> Iterator[bytes]:
    try:
        yield from update_messages(attributes, family, prefixes, ())
    except AttributesTooLong:
        # They came with AS numbers of two octets. A file has room for them all the same.
        yield from update_messages(attributes, family, prefixes, (), maximum=MAXIMUM_EXTENDED)
