"""Which columns each list has. More with -o wide, all with -o csv."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from bgpsvc.cli.client import Json
from bgpsvc.cli.output import Column, duration, plain


def on_off(value: Any) -> str:
    """A switch."""
    return "on" if value else "off"


def up_down(value: Any) -> str:
    """A link."""
    return "up" if value else "down"


def to_seconds(time: str | None) -> str:
    """An RFC 3339 time without its fraction."""
    return "-" if time is None else time.partition(".")[0] + "Z"


def count(value: Any) -> str:
    """How many there are."""
    return str(len(value or ()))


def why_down(session: Json) -> str | None:
    """The last error of a session that is not established."""
    if session["state"] == "established":
        return None
    error = session["last_error"]
    return error["text"] if error else "not established yet"


def last_error(session: Json) -> str | None:
    """The last error of a session, marked if it is over."""
    error = session["last_error"]
    if error is None:
        return None
    return f"before: {error['text']}" if session["state"] == "established" else str(error["text"])


def ipsec_status(tunnel: Json) -> str:
    """The status of a tunnel's IPsec, or that somebody else makes it."""
    return "external" if tunnel["ipsec"] is None else str(tunnel["ipsec"]["status"])


def detection(tunnel: Json) -> str | None:
    """The fastest detection in force, as `bfd 150 ms`; None if there is none but the link's."""
    best = next((one for one in tunnel["detection"] if one["in_force"] and one["method"] != "link"), None)
    if best is None:
        return None
    worst = best["worst_case_ms"]
    return f"{best['method']} {worst} ms" if worst < 10_000 else f"{best['method']} {worst / 1000:g} s"


def next_hop(route: Json) -> str | None:
    """Where a custom route leads."""
    return "blackhole" if route.get("blackhole") else route.get("next_hop") or route.get("interface")


def token_state(token: Json) -> str:
    """Whether a token is of use."""
    if token["revoked_at"] is not None:
        return "revoked"
    expires = token["expires_at"]
    over = expires is not None and datetime.fromisoformat(expires) <= datetime.now(UTC)
    return "expired" if over else "valid"


def changed_fields(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """The places where two documents differ, as `tunnels.0.bgp.hold_time`; none if one is missing."""
    if old is None or new is None or old == new:
        return
    pairs = _pairs(old, new)
    if pairs is None:
        yield path or "all"
        return
    for key, before, after in pairs:
        place = f"{path}.{key}".lstrip(".")
        if before is None or after is None:
            if before != after:
                yield place
        else:
            yield from changed_fields(before, after, place)


def _pairs(old: Any, new: Any) -> list[tuple[str, Any, Any]] | None:
    """The members of two objects or two lists of one length, side by side."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [(key, old.get(key), new.get(key)) for key in dict.fromkeys([*old, *new])]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [(str(number), *pair) for number, pair in enumerate(zip(old, new, strict=True))]
    return None


SESSIONS = (
    Column("ID", "id"),
    Column("ROLE", "role"),
    Column("PEER", "peer_address"),
    Column("AS", "peer_asn", right=True),
    Column("STATE", "state", good=("established",)),
    Column("FOR", "since", duration),
    Column("RECEIVED", "prefixes.received", right=True),
    Column("ACCEPTED", "prefixes.accepted", right=True),
    Column("ADVERTISED", "prefixes.advertised", right=True),
    Column("FLAPS", "flap_count", right=True),
    Column("WHY DOWN", "last_error.text", of=why_down),
    Column("GATEWAY", "gateway", wide=True),
    Column("INTERFACE", "interface", wide=True),
    Column("LOCAL", "local_address", wide=True),
    Column("LOCAL AS", "local_asn", wide=True, right=True),
    Column("HOLD", "negotiated.hold_time", wide=True, right=True),
    Column("REJECTED", "prefixes.rejected", wide=True, right=True),
    Column("STALE", "prefixes.stale", wide=True, right=True),
    Column("LAST ERROR", "last_error.text", wide=True, of=last_error),
)


TUNNELS = (
    Column("ID", "id"),
    Column("ROLE", "role"),
    Column("STATE", "state", good=("live",)),
    Column("FOR", "since", duration),
    Column("CARRIES TRAFFIC", "carrying"),
    Column("IPSEC", "ipsec.status", of=ipsec_status, good=("ipsec_sa_established",)),
    Column("SESSION", "session_state", good=("established",)),
    Column("DETECTION", "detection", of=detection),
    Column("INTERFACE", "interface"),
    Column("LINK", "link_up", up_down, good=("up",)),
    Column("REMOTE", "remote_address"),
    Column("LOCAL", "local_address", wide=True),
    Column("PEER", "peer_address", wide=True),
    Column("WHY", "state_reason", wide=True),
    Column("DRIVER", "ipsec.driver", wide=True),
    Column("MTU", "ipsec.mtu", wide=True, right=True),
    Column("IPSEC ERROR", "ipsec.last_error.text", wide=True),
)
GATEWAYS = (
    Column("NAME", "name"),
    Column("VPC", "vpc"),
    Column("PROPAGATION", "auto_propagate", on_off, good=("on",)),
    Column("STATUS", "status", good=("active",)),
    Column("LEARNED", "routes_learned", right=True),
    Column("INSTALLED", "routes_installed", right=True),
    Column("ADVERTISED", "advertised"),
    Column("CONNECTIONS", "connections"),
    Column("ADDRESSES", "addresses", wide=True),
)
CONNECTIONS = (
    Column("NAME", "name"),
    Column("GATEWAY", "gateway"),
    Column("MODE", "mode"),
    Column("TRAFFIC OVER", "carrying"),
    Column("SWITCHOVERS", "switchovers", right=True),
    Column("LAST SWITCHOVER", "last_switchover", to_seconds),
    Column("LOCAL AS", "local_asn", wide=True, right=True),
    Column("WHY", "last_switchover_reason", wide=True),
    Column("CHOSEN BY", "choice.by", wide=True),
    Column("CHOSEN FOR", "choice.reason", wide=True),
    Column("STATUS", "status", good=("active",), wide=True),
    Column("WARNINGS", "warnings", of=lambda item: "; ".join(item["warnings"]), wide=True),
)
VPCS = (
    Column("NAME", "name"),
    Column("CIDRS", "cidrs"),
    Column("GATEWAY", "gateway"),
    Column("TABLE", "route_table", right=True),
    Column("ROUTES", "routes_installed", right=True),
    Column("STATUS", "status", good=("active",), wide=True),
)
_STATUS = (
    Column("STATUS", "status", good=("active",)),
    Column("REASON", "status_reason", wide=True),
    Column("WARNINGS", "warnings", of=lambda item: "; ".join(item["warnings"])),
)
"""What every resource has that an operator writes; overlapping routes are among its warnings."""
ROUTING_POLICIES = (
    Column("NAME", "name"),
    Column("RULES", "config.rules", count, right=True),
    Column("OTHERWISE", "config.default_action"),
    *_STATUS,
)
CUSTOMER_GATEWAYS = (
    Column("NAME", "name"),
    Column("ADDRESS", "config.address"),
    Column("AS", "config.asn", right=True),
    *_STATUS,
)
DESTINATION_ROUTES = (
    Column("NAME", "name"),
    Column("GATEWAY", "config.vpn_gateway"),
    Column("DESTINATION", "config.destination"),
    Column("CONNECTION", "config.vpn_connection"),
    Column("PUBLISHED", "config.publish"),
    *_STATUS,
)
POLICY_ROUTES = (
    Column("NAME", "name"),
    Column("GATEWAY", "config.vpn_gateway"),
    Column("PRIORITY", "config.priority", right=True),
    Column("SOURCE", "config.source"),
    Column("DESTINATION", "config.destination"),
    Column("CONNECTION", "config.vpn_connection"),
    Column("PUBLISHED", "config.publish"),
    *_STATUS,
)
VPC_ROUTES = (
    Column("NAME", "name"),
    Column("VPC", "config.vpc"),
    Column("DESTINATION", "config.destination"),
    Column("NEXT HOP", "config.next_hop", of=lambda item: next_hop(item["config"])),
    Column("INTERFACE", "config.interface", wide=True),
    Column("ADVERTISED", "config.advertise"),
    *_STATUS,
)
TOKENS = (
    Column("ID", "id"),
    Column("NAME", "name"),
    Column("SCOPE", "scope"),
    Column("STATE", "revoked_at", of=lambda item: token_state(item), good=("valid",)),
    Column("CREATED", "created_at", to_seconds),
    Column("EXPIRES", "expires_at", to_seconds),
    Column("LAST USED", "last_used_at", to_seconds),
)
AUDIT = (
    Column("ID", "id", right=True),
    Column("TIME", "time", to_seconds),
    Column("WHO", "actor"),
    Column("FROM", "source"),
    Column("ACTION", "action"),
    Column("KIND", "kind"),
    Column("NAME", "name"),
    Column("CHANGES", "new", of=lambda item: ", ".join(changed_fields(item["old"], item["new"]))),
)
ROUTES = (
    Column("PREFIX", "prefix"),
    Column("STATE", "state", good=("installed",)),
    Column("TUNNEL", "session"),
    Column("NEXT HOP", "candidates.0.next_hop"),
    Column("AS PATH", "candidates.0.as_path"),
    Column("PATHS", "candidates", count, right=True),
    Column("WHY NOT INSTALLED", "reason_text"),
    Column("INTERFACE", "interface", wide=True),
    Column("LOCAL PREF", "candidates.0.local_pref", wide=True, right=True),
    Column("MED", "candidates.0.med", wide=True, right=True),
    Column("COMMUNITIES", "candidates.0.communities", wide=True),
    Column("GROUP", "nexthop_group", wide=True, right=True),
)
TABLE = (
    Column("PREFIX", "prefix"),
    Column("NEXT HOP", "next_hop"),
    Column("INTERFACE", "interface"),
    Column("TUNNEL", "session"),
    Column("BACKUP", "backup_session"),
    Column("METRIC", "metric", right=True),
    Column("SOURCE", "source"),
    Column("CONNECTION", "connection", wide=True),
    Column("TABLE", "table", wide=True, right=True),
    Column("GROUP", "nexthop_group", wide=True, right=True),
)
EVENTS = (
    Column("ID", "id", right=True),
    Column("TIME", "time", to_seconds),
    Column("SEVERITY", "severity", good=("info",)),
    Column("KIND", "kind"),
    Column("SUBJECT", "subject"),
    Column("MESSAGE", "message"),
    Column("DATA", "data", plain, wide=True),
)
