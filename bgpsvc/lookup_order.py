"""Where the kernel's lookup of a prefix ends, stage by stage. Pure; reads the engine, changes nothing.

The stages are those of `fib.rules`: the networks that are connected and the system's own routes, policy-based
routes by priority, destination-based routes by longest match, the VPC's table. A stage that has no route
passes the packet on, so a learned route may be perfectly installed and never be asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bgpsvc.engine import Engine
from bgpsvc.fib.rules import networks, packed
from bgpsvc.forwarding import StaticClass
from bgpsvc.gateway import Gateway
from bgpsvc.insight import LookupStage, LookupStep
from bgpsvc.model import Prefix, SessionId, SwitchMode, covers, format_prefix, pack_prefix
from bgpsvc.resources.automatic import policy_routes_of
from bgpsvc.resources.models import DestinationRoute, PolicyRoute
from bgpsvc.tunnels import Hop, choose


@dataclass(frozen=True, slots=True)
class StaticRoute:
    """A configured route of any kind. `source` is None where packets from everywhere follow it; `connection`
    is None for a custom VPC route."""

    words: str
    destination: Prefix
    connection: str | None = None
    source: Prefix | None = None


@dataclass(frozen=True, slots=True)
class _Answer:
    """The route in words, whether all packets to the prefix end there, and a sentence about it."""

    route: str | None
    ends: bool
    text: str


def covering(prefix: Prefix) -> Iterator[Prefix]:
    """The prefix and all that cover it, the longest first."""
    size = len(prefix) - 1
    number = int.from_bytes(prefix[:-1], "big")
    for length in range(prefix[-1], -1, -1):
        host_bits = size * 8 - length
        yield pack_prefix((number >> host_bits << host_bits).to_bytes(size, "big"), length)


def lookup_order(
    engine: Engine, gateway: Gateway, prefix: Prefix, explained: Prefix | None = None
) -> tuple[LookupStep, ...]:
    """The stages in their order, with what each has for the prefix. At most one of them wins.

    `explained` is the learned prefix whose story is told, where that is another one than that of the packets.
    """
    answers: tuple[tuple[LookupStage, _Answer], ...] = (
        ("connected_or_system", _isolated(engine, gateway, prefix) or _connected(engine, prefix)),
        ("policy_based", _policy_based(engine, gateway, prefix)),
        ("destination_based", _destination_based(engine, gateway, prefix)),
        ("vpc_table", _vpc_table(engine, gateway, prefix, explained or prefix)),
    )
    winner = next((stage for stage, answer in answers if answer.ends), None)
    return tuple(
        LookupStep(
            stage,
            answer.route,
            stage == winner,
            answer.text + ("; packets do not get here" if answer.ends and stage != winner else ""),
        )
        for stage, answer in answers
    )


def _isolated(engine: Engine, gateway: Gateway, prefix: Prefix) -> _Answer | None:
    """The network of another VPC that the prefix lies in, if this VPC is kept apart by its interfaces."""
    if not gateway.vpc.interfaces:
        return None
    intent = engine.intent
    owners = {p: vpc.name for vpc in intent.vpcs for p in networks(intent, vpc)}
    owners |= dict.fromkeys(networks(intent, gateway.vpc), gateway.vpc.name)
    network = next((p for p in covering(prefix) if p in owners), None)
    if network is None or owners[network] == gateway.vpc.name:
        return None
    text = f"it is a network of VPC {owners[network]}, and not for what enters at the interfaces of this VPC"
    return _Answer(f"the unreachable route to {format_prefix(network)}", True, text)


def _connected(engine: Engine, prefix: Prefix) -> _Answer:
    network = next((p for p in covering(prefix) if p[-1] > 0 and p in engine.connected), None)
    if network is not None:
        name = format_prefix(network)
        return _Answer(f"connected network {name}", True, f"{name} is directly connected")
    inside = [format_prefix(p) for p in engine.connected if covers(prefix, p)]
    if inside:
        names = ", ".join(inside)
        return _Answer(f"connected networks {names}", False, f"only packets to {names} end here")
    text = "no connected network covers it; other routes of the system, but for its default, are asked too"
    return _Answer(None, False, text)


# Policy-based -------------------------------------------------------------------------------------


def _policy_based(engine: Engine, gateway: Gateway, prefix: Prefix) -> _Answer:
    """The routes in the order of their priorities, up to the first that takes all packets of the VPC."""
    routes = [
        StaticRoute(
            f"policy-based route {r.name} (priority {r.priority}, from {r.source} to {r.destination})",
            packed(r.destination),
            r.vpn_connection,
            packed(r.source),
        )
        for r in sorted(policy_routes_of(engine.intent), key=lambda r: r.priority)
        if r.vpn_gateway == gateway.name and r.source.version == r.destination.version
    ]
    met: list[tuple[str | None, str]] = []
    for route in routes:
        if not (covers(route.destination, prefix) or covers(prefix, route.destination)):
            continue
        over = carrying(engine, route.connection)
        if over is None:
            met.append((None, f"{route.words} is passed over, {_no_tunnel(route)}"))
        elif covers(route.destination, prefix) and _takes_the_vpc(gateway, route):
            texts = [text for _, text in met]
            return _Answer(route.words, True, "; ".join([*texts, f"packets of the VPC leave over {over}"]))
        else:
            met.append((route.words, f"only packets that fit {route.words} leave over {over}"))
    return _partial(met, "no policy-based route fits")


def _partial(met: Sequence[tuple[str | None, str]], otherwise: str) -> _Answer:
    """Routes that take no packet to the prefix or only some: (words of one that takes some, sentence)."""
    route = next((words for words, _ in met if words is not None), None)
    return _Answer(route, False, "; ".join(text for _, text in met) or otherwise)


def _takes_the_vpc(gateway: Gateway, route: StaticRoute) -> bool:
    """Packets from all of the VPC's networks have a source that fits."""
    sources = [p for p in gateway.vpc_prefixes if len(p) == len(route.destination)]
    return route.source is None or (bool(sources) and all(covers(route.source, p) for p in sources))


# Tables -------------------------------------------------------------------------------------------


def _destination_based(engine: Engine, gateway: Gateway, prefix: Prefix) -> _Answer:
    routes = [
        StaticRoute(
            f"destination-based route {r.name} ({r.destination})", packed(r.destination), r.vpn_connection
        )
        for r in engine.intent.destination_routes
        if r.vpn_gateway == gateway.name
    ]
    passed: list[tuple[str | None, str]] = []
    for route in _longest_first(routes, prefix):
        over = carrying(engine, route.connection)
        guard = _guard(gateway, prefix, route.destination)
        if guard is not None:
            passed.append((None, f"{route.words} is not used for {format_prefix(guard)}, the VPC's own"))
        elif over is None:
            passed.append((None, f"{route.words} is passed over, {_no_tunnel(route)}"))
        else:
            texts = [text for _, text in passed]
            return _Answer(route.words, True, "; ".join([*texts, f"packets leave over {over}"]))
    inside = [r for r in routes if covers(prefix, r.destination) and r.destination != prefix]
    passed += [(r.words, f"only packets to {format_prefix(r.destination)} follow {r.words}") for r in inside]
    return _partial(passed, "no destination-based route covers it")


def _vpc_table(engine: Engine, gateway: Gateway, prefix: Prefix, explained: Prefix) -> _Answer:
    """The longest match; of equal ones a custom route comes first, then a published one, then the learned."""
    table = gateway.vpc.route_table
    custom = [
        StaticRoute(f"custom route {r.name} ({r.destination})", packed(r.destination))
        for r in engine.intent.vpc_routes
        if r.vpc == gateway.vpc.name
    ]
    static = _published(engine, gateway)
    found = [(r.destination, r.words) for rs in (custom, static) for r in _longest_first(rs, prefix)[:1]]
    learned = next((p for p in covering(prefix) if _is_learned(gateway, p)), None)
    if learned is not None:
        found.append((learned, f"learned route {format_prefix(learned)}"))
    destination, words = max(found, key=lambda route: route[0][-1], default=(None, ""))  # first of equal ones
    guard = _guard(gateway, prefix, destination, shared=words.startswith("custom"))
    if guard is not None:
        text = f"{format_prefix(guard)} is the VPC's own: what is not connected leaves table {table} unrouted"
        return _Answer(None, False, text)
    if destination is None:
        return _Answer(None, False, f"table {table} has no route that covers it")
    text = f"it is in table {table}"
    if learned is not None and not words.startswith("learned"):
        text += f", before the learned route to {format_prefix(learned)}"
    elif destination != explained:
        text = f"a less specific route of table {table} takes the packets"
    return _Answer(words, True, text)


def published(gateway: Gateway, prefix: Prefix) -> StaticClass | None:
    """The published static route that stands in the VPC's table for the prefix, before any learned one."""
    found = gateway.statics.published.get(prefix)
    return None if found is None or found.chosen is None else found


def _is_learned(gateway: Gateway, prefix: Prefix) -> bool:
    return prefix in gateway.table.primary and published(gateway, prefix) is None


def _published(engine: Engine, gateway: Gateway) -> list[StaticRoute]:
    routes: list[tuple[str, DestinationRoute | PolicyRoute]] = [
        *(("destination-based", r) for r in engine.intent.destination_routes),
        *(("policy-based", r) for r in engine.intent.policy_routes),
    ]
    return [
        StaticRoute(
            f"published {kind} route {r.name} ({r.destination})", packed(r.destination), r.vpn_connection
        )
        for kind, r in routes
        if r.publish and r.vpn_gateway == gateway.name and published(gateway, packed(r.destination))
    ]


def _guard(gateway: Gateway, prefix: Prefix, route: Prefix | None, shared: bool = False) -> Prefix | None:
    """The VPC's network that keeps the prefix out of a table, unless the route is as specific.

    With `shared` a route of the very same prefix comes first: that is how custom routes stand beside guards.
    """
    guard = next((p for p in covering(prefix) if p in gateway.vpc_prefixes), None)
    if guard is None or (route is not None and route[-1] + shared > guard[-1]):
        return None
    return guard


def _longest_first(routes: Iterable[StaticRoute], prefix: Prefix) -> list[StaticRoute]:
    return sorted((r for r in routes if covers(r.destination, prefix)), key=lambda r: -r.destination[-1])


# Connections --------------------------------------------------------------------------------------


def carrying(engine: Engine, connection: str | None) -> SessionId | None:
    """The tunnel over which static routes of a connection lead now; None if none is usable."""
    tunnels = [t for t in engine.switchboard.tunnels_of(connection or "") if not t.revoked]
    hops = tuple(Hop(t.session, b"") for t in tunnels)
    chosen = choose(hops, engine.tunnels.__getitem__, lambda name: engine.modes.get(name, SwitchMode.AUTO))
    return None if chosen is None else chosen.session


def _no_tunnel(route: StaticRoute) -> str:
    return f"no tunnel of {route.connection} is usable"
