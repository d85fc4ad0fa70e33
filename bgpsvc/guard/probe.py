"""The probe of a tunnel's peer: a state machine over echo requests and replies. Pure.

    None  → True    the first reply: before it, the peer may be one that does not answer at all
    True  → False   `multiplier` intervals in a row went by without a reply
    False → True    `multiplier` intervals in a row had one

Unlike a health check's (`bgpsvc.health.check`) a reply counts when it comes, also if it took longer than an
interval: intervals are shorter than the way to the peer and back may be.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bgpsvc.guard.model import ProbeSettings, ProbeStatus
from bgpsvc.model import SessionId

_REMEMBERED = 256
"""Requests that a reply is taken for: the last ones. Much less than the range of sequence numbers."""
_NUMBERS = 1 << 16


@dataclass(slots=True)
class PeerProbe:
    """One probe; `up` and what led to it. Sequence numbers wrap at 16 bits."""

    settings: ProbeSettings
    up: bool | None = None
    sent: int = 0
    lost: int = 0
    lost_in_a_row: int = 0
    replied_in_a_row: int = 0
    round_trip_ms: float | None = None
    reason: str = "no reply yet"
    since: float | None = None
    """When `up` became what it is; None before the first reply."""
    _replied: bool = True
    """In the present interval; nothing was asked before the first one."""
    _sent_at: dict[int, float] = field(default_factory=dict)

    def next(self, now: float) -> tuple[int, bool]:
        """An interval is over, and a request is due: its sequence number, and whether `up` changed."""
        changed = False if self._replied else self._missed(now)
        self._replied = False
        self.sent += 1
        sequence = self.sent % _NUMBERS
        self._sent_at.pop((self.sent - _REMEMBERED) % _NUMBERS, None)
        self._sent_at[sequence] = now
        return sequence, changed

    def _missed(self, now: float) -> bool:
        self.lost += 1
        self.lost_in_a_row += 1
        self.replied_in_a_row = 0
        if not self.up or self.lost_in_a_row < self.settings.multiplier:
            return False
        self.up, self.since = False, now
        self.reason = f"no reply from {self.settings.destination} to {self.lost_in_a_row} in a row"
        return True

    def replied(self, sequence: int, now: float) -> bool:
        """A reply came; whether `up` changed. One that repeats another, or is to nothing, does not count."""
        sent_at = self._sent_at.pop(sequence, None)
        if sent_at is None:
            return False
        self.round_trip_ms = (now - sent_at) * 1000
        if self._replied and self.up is not None:
            return False
        self._replied = True
        self.lost_in_a_row = 0
        self.replied_in_a_row += 1
        if self.up or (self.up is False and self.replied_in_a_row < self.settings.multiplier):
            return False
        self.up, self.since = True, now
        self.reason = f"{self.settings.destination} replies"
        return True

    @property
    def detection_ms(self) -> float | None:
        """From a death right behind a reply to its being noticed; None while the probe is not in force."""
        return None if self.up is None else float(self.settings.interval_ms * (self.settings.multiplier + 1))

    def status(self, tunnel: SessionId) -> ProbeStatus:
        """Its figures."""
        return ProbeStatus(tunnel, self.up, self.sent, self.lost, self.lost_in_a_row, self.round_trip_ms)

    def snapshot(self) -> list[Any]:
        """What another process needs to go on."""
        return [self.up, self.reason, self.since, self.sent, self.lost]

    def restore(self, snapshot: list[Any]) -> None:
        """Go on where another process ended: with nothing lost in a row."""
        self.up, self.reason, self.since, self.sent, self.lost = snapshot
