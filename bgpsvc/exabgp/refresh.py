"""Route refreshes that are wanted (RFC 2918): none is forgotten, and none is sent twice at once.

A request can come while nothing can be sent: the relay is being replaced, or the state of the
session is not known yet. It waits here. Requests for the same come from several reasons at a time
(lost messages, a new relay, a session that is found up); each makes the peer send its whole table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from bgpsvc.model import Family, SessionId

INTERVAL = 1.0


@dataclass(frozen=True, slots=True)
class _Sent:
    """When a request was sent, and the counter of the last line of the session before it."""

    at: float
    counter: int | None


class Refreshes:
    """The requests of one speaker's sessions. Time is in seconds of any clock that never goes back."""

    def __init__(self) -> None:
        self._wanted: dict[SessionId, set[Family]] = {}
        self._sent: dict[tuple[SessionId, Family], _Sent] = {}

    def want(self, session: SessionId, families: Iterable[Family]) -> None:
        """Ask for these families when that is possible."""
        self._wanted.setdefault(session, set()).update(families)

    def drop(self, sessions: Collection[SessionId]) -> None:
        """These sessions went down or came up: their routes come without being asked for."""
        for session in sessions:
            self._wanted.pop(session, None)
            for family in Family:
                self._sent.pop((session, family), None)

    def sessions(self) -> tuple[SessionId, ...]:
        """All of which something is known."""
        return tuple(self._wanted.keys() | {session for session, _ in self._sent})

    def waiting(self) -> tuple[SessionId, ...]:
        """Those for which something waits."""
        return tuple(self._wanted)

    def take(
        self, session: SessionId, families: Collection[Family], counter: int | None, now: float
    ) -> tuple[list[Family], float | None]:
        """What to send now, out of the negotiated `families`, and seconds until the rest may be sent.

        `counter` is that of the session's last line. As long as none has come since a request was sent,
        all of its answer is still ahead: it serves a second one as well. Otherwise the second has to
        wait for the end of the `INTERVAL`, as it may be for something that came and was lost since.
        """
        found, later = [], []
        for family in sorted(self._wanted.pop(session, ())):
            last = self._sent.get((session, family))
            if family not in families or (
                last is not None and last.counter == counter and now < last.at + INTERVAL
            ):
                continue
            if last is not None and now < last.at + INTERVAL:
                later.append((family, last.at + INTERVAL - now))
                continue
            found.append(family)
            self._sent[session, family] = _Sent(now, counter)
        if not later:
            return found, None
        self.want(session, (family for family, _ in later))
        return found, max(delay for _, delay in later)

    def failed(self, session: SessionId, families: Iterable[Family]) -> None:
        """What was taken could not be sent; it waits again."""
        for family in families:
            self._sent.pop((session, family), None)
            self.want(session, (family,))
