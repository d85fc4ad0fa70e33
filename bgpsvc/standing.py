"""Whether a route that is configured is also in the kernel, and if not, why. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from bgpsvc.engine import Engine


def why_not(engine: Engine, problems: Mapping[str, str], kind: str, name: str) -> str | None:
    """Why packets do not take a static, policy-based or custom route now; None if they may.

    `problems` are those of custom routes, by name, as the kernel gave them.
    """
    if kind == "vpc_routes":
        problem = problems.get(name)
        return None if problem is None else f"not in the kernel: {problem}"
    if kind not in ("destination_routes", "policy_routes"):
        return None
    route = engine.intent.find(kind, name)
    connection = getattr(route, "vpn_connection", None)
    switch = None if connection is None else engine.switchboard.switches.get(connection)
    if switch is None or switch.carrying is not None:
        return None
    return f"not in the kernel: no tunnel of {connection} is live"
