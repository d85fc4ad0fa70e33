"""What a change of the configuration does to how a tunnel's death is noticed. Pure.

BFD and probes are the guard's: they begin, end or go on with other settings while the BGP session stays.
"""

from __future__ import annotations

from collections.abc import Iterator

from bgpsvc.control import PlannedEffect
from bgpsvc.model import SessionId, session_id
from bgpsvc.resources import Intent
from bgpsvc.resources.models import BfdSettings, ProbeSettings, Tunnel, VpnConnection

_Settings = BfdSettings | ProbeSettings
_SECRET = "key"


def detection_effects(old: Intent, new: Intent) -> tuple[PlannedEffect, ...]:
    """Tunnels in both intents that are watched otherwise, in order of connection and tunnel."""
    before = dict(_tunnels(old))
    found = []
    for ident, (connection, tunnel) in _tunnels(new):
        if ident in before:
            changes = [*_changes(*before[ident], connection, tunnel)]
            if changes:
                found.append(PlannedEffect("update", ident, "; ".join(changes)))
    return tuple(found)


def _tunnels(intent: Intent) -> Iterator[tuple[SessionId, tuple[VpnConnection, Tunnel]]]:
    for connection in intent.vpn_connections:
        for number, tunnel in enumerate(connection.tunnels, start=1):
            yield session_id(connection.name, number), (connection, tunnel)


def _changes(old: VpnConnection, old_tunnel: Tunnel, new: VpnConnection, new_tunnel: Tunnel) -> Iterator[str]:
    was, becomes = old.failback_hold_down_max, new.failback_hold_down_max
    if was != becomes:
        yield f"failback_hold_down_max {was} s → {becomes} s"
    for method in ("bfd", "probe"):
        before, after = (None if t.bgp is None else getattr(t.bgp, method) for t in (old_tunnel, new_tunnel))
        if before != after:
            yield f"{method} {_change(before, after)}, and the BGP session stays"


def _change(before: _Settings | None, after: _Settings | None) -> str:
    if after is None:
        return "ends"
    if before is None:
        return f"begins: {after.interval_ms} ms, {after.multiplier} times"
    fields = [key for key in type(after).model_fields if not key.endswith("_file")]
    changed = [key for key in fields if getattr(before, key) != getattr(after, key)]
    words = [
        "another key" if key == _SECRET else f"{key} {getattr(before, key)} → {getattr(after, key)}"
        for key in changed
    ]
    return "goes on with " + (", ".join(words) or "the same settings")
