"""What BFD and the peer probe say of a tunnel, and how long it is believed. Pure.

A failure they tell takes the tunnel down at once. Two things show that it was not the path that died but
whoever answered (RFC 5882 4: a client may know better), and then the method is no longer in force until
it says up again:

- the BGP session stays Established for longer than its hold time: keepalives came through, both ways;
- the session is established anew after the failure.

A method that has said nothing, or says that it cannot tell (None), keeps nothing down.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bgpsvc.effects import Log
from bgpsvc.events import DetectionChanged
from bgpsvc.model import SessionId
from bgpsvc.views import EventKind

MARGIN = 1.0
"""Seconds on top of the hold time: its timer began up to that much after the path died."""

_KINDS: dict[str, tuple[EventKind, EventKind]] = {
    "bfd": ("bfd.up", "bfd.down"),
    "probe": ("probe.up", "probe.down"),
}
NAMES = {"bfd": "BFD", "probe": "the probe of the peer"}
"""How the methods are named in a sentence."""


@dataclass(frozen=True, slots=True)
class Said:
    """The last word of one method; `since` is when it began to say so, seconds of the shell's clock."""

    up: bool | None
    reason: str
    since: float
    detection_ms: float | None = None
    recovered_at: float | None = None
    """When it last took back a failure."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The session beside which a method is judged: since when it is Established, None if it is not.

    `witnessed`: we saw it being established; else it was so before the daemon started. `hold_time` is the
    negotiated one in seconds, 0 without keepalives (RFC 4271 4.2).
    """

    established_at: float | None = None
    witnessed: bool = False
    hold_time: float = 0.0


def hear(before: Said | None, event: DetectionChanged, now: float) -> Said:
    """What a method says after an event; the same again does not begin anew."""
    if before is not None and before.up is event.up:
        return replace(before, reason=event.reason, detection_ms=event.detection_ms)
    since = now if event.at is None else min(event.at, now)
    recovered = None if before is None else since if before.up is False else before.recovered_at
    return Said(event.up, event.reason, since, event.detection_ms, recovered)


def told(event: DetectionChanged, before: Said | None) -> Log | None:
    """What the event log says of it; nothing of a method that has not been in force yet.

    `detection_ms` of a failure is the time within which it was noticed: that long packets were lost."""
    up, down = _KINDS[event.method]
    data = {"detection_ms": event.detection_ms}
    if event.up:
        within = (
            "" if event.detection_ms is None else f", a death is noticed within {event.detection_ms:g} ms"
        )
        return Log(up, "info", event.tunnel, f"{NAMES[event.method]} is up{within}", data)
    if event.up is False:
        data = {"detection_ms": None if before is None else before.detection_ms}
        return Log(down, "warning", event.tunnel, event.reason, data)
    if before is None or before.up is None:
        return None
    return Log(down, "info", event.tunnel, f"{NAMES[event.method]} is not in force: {event.reason}", data)


def not_believed(tunnel: SessionId, method: str, why: str) -> Log:
    """What the event log says when a failure is no longer believed."""
    text = f"{NAMES[method]} says that the tunnel is dead, but {why}: it is not in force until it is up again"
    return Log(_KINDS[method][1], "warning", tunnel, text)


def disbelieved_from(said: Said, session: Standing) -> float | None:
    """From when on a failure is not believed beside this session; None while nothing speaks against it."""
    if session.established_at is None:
        return None
    if session.witnessed and session.established_at > said.since:
        return session.established_at
    return said.since + session.hold_time + MARGIN if session.hold_time else None


def failing(said: Said | None, session: Standing, now: float) -> bool:
    """The method says that the tunnel is dead, and is believed."""
    if said is None or said.up is not False:
        return False
    until = disbelieved_from(said, session)
    return until is None or now < until


def good_since(said: Said | None, session: Standing) -> float | None:
    """When the method stopped keeping the tunnel down; None if it never did, or does for good."""
    if said is None:
        return None
    return said.recovered_at if said.up is not False else disbelieved_from(said, session)
