"""What a change of the configuration does to BGP sessions. Pure.

The engine makes a session anew, and forgets its paths, if the peering is another one (`same_peering`). ExaBGP
closes and opens a session if what it says in OPEN, or the transport below, changes; its paths are learned
again then. Everything else is taken over by a session that stays up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bgpsvc.control import PlannedEffect
from bgpsvc.engine import Engine
from bgpsvc.exabgp.config import SpeakerSession, sessions_of
from bgpsvc.hypothetical import Hypothetical
from bgpsvc.model import SessionId, format_address
from bgpsvc.resources import Intent
from bgpsvc.routing_policy import CompiledPolicy
from bgpsvc.session import SessionSettings, session_settings


def _seconds(value: object) -> str:
    return f"{value} s"


_PEERING: Mapping[str, Callable[[Any], str]] = {
    "gateway": str,
    "interface": str,
    "local_address": format_address,
    "peer_address": format_address,
    "local_asn": str,
    "peer_asn": str,
}
"""Fields of SessionSettings that make the session another one."""
_OPEN: Mapping[str, Callable[[Any], str]] = {
    "router_id": str,
    "hold_time": _seconds,
    "ttl_security": lambda hops: "off" if hops is None else str(hops),
    "graceful_restart": lambda seconds: _seconds(seconds) if seconds else "off",
    "families": lambda families: " and ".join(f.label for f in families),
    "passive": lambda on: "on" if on else "off",
}
"""Fields of SpeakerSession for which ExaBGP resets the session (its comparison of neighbours)."""


def session_effects(
    old: Intent, new: Intent, engine: Engine, supposed: Mapping[str, Hypothetical | None]
) -> tuple[PlannedEffect, ...]:
    """Sessions that come, go, are reset, or go on with other settings, in order of connection and tunnel."""
    before, after = _both(old), _both(new)
    kept = {ident for h in supposed.values() if h is not None for ident in h.kept}
    return tuple(
        effect
        for ident in dict.fromkeys((*before, *after))
        for effect in _effects(ident, before.get(ident), after.get(ident), engine, ident in kept)
    )


_Both = tuple[SessionSettings, SpeakerSession]


def _both(intent: Intent) -> dict[SessionId, _Both]:
    speakers = {session.id: session for session in sessions_of(intent)}
    return {s.id: (s, speakers[s.id]) for s in session_settings(intent)}


def _effects(
    ident: SessionId, before: _Both | None, after: _Both | None, engine: Engine, kept: bool
) -> Iterator[PlannedEffect]:
    paths = _paths(engine, ident)
    if after is None:
        yield PlannedEffect("remove", ident, f"the session is closed, {paths} forgotten")
        return
    if before is None:
        s = after[0]
        ends = f"{format_address(s.local_address)} to {format_address(s.peer_address)}"
        yield PlannedEffect("add", ident, f"{ends} over {s.interface}, AS {s.local_asn} to AS {s.peer_asn}")
        return
    peering = _differences(_PEERING, before[0], after[0])
    reset = [*peering, *_differences(_OPEN, before[1], after[1]), *_password(before[1], after[1])]
    if not kept and ident in engine.sessions:
        why = "; ".join(reset) or "its VPC has another route table"
        yield PlannedEffect("reset", ident, f"{why}; {paths} forgotten and learned anew")
    elif reset:
        yield PlannedEffect("reset", ident, f"{'; '.join(reset)}; {paths} learned again")
    elif updates := [*_updates(before, after)]:
        yield PlannedEffect("update", ident, "; ".join(updates))


def _paths(engine: Engine, ident: SessionId) -> str:
    session = engine.sessions.get(ident)
    count = 0 if session is None else len(session.adj.fresh) + len(session.adj.stale)
    return "its only path is" if count == 1 else f"its {count} paths are"


def _differences(fields: Mapping[str, Callable[[Any], str]], before: object, after: object) -> Iterator[str]:
    for name, show in fields.items():
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            yield f"{name} {show(old)} → {show(new)}"


def _password(before: SpeakerSession, after: SpeakerSession) -> Iterator[str]:
    if before.password != after.password:
        done = "set" if before.password is None else "removed" if after.password is None else "changed"
        yield f"the password is {done}"


def _updates(before: _Both, after: _Both) -> Iterator[str]:
    (old, old_speaker), (new, new_speaker) = before, after
    yield from _differences({"max_prefixes": str, "remote_address": str, "hold_down": _seconds}, old, new)
    for name, was, on in (
        ("teardown at max_prefixes", old.teardown_at_max, new.teardown_at_max),
        ("accept_default_route", old.accept_default, new.accept_default),
        ("prefer_active_tunnel", old.policy.prefer_active, new.policy.prefer_active),
    ):
        if was != on:
            yield f"{name} is {'on' if on else 'off'}"
    yield from _policy("import", old.import_policy, new.import_policy)
    yield from _policy("export", old.export_policy, new.export_policy)
    if old_speaker.local_address_v6 != new_speaker.local_address_v6:
        yield "IPv6 prefixes are announced with another next hop"


def _policy(way: str, old: CompiledPolicy | None, new: CompiledPolicy | None) -> Iterator[str]:
    if old == new:
        return
    if old is not None and new is not None and old.name == new.name:
        yield f"{way} policy {new.name} has other rules"
    else:
        yield f"{way} policy {'none' if old is None else old.name} → {'none' if new is None else new.name}"
