"""When BFD's own intervals change, and how the peer learns of it first: RFC 5880 6.5, 6.8.3 and 6.8.7.

There are two pairs of intervals: those that we advertise and those in force. They differ while the session is
Up and a Poll Sequence has to tell the peer first. All are in microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

SLOW = 1_000_000
"""Desired Min TX Interval while the session is not Up, at the least (6.8.3)."""


class Poll(IntEnum):
    """Where a Poll Sequence is (6.5)."""

    NONE = 0
    AFTER_CLEAR = 1
    """6.8.3: another one was under way; a packet with the P bit clear comes between."""
    NEXT = 2
    ASKED = 3


class Intervals:
    """Our side of the negotiation of a session whose intervals shall be `configured`."""

    def __init__(self, configured: int) -> None:
        self.transmit = self.desired_tx = max(SLOW, configured)
        """Not faster than this we send, and this is what we advertise."""
        self.receive = self.required_rx = configured
        """The peer counts as not faster than this, and this is what we advertise."""
        self.poll = Poll.NONE

    @property
    def asks(self) -> bool:
        """The P bit of the next periodic packet."""
        return self.poll >= Poll.NEXT

    def want(self, configured: int, up: bool) -> bool:
        """Advertise what settings and state ask for; whether that is something else than before.

        A change begins a Poll Sequence. Until it has ended, and while Up, the peer may expect us to be as
        fast as before, and may itself be as slow as before.
        """
        desired_tx = configured if up else max(SLOW, configured)
        other = (desired_tx, configured) != (self.desired_tx, self.required_rx)
        if other:
            self.desired_tx, self.required_rx = desired_tx, configured
            asked = self.poll in (Poll.ASKED, Poll.AFTER_CLEAR)
            self.poll = Poll.AFTER_CLEAR if asked else Poll.NEXT
        told = not (up and self.poll)
        self.transmit = desired_tx if told else min(self.transmit, desired_tx)
        self.receive = configured if told else max(self.receive, configured)
        return other

    def sent(self) -> bool:
        """A periodic packet was sent; whether the next one has another P bit."""
        if self.poll == Poll.AFTER_CLEAR:
            self.poll = Poll.NEXT
            return True
        if self.poll == Poll.NEXT:
            self.poll = Poll.ASKED
        return False

    def answered(self) -> bool:
        """A packet with the F bit came; whether it ends a Poll Sequence of ours."""
        if self.poll != Poll.ASKED:
            return False
        self.poll = Poll.NONE
        self.transmit, self.receive = self.desired_tx, self.required_rx
        return True

    def snapshot(self) -> dict[str, object]:
        """For `restore`, JSON-able."""
        return {
            "advertised": [self.desired_tx, self.required_rx],
            "in_force": [self.transmit, self.receive],
            "polling": self.poll != Poll.NONE,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from there; a Poll Sequence goes on until a Final comes to this process."""
        self.desired_tx, self.required_rx = snapshot["advertised"]
        self.transmit, self.receive = snapshot["in_force"]
        self.poll = Poll.NEXT if snapshot["polling"] else Poll.NONE


def wait(interval: float, multiplier: int, drawn: float) -> float:
    """How long to wait after a periodic packet, in the interval's unit; `drawn` is a number from 0 to 1.

    6.8.7: 75 to 100 % of the interval, at most 90 with a multiplier of 1.
    """
    most = 0.9 if multiplier == 1 else 1.0
    return interval * (0.75 + (most - 0.75) * drawn)
