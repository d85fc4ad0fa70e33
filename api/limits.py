"""How often a caller may ask, and how often a refusal is worth an entry in the audit log.

Pure: times are arguments, in seconds of a clock that never goes back. Memory is bounded: the callers
seen longest ago are forgotten, which gives them a full bucket again.
"""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from dataclasses import dataclass

AUDIT_EVERY = 60.0
"""Seconds between two audit entries about failed authentications of one address."""
AUDIT_PER_MINUTE = 10
"""Audit entries about failed authentications in a minute, whatever the number of addresses."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests per second and burst of one token (or, without one, of one address); the same for requests
    whose authentication fails; and for how many callers that is remembered."""

    rate: float = 100.0
    burst: int = 500
    failure_rate: float = 1.0
    failure_burst: int = 20
    callers: int = 4096


class Buckets:
    """A token bucket for each caller: `rate` tokens a second flow in, `burst` fit."""

    def __init__(self, rate: float, burst: int, callers: int) -> None:
        self._rate, self._burst, self._callers = rate, burst, callers
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._levels)

    def take(self, caller: str, now: float) -> float:
        """Takes one token: 0.0, or the seconds until there is one again."""
        level, then = self._levels.pop(caller, (float(self._burst), now))
        level = min(self._burst, level + (now - then) * self._rate)
        wait = 0.0 if level >= 1 else (1 - level) / self._rate
        self._levels[caller] = (level - 1 if wait == 0 else level, now)
        if len(self._levels) > self._callers:
            self._levels.popitem(last=False)
        return wait


def caller_of(address: str) -> str:
    """Whom an address stands for: itself, or the /64 that an IPv6 host can choose its addresses from."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed), 64), strict=False).network_address) + "/64"


def retry_after(seconds: float) -> str:
    """The value of Retry-After: whole seconds, at least one."""
    return str(max(1, math.ceil(seconds)))


class FailureLog:
    """Which failed authentications the audit log gets to see."""

    def __init__(self, callers: int) -> None:
        self._callers = callers
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._all = Buckets(AUDIT_PER_MINUTE / 60, AUDIT_PER_MINUTE, 1)

    def note(self, caller: str, now: float) -> int | None:
        """None: not this one. Else how many of this caller before it were not reported."""
        then, count = self._seen.pop(caller, (-math.inf, 0))
        if now - then >= AUDIT_EVERY and self._all.take("", now) == 0:
            self._seen[caller] = (now, 0)
            unreported: int | None = count
        else:
            self._seen[caller] = (then, count + 1)
            unreported = None
        if len(self._seen) > self._callers:
            self._seen.popitem(last=False)
        return unreported
