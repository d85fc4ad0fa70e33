"""What a change of the configuration does to the tunnels that the service makes. Pure.

A tunnel is negotiated anew if what charon is given changes; addresses and MTU change on its interface, and
the SAs stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from bgpsvc.control import PlannedEffect
from bgpsvc.ipsec.model import IpsecTunnel
from bgpsvc.ipsec.wanted import ipsec_tunnels
from bgpsvc.resources import Intent


def _selectors(pairs: Iterable[tuple[object, object]]) -> str:
    return ", ".join(f"{local} to {remote}" for local, remote in pairs) or "none"


def _listed(items: Iterable[object]) -> str:
    return ", ".join(map(str, items)) or "none"


_NEGOTIATED: Mapping[str, Callable[[Any], str]] = {
    "local": str,
    "remote": str,
    "immediately": lambda on: "at once" if on else "on traffic",
    "pairs": _selectors,
}
_SECTIONS = ("ike", "ipsec", "dpd")
_KEY = "pre_shared_key"
_OF_INTERFACE: Mapping[str, Callable[[Any], str]] = {
    "mtu": lambda size: "as it fits" if size is None else str(size),
    # A NAT is dealt with in any case; it only says whether the MTU leaves room for UDP.
    "nat_traversal": lambda on: "on" if on else "off",
    "addresses": _listed,
}


def tunnel_effects(old: Intent, new: Intent) -> tuple[PlannedEffect, ...]:
    """Tunnels that are made, taken down, negotiated anew or changed otherwise, in the order of their ids."""
    before, after = ipsec_tunnels(old), ipsec_tunnels(new)
    return tuple(
        effect
        for ident in sorted({**before, **after})
        for effect in _effects(before.get(ident), after.get(ident))
    )


def _effects(before: IpsecTunnel | None, after: IpsecTunnel | None) -> Iterator[PlannedEffect]:
    if after is None:
        if before is not None:
            yield PlannedEffect("remove", before.id, f"its SAs end, the interface {before.interface} goes")
        return
    if before is None:
        ends = f"{after.ike.version} from {after.local} to {after.remote}"
        yield PlannedEffect("add", after.id, f"{ends}, interface {after.interface}")
        return
    renewed = [*_differences(_NEGOTIATED, before, after), *_settings(before, after)]
    changed = [*_differences(_OF_INTERFACE, before, after)]
    if renewed:
        yield PlannedEffect("reset", after.id, f"{'; '.join((*renewed, *changed))}; it is negotiated anew")
    elif changed:
        yield PlannedEffect("update", after.id, "; ".join(changed))


def _differences(shown: Mapping[str, Callable[[Any], str]], before: object, after: object) -> Iterator[str]:
    for name, show in shown.items():
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            yield f"{name} {show(old)} → {show(new)}"


def _settings(before: IpsecTunnel, after: IpsecTunnel) -> Iterator[str]:
    for section in _SECTIONS:
        old, new = getattr(before, section), getattr(after, section)
        for key in type(new).model_fields:
            was, becomes = getattr(old, key), getattr(new, key)
            if was == becomes or key.endswith("_file"):
                continue
            if key == _KEY:
                yield "the pre-shared key is changed"
            else:
                yield f"{section}.{key} {_plain(was)} → {_plain(becomes)}"


def _plain(value: object) -> str:
    return "none" if value is None else "on" if value is True else "off" if value is False else str(value)
