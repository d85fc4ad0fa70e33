"""The verdict of a health check: a state machine over requests sent, replies and losses. Pure.

A request is lost if its reply has not come when the next one is due, or if it could not be sent.

    unknown   → healthy     the first reply
    unknown   → unhealthy   `retries` requests in a row were lost
    healthy   → unhealthy   `retries` requests in a row were lost
    unhealthy → healthy     `retries` requests in a row were answered

Both ways take `retries` requests in a row once there was a verdict (hysteresis), so a path that loses every
other packet does not make routes come and go; only the first verdict takes a single reply.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check came to, and what it saw."""

    healthy: bool
    reason: str


class Check:
    """One health check; `destination` is for texts. Sequence numbers count from 0 and wrap at 16 bits."""

    def __init__(self, destination: str, retries: int) -> None:
        self._destination = destination
        self._retries = retries
        self._sequence = -1
        self._waiting = False
        self._error: str | None = None
        self._lost = 0
        self._answered = 0
        self.healthy: bool | None = None

    def next(self) -> tuple[int, Verdict | None]:
        """A request is due: its sequence number, and the verdict if the loss of the last one changed it."""
        verdict = self._count_lost() if self._waiting else None
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._waiting = True
        self._error = None
        return self._sequence, verdict

    def failed(self, error: str) -> None:
        """The request just begun could not be sent."""
        self._error = error

    def replied(self, sequence: int) -> Verdict | None:
        """A reply came; the verdict if it changed it. A late or repeated reply counts for nothing."""
        if not self._waiting or sequence != self._sequence:
            return None
        self._waiting = False
        self._lost = 0
        self._answered += 1
        if self.healthy or (self.healthy is False and self._answered < self._retries):
            return None
        self.healthy = True
        return Verdict(True, f"{self._destination} replies")

    def _count_lost(self) -> Verdict | None:
        self._answered = 0
        self._lost += 1
        if self.healthy is False or self._lost < self._retries:
            return None
        self.healthy = False
        if self._error is not None:
            return Verdict(False, self._error)
        plural = "request" if self._retries == 1 else f"{self._retries} requests in a row"
        return Verdict(False, f"no reply from {self._destination} to {plural}")
