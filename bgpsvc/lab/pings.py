"""What a series of echo requests says about an outage. Pure: times are numbers, in seconds of one clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Outage:
    """What was lost of the requests sent in a span of time.

    `seconds` is the longest time between two answered requests (by their sending) with lost ones between;
    0 if none was lost. Its resolution is the interval of sending.
    """

    sent: int
    lost: int
    seconds: float


@dataclass(slots=True)
class Series:
    """Echo requests and replies by sequence number; requests are recorded in the order of sending."""

    sent: dict[int, float] = field(default_factory=dict)
    received: dict[int, float] = field(default_factory=dict)

    def add(self, sent: Iterable[tuple[int, float]], received: Iterable[tuple[int, float]]) -> None:
        """Takes over what the prober recorded. A duplicate reply changes nothing."""
        self.sent.update(sent)
        for number, when in received:
            self.received.setdefault(number, when)

    def between(self, since: float, until: float) -> list[tuple[float, bool]]:
        """Sending time and `was answered` of the requests sent in the span."""
        return [
            (when, number in self.received) for number, when in self.sent.items() if since <= when < until
        ]

    def outage(self, since: float, until: float) -> Outage:
        """The loss in the span. Edges without an answered request count from, or to, the end of the span."""
        probes = self.between(since, until)
        longest, last_answered, losing = 0.0, since, False
        for when, answered in probes:
            if answered:
                if losing:
                    longest = max(longest, when - last_answered)
                last_answered, losing = when, False
            else:
                losing = True
        if losing:
            longest = max(longest, until - last_answered)
        return Outage(len(probes), sum(not answered for _, answered in probes), longest)

    def flows(self, since: float, until: float) -> bool:
        """True if requests were sent in the span and all were answered."""
        probes = self.between(since, until)
        return bool(probes) and all(answered for _, answered in probes)

    def stopped(self, since: float, until: float) -> bool:
        """True if requests were sent in the span and none was answered."""
        probes = self.between(since, until)
        return bool(probes) and not any(answered for _, answered in probes)
