"""Whether a route that is configured is also in the kernel, and if not, why. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from bgpsvc.engine import Engine
from bgpsvc.fib.ops import METRIC_PRIMARY
from bgpsvc.fib.rules import packed
from bgpsvc.lookup_order import carrying
from bgpsvc.model import Family, SessionId
from bgpsvc.resources.models import DestinationRoute, PolicyRoute
from bgpsvc.statics import DEFAULT


def why_not(engine: Engine, problems: Mapping[str, str], kind: str, name: str) -> str | None:
    """Why packets do not take a static, policy-based or custom route now; None if they may.

    `problems` are those of custom routes, by name, as the kernel gave them.
    """
    if kind == "vpc_routes":
        problem = problems.get(name)
        return None if problem is None else f"not in the kernel: {problem}"
    route = engine.intent.find(kind, name)
    if not isinstance(route, DestinationRoute | PolicyRoute):
        return None
    session = carrying(engine, route.vpn_connection)
    if session is None:
        return f"not in the kernel: no tunnel of {route.vpn_connection} is usable"
    return _refused(engine, route, session)


def _refused(engine: Engine, route: DestinationRoute | PolicyRoute, session: SessionId) -> str | None:
    """What the kernel says to a route that should be there by now."""
    gateway = engine.gateways[route.vpn_gateway]
    if isinstance(route, PolicyRoute):
        number, prefix = (
            engine.numbers.policy(route.vpn_connection),
            DEFAULT[Family(route.destination.version)],
        )
    else:
        number, prefix = engine.numbers.destination(gateway.vpc.name), packed(route.destination)
    table = engine.fib.tables.get(number)
    if table is None or prefix in table.primary:
        return None
    error = table.failed.get((prefix, METRIC_PRIMARY))
    of_nexthops = map(engine.fib.failed_ids.get, gateway.forwarding.nexthop_ids(session))
    error = error or next(filter(None, of_nexthops), None)
    if error is None:
        return "not in the kernel: it is on its way"
    return f"not in the kernel, which refused it over {engine.tunnels[session].interface}: {error.text}"
