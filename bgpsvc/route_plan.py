"""What a change of the configuration does to the kernel's rules and routes, and to what peers hear. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Literal

from bgpsvc.control import PlannedEffect
from bgpsvc.engine import Engine
from bgpsvc.events import Advertisement
from bgpsvc.fib.rules import (
    BEHIND,
    PREFERENCE_BGP,
    PREFERENCE_DEAD_END,
    PREFERENCE_ENDPOINT,
    PREFERENCE_ISOLATION,
    PREFERENCE_OWN_DEFAULT,
    PREFERENCE_STATIC,
    PREFERENCE_SYSTEM,
    Rule,
    endpoints,
    lookups,
    packed,
    wanted,
)
from bgpsvc.gateway import Gateway
from bgpsvc.hypothetical import Hypothetical
from bgpsvc.ids import TableNumbers
from bgpsvc.model import Family, Prefix, SessionId, SwitchMode, format_address, format_prefix
from bgpsvc.resources import Intent
from bgpsvc.resources.automatic import policy_routes_of
from bgpsvc.tunnels import choose

NAMED = 5
"""How many prefixes of a set are named."""
_STAGES = {
    PREFERENCE_OWN_DEFAULT: "what enters at a VPC's interfaces may take the system's default route",
    PREFERENCE_DEAD_END: "and ends there, before the VPCs without interfaces",
    PREFERENCE_ENDPOINT: "packets to tunnel endpoints look into the main table",
    PREFERENCE_ISOLATION: "networks of other VPCs are unreachable",
    PREFERENCE_SYSTEM: "connected and system routes come first",
    PREFERENCE_STATIC: "destination-based routes",
    PREFERENCE_BGP: "learned, published and custom routes",
}

Action = Literal["add", "remove", "move"]


def some(prefixes: Iterable[Prefix], count: int) -> str:
    """`10.0.0.0/8, 192.168.0.0/16 and 7 more`."""
    named = [format_prefix(p) for p in islice(prefixes, NAMED)]
    more = f" and {count - len(named)} more" if count > len(named) else ""
    return ", ".join(named) + more


# Kernel: rules and configured routes --------------------------------------------------------------


def shared_rules(before: Intent, after: Intent) -> Iterator[PlannedEffect]:
    """Rules that all VPCs share; they stand while there is any."""
    old, new = (bool(i.vpn_gateways or i.vpc_routes) for i in (before, after))
    addresses = (endpoints(before) if old else set(), endpoints(after) if new else set())
    yield from _endpoint_rules("add", addresses[1] - addresses[0])
    yield from _endpoint_rules("remove", addresses[0] - addresses[1])
    if old != new:
        action: Action = "add" if new else "remove"
        yield PlannedEffect(
            action, f"policy rule {PREFERENCE_SYSTEM}", _STAGES[PREFERENCE_SYSTEM], len(Family)
        )


def _endpoint_rules(action: Action, addresses: set[bytes]) -> Iterator[PlannedEffect]:
    if addresses:
        names = ", ".join(format_address(a) for a in sorted(addresses)[:NAMED])
        text = f"{_STAGES[PREFERENCE_ENDPOINT]}: {names}"
        yield PlannedEffect(action, f"policy rule {PREFERENCE_ENDPOINT}", text, len(addresses))


def kernel_effects(old: Intent, new: Intent) -> Iterator[PlannedEffect]:
    """Rules, tables, guards and configured routes of VPCs that come, go or change."""
    numbers = TableNumbers()
    before, after = lookups(old, numbers), lookups(new, numbers)
    rules, wished = set(wanted(before, ())), set(wanted(after, ()))
    yield from _rules("add", wished - rules)
    yield from _rules("remove", rules - wished)
    yield from _tables(old, new, {v.table for v in before}, {v.table for v in after})
    yield from _configured(_routes(old), _routes(new))


def _rules(action: Action, rules: set[Rule]) -> Iterator[PlannedEffect]:
    counts = Counter(rule.preference for rule in rules if rule.preference != PREFERENCE_SYSTEM)
    for preference in sorted(counts):
        detail = _STAGES.get(preference) or _STAGES.get(preference - BEHIND, "policy-based routes")
        yield PlannedEffect(action, f"policy rule {preference}", detail, counts[preference])


def _tables(old: Intent, new: Intent, before: set[int], after: set[int]) -> Iterator[PlannedEffect]:
    # Of each side by itself: a table may pass from one VPC to another.
    owners, owned = ({vpc.route_table: vpc.name for vpc in intent.vpcs} for intent in (old, new))
    for number in sorted(after - before):
        yield PlannedEffect("add", f"table {number}", f"routes of VPC {owned[number]}")
    for number in sorted(before - after):
        yield PlannedEffect("remove", f"table {number}", f"all our routes in it, of VPC {owners[number]}")
    cidrs = [{(v.route_table, packed(c)) for v in intent.vpcs for c in v.cidrs} for intent in (old, new)]
    for number, prefix in sorted(cidrs[1] - cidrs[0]):
        text = f"table {number} leaves the VPC's own addresses alone, learned routes inside are refused"
        yield PlannedEffect("add", f"guard {format_prefix(prefix)}", text)
    for number, prefix in sorted(cidrs[0] - cidrs[1]):
        yield PlannedEffect("remove", f"guard {format_prefix(prefix)}", f"of table {number}")


def _routes(intent: Intent) -> dict[str, str]:
    """Configured routes: the route in words, to what it does."""
    found = {}
    for d in intent.destination_routes:
        text = f"{d.destination} over {d.vpn_connection}{_also(d.publish)}"
        found[f"destination-based route {d.name}"] = text
    for p in policy_routes_of(intent):
        way = f"from {p.source} to {p.destination}, priority {p.priority}"
        found[f"policy-based route {p.name}"] = f"{way}, over {p.vpn_connection}{_also(p.publish)}"
    for v in intent.vpc_routes:
        hops = [
            f"by {v.next_hop}" if v.next_hop is not None else "",
            f"over {v.interface}" if v.interface else "",
        ]
        way = "blackhole" if v.blackhole else " ".join(filter(None, hops))
        found[f"custom VPC route {v.name}"] = f"{v.destination} {way}, VPC {v.vpc}"
    return found


def _also(publish: bool) -> str:
    return ", published" if publish else ""


def _configured(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[PlannedEffect]:
    for name, text in new.items():
        if name not in old:
            yield PlannedEffect("add", name, text)
        elif old[name] != text:
            yield PlannedEffect("move", name, f"{old[name]} → {text}")
    for name, text in old.items():
        if name not in new:
            yield PlannedEffect("remove", name, text)


# Kernel: learned routes ---------------------------------------------------------------------------


def learned_effects(engine: Engine, name: str, supposed: Hypothetical | None) -> Iterator[PlannedEffect]:
    """Learned routes that come, go and move with propagation and sessions, counted by forwarding class."""
    place = engine.gateways.get(name)
    if place is None:
        return
    counts = _class_counts(engine, place, supposed)
    subject = f"learned routes of {name}"
    on = supposed is not None and supposed.gateway.propagate
    if counts["add"]:
        yield PlannedEffect("add", subject, "automatic propagation is on", counts["add"])
    if counts["remove"]:
        why = "no session that announces them stays" if on else "automatic propagation is off"
        if supposed is None:
            why = "the VPN gateway is removed"
        yield PlannedEffect("remove", subject, why, counts["remove"])
    if counts["move"]:
        yield PlannedEffect("move", subject, "to the next tunnel that announces them", counts["move"])
    if supposed is not None and on:
        yield from _judged_again(engine, place, supposed)


def _class_counts(engine: Engine, place: Gateway, supposed: Hypothetical | None) -> Counter[Action]:
    counts: Counter[Action] = Counter()
    for forwarding in place.rib.every_class():
        before = forwarding.chosen if place.propagate else None
        after = None
        if supposed is not None and supposed.gateway.propagate:
            hops = tuple(hop for hop in forwarding.hops if hop.session in supposed.kept)
            after = choose(hops, supposed.tunnels.__getitem__, lambda c: engine.modes.get(c, SwitchMode.AUTO))
        if before is None and after is not None:
            counts["add"] += forwarding.count
        elif before is not None and after is None:
            counts["remove"] += forwarding.count
        elif before != after:
            counts["move"] += forwarding.count
    return counts


def _judged_again(engine: Engine, place: Gateway, supposed: Hypothetical) -> Iterator[PlannedEffect]:
    """Announcements on which import may have another opinion: only their prefixes can tell."""
    paths = 0
    other_filter = (place.vpc_prefixes, _cidrs(engine, place.name)) != (
        supposed.gateway.vpc_prefixes,
        sorted({p for t in supposed.tunnels.values() for p in t.settings.cidrs}),
    )
    for ident in supposed.kept:
        old, new = engine.sessions[ident], supposed.sessions[ident].settings
        same = (old.settings.policy, old.settings.import_policy, old.settings.accept_default) == (
            new.policy,
            new.import_policy,
            new.accept_default,
        )
        if other_filter or not same:
            adj = old.adj
            paths += len(adj.fresh) + len(adj.stale) + len(adj.refused) + len(adj.shed)
    if paths:
        text = "announced paths are judged again; a simulation tells which routes come, go and move"
        yield PlannedEffect("move", f"learned routes of {place.name}", text, paths)


def _cidrs(engine: Engine, gateway: str) -> list[Prefix]:
    mine = (t.settings for t in engine.tunnels.values())
    return sorted({p for settings in mine if settings.gateway == gateway for p in settings.cidrs})


# Peers --------------------------------------------------------------------------------------------


def peer_effects(engine: Engine, name: str, supposed: Hypothetical | None) -> Iterator[PlannedEffect]:
    """Prefixes that the peer of each session newly hears, hears no more, or hears with other attributes."""
    place = engine.gateways.get(name)
    sessions: dict[SessionId, None] = {}
    if place is not None:
        sessions.update((i, None) for i, s in engine.sessions.items() if s.settings.gateway == name)
    if supposed is not None:
        sessions.update(dict.fromkeys(supposed.sessions))
    for ident in sorted(sessions):
        before: Mapping[Prefix, Advertisement] = {}
        after: Mapping[Prefix, Advertisement] = {}
        if place is not None and ident in engine.sessions:
            before = place.advertisements(engine.sessions[ident].settings)
        if supposed is not None and ident in supposed.sessions:
            after = supposed.gateway.advertisements(supposed.sessions[ident].settings)
        yield from _heard(ident, before, after)


def _heard(
    session: SessionId, before: Mapping[Prefix, Advertisement], after: Mapping[Prefix, Advertisement]
) -> Iterator[PlannedEffect]:
    if before == after:
        return
    more, fewer = sorted(after.keys() - before.keys()), sorted(before.keys() - after.keys())
    others = [p for p, how in after.items() if before.get(p, how) != how]
    if more:
        yield PlannedEffect("announce", session, some(more, len(more)), len(more))
    if fewer:
        yield PlannedEffect("withdraw", session, some(fewer, len(fewer)), len(fewer))
    if others:
        text = f"{some(others, len(others))} with other attributes"
        yield PlannedEffect("change", session, text, len(others))
