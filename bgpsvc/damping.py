"""Flap damping: a tunnel that keeps failing has to be up for longer before traffic returns to it. Pure.

Modelled on what RFC 2439 does for routes, but made of time alone: within `WINDOW` two failures are free (a
reboot often looks like two), and each further one doubles the hold-down, up to the connection's maximum.
Failures older than the window no longer count, so that a tunnel that stays up is trusted again.
"""

from __future__ import annotations

from collections.abc import Iterable

WINDOW = 600.0
"""Seconds for which a failure counts."""
FREE = 2
"""Failures within the window that lengthen nothing."""
LEAST = 1.0
"""Seconds at which doubling begins where the configured hold-down is shorter."""


def recent(failures: Iterable[float], now: float) -> tuple[float, ...]:
    """The failures that still count, oldest first."""
    return tuple(sorted(at for at in failures if now - at < WINDOW))


def hold_down(configured: float, maximum: float, failures: Iterable[float], now: float) -> float:
    """Seconds that a tunnel that failed at these times has to be up; no damping if maximum <= configured."""
    excess = len(recent(failures, now)) - FREE
    if excess <= 0 or maximum <= configured:
        return configured
    # More doublings than any maximum needs would only overflow.
    return min(max(configured, LEAST) * 2.0 ** min(excess, 32), maximum)
