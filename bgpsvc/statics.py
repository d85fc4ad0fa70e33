"""Static routes of one VPN gateway: destination-based, policy-based, and published into the VPC's table.

Each has a forwarding class over the tunnels of its connection in the order of their roles, so a switchover
replaces one group for them too. Where they stand (numbers: `ids.TableNumbers`):

- destination-based: a table of their own for the VPC, so that they come before every learned route,
  however specific that is; among them the longest match wins.
- policy-based: the rules of `fib.rules` choose by source and destination and look into a table for the
  connection, which holds a default route over its tunnels. While no tunnel lives that table is empty, and
  the lookup falls through to the next stage.
- published ones of both kinds: besides, their destination stands in the VPC's own table, where it comes
  before a learned route to the same prefix.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from ipaddress import IPv4Network, IPv6Network

from bgpsvc.bulk import grouped
from bgpsvc.fib.plan import Fib
from bgpsvc.fib.table import NOTHING, Desired, RouteTable, Target
from bgpsvc.forwarding import Forwarding, StaticClass
from bgpsvc.ids import TableNumbers
from bgpsvc.model import Family, Prefix, SessionId, pack_prefix
from bgpsvc.resources import Intent
from bgpsvc.resources.automatic import policy_routes_of
from bgpsvc.resources.models import DestinationRoute, PolicyRoute, VpcRoute
from bgpsvc.tunnels import Hop, Tunnel, tunnels_of
from bgpsvc.views import RouteSource

DEFAULT = {Family.IPV4: Prefix(bytes(5)), Family.IPV6: Prefix(bytes(17))}
"""0.0.0.0/0 and ::/0."""

Hops = tuple[Hop, ...]
_Wanted = dict[int, dict[Prefix, Hops]]


class RouteIndex:
    """Static routes of an intent by VPN gateway, automatic ones included, and custom routes by VPC."""

    def __init__(self, intent: Intent) -> None:
        self._destinations: dict[str, list[DestinationRoute]] = {}
        self._policies: dict[str, list[PolicyRoute]] = {}
        for route in intent.destination_routes:
            self._destinations.setdefault(route.vpn_gateway, []).append(route)
        for policy in policy_routes_of(intent):
            self._policies.setdefault(policy.vpn_gateway, []).append(policy)

        self._custom: dict[str, list[VpcRoute]] = {}
        for custom in intent.vpc_routes:
            self._custom.setdefault(custom.vpc, []).append(custom)

    def custom(self, vpc: str) -> Sequence[VpcRoute]:
        """Custom routes of a VPC, in the order of the intent."""
        return self._custom.get(vpc, ())

    def destinations(self, gateway: str | None) -> Sequence[DestinationRoute]:
        """Destination-based routes, in the order of the intent."""
        return self._destinations.get(gateway or "", ())

    def policies(self, gateway: str | None) -> Sequence[PolicyRoute]:
        """Policy-based routes, in the order of the intent."""
        return self._policies.get(gateway or "", ())


class StaticRoutes:
    """Static routes of one gateway. `published_changed` hears of prefixes of the VPC's table to look at."""

    def __init__(
        self,
        gateway: str,
        fib: Fib,
        forwarding: Forwarding,
        tunnels: Mapping[SessionId, Tunnel],
        numbers: TableNumbers,
        published_changed: Callable[[Iterable[Prefix]], None],
    ) -> None:
        self._gateway = gateway
        self._fib = fib
        self._forwarding = forwarding
        self._tunnels = tunnels
        self._numbers = numbers
        self._published_changed = published_changed
        self._classes: dict[Hops, StaticClass] = {}
        self._tables: dict[int, dict[Prefix, StaticClass]] = {}
        """Kernel table to its routes."""
        self._desired: dict[int, Desired] = {}
        """Kernel table to what was given to the FIB for it."""
        self.published: dict[Prefix, StaticClass] = {}
        self._sources: dict[Prefix, RouteSource] = {}

    def configure(self, vpc: str, routes: RouteIndex) -> None:
        """Take over the routes of an intent, whose tunnels must be known already; `vpc` is the gateway's."""
        tables, published = self._wanted(vpc, routes)
        used = dict.fromkeys(h for routes in (*tables.values(), published) for h in routes.values())
        classes = {hops: self._classes.get(hops) or self._forwarding.static_class(hops) for hops in used}
        self._put(
            {n: {p: classes[hops] for p, hops in routes.items()} for n, routes in tables.items()},
            {p: classes[hops] for p, hops in published.items()},
        )
        counts = Counter(
            forwarding.ident for routes in self._tables.values() for forwarding in routes.values()
        )
        for forwarding in classes.values():
            forwarding.count = counts[forwarding.ident]
        superfluous = [c for hops, c in self._classes.items() if hops not in classes]
        self._classes = classes
        for forwarding in superfluous:
            self._forwarding.drop(forwarding)

    def forget(self, session: SessionId) -> None:
        """A tunnel is about to be removed: no route may lead over it. `configure` follows."""
        gone = {c for c in self._classes.values() if any(hop.session == session for hop in c.hops)}
        if not gone:
            return
        self._put(
            {n: {p: c for p, c in routes.items() if c not in gone} for n, routes in self._tables.items()},
            {p: c for p, c in self.published.items() if c not in gone},
        )
        self._classes = {hops: c for hops, c in self._classes.items() if c not in gone}
        for forwarding in gone:
            self._forwarding.drop(forwarding)

    def clear(self) -> None:
        """The gateway is removed: all its static routes go."""
        self._put({}, {})
        classes, self._classes = self._classes, {}
        for forwarding in classes.values():
            self._forwarding.drop(forwarding)

    def mark(self, forwarding: StaticClass) -> None:
        """The class became usable or unusable: look at its routes again."""
        for number, routes in self._tables.items():
            self._fib.tables[number].mark([p for p, c in routes.items() if c is forwarding])
        self._published_changed([p for p, c in self.published.items() if c is forwarding])

    def stands_published(self, prefix: Prefix) -> bool:
        """A published route to the prefix stands (or is about to) in the VPC's table, as a tunnel lives."""
        return prefix in self.published and self.published[prefix].target[0] is not None

    def source_of(self, prefix: Prefix, group: int) -> RouteSource:
        """Where a route of the VPC's table comes from, by the group it names."""
        found = self.published.get(prefix)
        return self._sources[prefix] if found is not None and found.ident == group else "bgp"

    @property
    def tables(self) -> tuple[int, ...]:
        """Kernel tables that have routes."""
        return tuple(self._tables)

    @property
    def classes(self) -> tuple[StaticClass, ...]:
        """The forwarding classes."""
        return tuple(self._classes.values())

    # Wishes -----------------------------------------------------------------------------------

    def _wanted(self, vpc: str, routes: RouteIndex) -> tuple[_Wanted, dict[Prefix, Hops]]:
        """Routes by table, and the published ones."""
        tables: _Wanted = {}
        published: dict[Prefix, Hops] = {}
        self._sources = {}
        for route in routes.destinations(self._gateway):
            table = tables.setdefault(self._numbers.destination(vpc), {})
            table[_packed(route.destination)] = self._hops(route)
            self._publish(route, "destination_based", published)
        for policy in routes.policies(self._gateway):
            table = tables.setdefault(self._numbers.policy(policy.vpn_connection), {})
            table[DEFAULT[Family(policy.destination.version)]] = self._hops(policy)
            self._publish(policy, "policy_based", published)
        return tables, published

    def _publish(
        self, route: DestinationRoute | PolicyRoute, source: RouteSource, published: dict[Prefix, Hops]
    ) -> None:
        prefix = _packed(route.destination)
        if route.publish and prefix not in published:
            published[prefix] = self._hops(route)
            self._sources[prefix] = source

    def _hops(self, route: DestinationRoute | PolicyRoute) -> Hops:
        family = Family(route.destination.version)
        tunnels = tunnels_of(self._tunnels, route.vpn_connection)
        return tuple(Hop(t.session, _next_hop(t, family)) for t in tunnels)

    # Tables -----------------------------------------------------------------------------------

    def _put(
        self, tables: dict[int, dict[Prefix, StaticClass]], published: dict[Prefix, StaticClass]
    ) -> None:
        before, self._tables = self._tables, tables
        for number in before:
            if number not in tables:
                self._leave(number)
        for number, routes in tables.items():
            self._add(number).mark(_differing(before.get(number, {}), routes))
        old, self.published = self.published, published
        self._published_changed(_differing(old, published))

    def _add(self, number: int) -> RouteTable:
        if number not in self._desired:
            self._desired[number] = partial(self._targets, number)
        return self._fib.add_table(number, self._desired[number])

    def _targets(self, number: int, prefixes: Sequence[Prefix]) -> Mapping[Target, Collection[Prefix]]:
        routes = self._tables.get(number, {})
        return grouped(prefixes, (routes[p].target if p in routes else NOTHING for p in prefixes))

    def _leave(self, number: int) -> None:
        # The table of a connection that moved to another gateway is that one's already, perhaps.
        if self._fib.tables[number].desired is self._desired.pop(number):
            self._fib.retire(number)


def _differing(before: Mapping[Prefix, StaticClass], after: Mapping[Prefix, StaticClass]) -> list[Prefix]:
    return [p for p in {**before, **after} if before.get(p) is not after.get(p)]


def _packed(network: IPv4Network | IPv6Network) -> Prefix:
    return pack_prefix(network.network_address.packed, network.prefixlen)


def _next_hop(tunnel: Tunnel, family: Family) -> bytes:
    settings = tunnel.settings
    known = settings.peer_address if family is Family.IPV4 else settings.peer_address6
    return known or bytes(4 if family is Family.IPV4 else 16)
