"""Policy-based routes that nobody wrote: a connection in interesting-traffic mode makes them."""

from __future__ import annotations

from collections.abc import Iterator

from bgpsvc.resources.models import Intent, PolicyRoute
from bgpsvc.resources.traffic import AUTOMATIC_PRIORITY, automatic_name, pairs


def policy_routes_of(intent: Intent) -> tuple[PolicyRoute, ...]:
    """All policy-based routes: those that were made, and those that interesting traffic makes by itself.

    An automatic one is named `<connection>-auto-<number>`, numbers from 1, and is not published.
    """
    return (*intent.policy_routes, *_automatic(intent))


def _automatic(intent: Intent) -> Iterator[PolicyRoute]:
    for connection in intent.vpn_connections:
        if connection.routing_mode != "interesting_traffic":
            continue
        wished = pairs(connection.local_cidrs, connection.remote_cidrs)
        for number, (source, destination) in enumerate(wished, 1):
            # Not judged again: the networks were when the connection was made, and the name is ours alone.
            yield PolicyRoute.model_construct(
                name=automatic_name(connection.name, number),
                vpn_gateway=connection.vpn_gateway,
                source=source,
                destination=destination,
                vpn_connection=connection.name,
                priority=AUTOMATIC_PRIORITY,
                publish=False,
            )
