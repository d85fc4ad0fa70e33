"""What the engine asks of the shell. Frozen values, taken from `Engine.outbox` after each call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bgpsvc.events import Advertisement
from bgpsvc.model import Prefix, SessionId
from bgpsvc.views import EventKind, Severity


@dataclass(frozen=True, slots=True)
class Advertise:
    """The whole set of prefixes to be advertised on a session."""

    session: SessionId
    routes: Mapping[Prefix, Advertisement]


@dataclass(frozen=True, slots=True)
class Refresh:
    """Ask the peer for all its routes again (RFC 2918)."""

    session: SessionId


@dataclass(frozen=True, slots=True)
class Reset:
    """Close the session with a Cease of this subcode (RFC 4486); it comes back by itself."""

    session: SessionId
    subcode: int
    reason: str


@dataclass(frozen=True, slots=True)
class Log:
    """An entry for the event log."""

    kind: EventKind
    severity: Severity
    subject: str
    message: str
    data: Mapping[str, Any] = field(default_factory=dict)


Effect = Advertise | Refresh | Reset | Log
