"""The reference scenario with routing policies."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from bgpsvc.resources import Intent
from bgpsvc.resources.models import PolicyMatch, PolicyRule, PrefixMatch, RoutingPolicy
from tests.unit.support import intent


def prefixes(*texts: str) -> tuple[PrefixMatch, ...]:
    """`10.0.0.0/8`, with ge and le behind it as in `10.0.0.0/8 16 24` (`-` for one that is not given)."""
    made = []
    for text in texts:
        prefix, *bounds = text.split()
        low, high = (None if b == "-" else int(b) for b in (*bounds, "-", "-")[:2])
        made.append(PrefixMatch(prefix=ip_network(prefix), ge=low, le=high))
    return tuple(made)


def rule(action: str = "accept", *, match: dict[str, Any] | None = None, **more: Any) -> PolicyRule:
    made = None if match is None else PolicyMatch(**match)
    return PolicyRule.model_validate({"action": action, "match": made, **more})


def policy(*rules: PolicyRule, name: str = "from-dc", default: str = "accept") -> RoutingPolicy:
    return RoutingPolicy.model_validate({"name": name, "rules": rules, "default_action": default})


def policed(
    imports: RoutingPolicy | None = None, exports: RoutingPolicy | None = None, **more: Any
) -> Intent:
    """The intent of `tests.unit.support` with these policies on its connection."""
    plain = intent(**more)
    (connection,) = plain.vpn_connections
    fields = {name: getattr(connection, name) for name in type(connection).model_fields}
    fields |= {
        "import_policy": None if imports is None else imports.name,
        "export_policy": None if exports is None else exports.name,
    }
    everything = {name: getattr(plain, name) for name in Intent.model_fields}
    everything["vpn_connections"] = (type(connection)(**fields),)
    everything["routing_policies"] = tuple(p for p in (imports, exports) if p is not None)
    return Intent(**everything)
