"""Where the kernel's lookup of a prefix ends, stage by stage. Pure; reads the engine, changes nothing.

The stages are those of `fib.rules`: the networks that are connected and the system's own routes, policy-based
routes by priority, destination-based routes by longest match, the VPC's table. A stage that has no route
passes the packet on, so a learned route may be perfectly installed and never be asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from bgpsvc.engine import Engine
from bgpsvc.gateway import Gateway
from bgpsvc.insight import LookupStage, LookupStep
from bgpsvc.model import Prefix, covers, format_prefix, pack_prefix

DEFAULT_PRIORITY = 10
"""Of the policy-based routes that a connection in interesting-traffic mode makes (models.PolicyRoute)."""


@dataclass(frozen=True, slots=True)
class StaticRoute:
    """A configured route of any kind. `source` is None where packets from everywhere follow it; `connection`
    is None for a custom VPC route."""

    words: str
    destination: Prefix
    source: Prefix | None = None
    connection: str | None = None
    priority: int = 0


def covering(prefix: Prefix) -> Iterator[Prefix]:
    """The prefix and all that cover it, the longest first."""
    size = len(prefix) - 1
    number = int.from_bytes(prefix[:-1], "big")
    for length in range(prefix[-1], -1, -1):
        host_bits = size * 8 - length
        yield pack_prefix((number >> host_bits << host_bits).to_bytes(size, "big"), length)


def packed(network: IPv4Network | IPv6Network) -> Prefix:
    """A network of a resource as the core has it."""
    return pack_prefix(network.network_address.packed, network.prefixlen)


def lookup_order(engine: Engine, gateway: Gateway, prefix: Prefix) -> tuple[LookupStep, ...]:
    """The stages in their order, with what each has for the prefix. At most one of them wins."""
    steps: list[LookupStep] = []
    won = False
    for stage, (route, all_packets, text) in (
        ("connected_or_system", _connected(engine, prefix)),
        ("policy_based", _policy_based(engine, gateway, prefix)),
        ("destination_based", _destination_based(engine, gateway, prefix)),
        ("vpc_table", _vpc_table(engine, gateway, prefix)),
    ):
        name: LookupStage = stage  # type: ignore[assignment]  # the literals above
        wins = all_packets and not won
        if all_packets and won:
            text += "; packets do not get here"
        won = won or wins
        steps.append(LookupStep(name, route, wins, text))
    return tuple(steps)


_Answer = tuple[str | None, bool, str]
"""The route in words, whether all packets to the prefix end there, and the sentence about it."""


def _connected(engine: Engine, prefix: Prefix) -> _Answer:
    own = sorted((c for c in engine.connected if covers(c, prefix) and c[-1] > 0), key=lambda c: -c[-1])
    if own:
        name = format_prefix(own[0])
        return f"connected network {name}", True, f"{name} is directly connected, packets go there"
    inside = [format_prefix(c) for c in engine.connected if covers(prefix, c)]
    if inside:
        names = ", ".join(inside)
        return f"connected networks {names}", False, f"only packets to {names}, inside it, end here"
    text = "no connected network covers it; other routes of the system, but for its default, are asked too"
    return None, False, text


def policy_routes(engine: Engine, gateway: str) -> list[StaticRoute]:
    """The policy-based routes of a VPN gateway in the order in which they are asked."""
    found = [
        StaticRoute(
            f"policy-based route {r.name} (priority {r.priority}, from {r.source} to {r.destination})",
            packed(r.destination),
            packed(r.source),
            r.vpn_connection,
            r.priority,
        )
        for r in engine.intent.policy_routes
        if r.vpn_gateway == gateway
    ]
    for connection in engine.intent.connections_of(gateway):
        found += [
            StaticRoute(
                f"interesting traffic of {connection.name} "
                f"(priority {DEFAULT_PRIORITY}, from {local} to {remote})",
                packed(remote),
                packed(local),
                connection.name,
                DEFAULT_PRIORITY,
            )
            for local in connection.local_cidrs
            for remote in connection.remote_cidrs
            if local.version == remote.version
        ]
    return sorted(found, key=lambda route: route.priority)


def _policy_based(engine: Engine, gateway: Gateway, prefix: Prefix) -> _Answer:
    partial: list[str] = []
    for route in policy_routes(engine, gateway.name):
        if not (covers(route.destination, prefix) or covers(prefix, route.destination)):
            continue
        if not _usable(engine, route):
            partial.append(f"{route.words} is passed over: no tunnel of {route.connection} is usable")
        elif not covers(route.destination, prefix):
            partial.append(f"{route.words} takes those to {format_prefix(route.destination)}")
        elif _all_sources(gateway, route):
            text = f"its source covers the VPC, packets leave over {_over(engine, route)}"
            return route.words, True, "; ".join([*partial, text])
        else:
            assert route.source is not None
            partial.append(f"{route.words} takes those from {format_prefix(route.source)}")
    if partial:
        return partial[0].partition(" takes ")[0].partition(" is passed")[0], False, "; ".join(partial)
    return None, False, "no policy-based route is for it"


def _all_sources(gateway: Gateway, route: StaticRoute) -> bool:
    sources = [p for p in gateway.vpc_prefixes if len(p) == len(route.destination)]
    return route.source is None or all(covers(route.source, p) for p in sources)


def _destination_based(engine: Engine, gateway: Gateway, prefix: Prefix) -> _Answer:
    routes = [
        StaticRoute(
            f"destination-based route {r.name} ({r.destination})",
            packed(r.destination),
            connection=r.vpn_connection,
        )
        for r in engine.intent.destination_routes
        if r.vpn_gateway == gateway.name
    ]
    passed: list[str] = []
    for route in _longest_first(routes, prefix):
        if _usable(engine, route):
            text = f"packets leave over {_over(engine, route)}"
            return route.words, True, "; ".join([*passed, text])
        passed.append(f"{route.words} is passed over: no tunnel of {route.connection} is usable")
    inside = [r.words for r in routes if covers(prefix, r.destination) and r.destination != prefix]
    if inside:
        passed.append(f"only packets to what is inside it end here: {', '.join(inside)}")
    if passed:
        return (inside or [routes[0].words])[0], False, "; ".join(passed)
    return None, False, "no destination-based route covers it"


def _vpc_table(engine: Engine, gateway: Gateway, prefix: Prefix) -> _Answer:
    configured = next(iter(_longest_first(_in_vpc_table(engine, gateway), prefix)), None)
    learned = next((p for p in covering(prefix) if p in gateway.table.primary), None)
    table = gateway.vpc.route_table
    if configured is not None and (learned is None or configured.destination[-1] >= learned[-1]):
        text = f"it is in table {table}"
        if learned is not None:
            text += f", before the learned route to {format_prefix(learned)}"
        return configured.words, True, text
    if learned is None:
        return None, False, f"table {table} has no route that covers it"
    words = f"learned route {format_prefix(learned)}"
    if learned != prefix:
        return words, True, f"a less specific route of table {table} takes the packets"
    return words, True, f"it is in table {table}"


def _in_vpc_table(engine: Engine, gateway: Gateway) -> list[StaticRoute]:
    intent = engine.intent
    found = [
        StaticRoute(f"custom route {r.name} ({r.destination})", packed(r.destination))
        for r in intent.vpc_routes
        if r.vpc == gateway.vpc.name
    ]
    for label, routes in (
        ("destination-based", intent.destination_routes),
        ("policy-based", intent.policy_routes),
    ):
        found += [
            StaticRoute(
                f"published {label} route {r.name} ({r.destination})",
                packed(r.destination),
                connection=r.vpn_connection,
            )
            for r in routes
            if r.publish and r.vpn_gateway == gateway.name
        ]
    return [route for route in found if _usable(engine, route)]


def _longest_first(routes: Iterable[StaticRoute], prefix: Prefix) -> list[StaticRoute]:
    return sorted((r for r in routes if covers(r.destination, prefix)), key=lambda r: -r.destination[-1])


def _usable(engine: Engine, route: StaticRoute) -> bool:
    return route.connection is None or _carrying(engine, route.connection) is not None


def _carrying(engine: Engine, connection: str) -> str | None:
    return engine.switchboard.carrying(connection, engine.modes)


def _over(engine: Engine, route: StaticRoute) -> str:
    return _carrying(engine, route.connection or "") or ""
