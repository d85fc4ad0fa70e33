"""Static, published and custom routes that get in each other's way, in words.

Within a VPC lookups go through policy-based routes by priority, then destination-based ones, then the VPC's
table. So of two routes that overlap, one takes the other's packets; that is legal and easily meant otherwise.
Routes over the same connection lead to the same place and are left out.

Networks either contain each other or have nothing in common. Sorted by address and length, what contains a
network comes before it and is all that a stack has to hold: one pass finds every pair.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING

from bgpsvc.resources.draft import Fault, IPNetwork, Path
from bgpsvc.resources.traffic import AUTOMATIC_PRIORITY, pairs

if TYPE_CHECKING:
    from bgpsvc.resources.models import Intent

_NAMED = 3
_CONTAINED = 10


class _How(Enum):
    BEFORE = "which {verb} looked up first"
    EQUAL = "of the same priority; different priorities would say which is looked up first"
    INSIDE = "for its own addresses the longer one is used"


@dataclass(frozen=True, slots=True)
class _Span:
    """A network as numbers: its version, first and last address, and length."""

    version: int
    first: int
    last: int
    length: int

    @staticmethod
    def of(network: IPNetwork) -> _Span:
        first = int(network.network_address)
        size = 1 << (network.max_prefixlen - network.prefixlen)
        return _Span(network.version, first, first + size - 1, network.prefixlen)

    def contains(self, other: _Span) -> bool:
        return self.first <= other.first and other.last <= self.last


@dataclass(frozen=True, slots=True)
class _Route:
    """`stage` counts from the one that is looked up first; `priority` is 0 behind the first stage."""

    stage: int
    path: Path
    label: str
    networks: tuple[IPNetwork, ...]
    """Source, if the route is policy-based, and destination."""
    destination: _Span
    connection: str | None
    source: _Span | None = None
    priority: int = 0

    @property
    def words(self) -> str:
        """`policy-based route office (from 10.0.0.0/16 to 172.16.0.0/12)`."""
        text = " to ".join(map(str, self.networks))
        return f"{self.label} ({'from ' if self.stage == 0 else ''}{text})"


@dataclass
class _Bucket:
    """The routes to one destination."""

    destination: _Span
    others: list[_Route] = field(default_factory=list)
    policies: list[_Route] = field(default_factory=list)

    @cached_property
    def by_source(self) -> list[tuple[int, int, _Route]]:
        """Policy-based routes by the first address of their source, the larger source first."""
        found = [(r.source.first, r.source.length, r) for r in self.policies if r.source is not None]
        return sorted(found, key=lambda item: item[:2])

    @cached_property
    def sources(self) -> dict[tuple[int, int], list[_Route]]:
        """The same by first address and length."""
        found: dict[tuple[int, int], list[_Route]] = {}
        for first, length, route in self.by_source:
            found.setdefault((first, length), []).append(route)
        return found

    def around(self, source: _Span) -> Iterator[_Route]:
        """Policy-based routes whose source contains `source` or is it."""
        bits = 32 if source.version == 4 else 128
        for length in range(source.length, -1, -1):
            key = (source.first >> (bits - length) << (bits - length), length)
            yield from self.sources.get(key, ())

    def inside(self, source: _Span) -> Iterator[_Route]:
        """Policy-based routes whose source is smaller than `source` and inside it, some of them."""
        begin = bisect_left(self.by_source, (source.first, source.length + 1), key=lambda item: item[:2])
        end = bisect_right(self.by_source, source.last, key=lambda item: item[0])
        for _, length, route in self.by_source[begin : min(end, begin + _CONTAINED)]:
            if length > source.length:
                yield route

    @cached_property
    def first_policies(self) -> list[_Route]:
        """The policy-based route that is looked up first, and the first one over another connection."""
        ordered = sorted(self.policies, key=lambda route: route.priority)
        other = next((r for r in ordered if r.connection != ordered[0].connection), None)
        return ordered[:1] + ([other] if other is not None else [])


def overlaps(intent: Intent) -> Iterator[Fault]:
    """One warning per route and manner, at the route that is looked up later or that is the longer one."""
    found: dict[tuple[Path, _How], dict[str, None]] = {}
    for routes in _by_vpc(intent).values():
        for later, how, other in _pairs(_buckets(routes)):
            found.setdefault((later.path, how), {})[other.words] = None
    for (path, how), others in found.items():
        named = list(others)[:_NAMED]
        rest = len(others) - len(named)
        text = ", ".join(named) + (f" and {rest} more" if rest else "")
        verb = "are" if len(others) > 1 else "is"
        begin = "lies inside" if how is _How.INSIDE else "overlaps"
        yield Fault(path, f"{begin} {text}{';' if how is _How.INSIDE else ','} {how.value.format(verb=verb)}")


def _by_vpc(intent: Intent) -> dict[str, list[_Route]]:
    found: dict[str, list[_Route]] = {}
    vpcs = {gateway.name: gateway.vpc for gateway in intent.vpn_gateways}
    for index, connection in enumerate(intent.vpn_connections):
        if connection.routing_mode == "interesting_traffic":
            path: Path = ("vpn_connections", index, "remote_cidrs")
            label = f"interesting traffic of connection {connection.name}"
            for pair in pairs(connection.local_cidrs, connection.remote_cidrs):
                route = _policy(path, label, pair, connection.name, AUTOMATIC_PRIORITY)
                found.setdefault(vpcs[connection.vpn_gateway], []).append(route)
    for index, policy in enumerate(intent.policy_routes):
        path = ("policy_routes", index, "destination")
        label = f"policy-based route {policy.name}"
        pair = (policy.source, policy.destination)
        route = _policy(path, label, pair, policy.vpn_connection, policy.priority)
        found.setdefault(vpcs[policy.vpn_gateway], []).append(route)
    for index, static in enumerate(intent.destination_routes):
        path = ("destination_routes", index, "destination")
        label, network = f"destination-based route {static.name}", static.destination
        route = _Route(1, path, label, (network,), _Span.of(network), static.vpn_connection)
        found.setdefault(vpcs[static.vpn_gateway], []).append(route)
    for index, custom in enumerate(intent.vpc_routes):
        path = ("vpc_routes", index, "destination")
        label, network = f"custom route {custom.name}", custom.destination
        route = _Route(2, path, label, (network,), _Span.of(network), None)
        found.setdefault(custom.vpc, []).append(route)
    return found


def _policy(
    path: Path, label: str, pair: tuple[IPNetwork, IPNetwork], connection: str, priority: int
) -> _Route:
    source, destination = map(_Span.of, pair)
    return _Route(0, path, label, pair, destination, connection, source, priority)


def _buckets(routes: Iterable[_Route]) -> list[_Bucket]:
    made: dict[_Span, _Bucket] = {}
    for route in routes:
        bucket = made.get(route.destination)
        if bucket is None:
            bucket = made[route.destination] = _Bucket(route.destination)
        (bucket.policies if route.stage == 0 else bucket.others).append(route)
    return sorted(
        made.values(), key=lambda b: (b.destination.version, b.destination.first, b.destination.length)
    )


def _pairs(buckets: Iterable[_Bucket]) -> Iterator[tuple[_Route, _How, _Route]]:
    """(the route that gets the warning, in which manner, the other one)"""
    stack: list[_Bucket] = []
    for bucket in buckets:
        while stack and not (
            stack[-1].destination.version == bucket.destination.version
            and stack[-1].destination.contains(bucket.destination)
        ):
            stack.pop()
        yield from _judged(_within(bucket))
        for outer in stack:
            yield from _judged(_between(bucket, outer))
        stack.append(bucket)


def _judged(found: Iterable[tuple[_Route, _Route]]) -> Iterator[tuple[_Route, _How, _Route]]:
    for inner, outer in found:
        if inner is outer or (inner.connection == outer.connection and inner.connection is not None):
            continue
        mine, theirs = (inner.stage, inner.priority), (outer.stage, outer.priority)
        if mine == theirs:
            yield inner, _How.EQUAL if inner.stage == 0 else _How.INSIDE, outer
        elif mine > theirs:
            yield inner, _How.BEFORE, outer
        else:
            yield outer, _How.BEFORE, inner


def _within(bucket: _Bucket) -> Iterator[tuple[_Route, _Route]]:
    for policy in bucket.policies:
        if policy.source is not None:
            yield from ((policy, other) for other in bucket.around(policy.source))
    for number, route in enumerate(bucket.others):
        yield from ((route, first) for first in _some(bucket))
        yield from ((route, other) for other in bucket.others[:number])


def _between(inner: _Bucket, outer: _Bucket) -> Iterator[tuple[_Route, _Route]]:
    for policy in inner.policies:
        if policy.source is not None and outer.policies:
            yield from ((policy, other) for other in outer.around(policy.source))
            yield from ((policy, other) for other in outer.inside(policy.source))
        yield from ((policy, other) for other in outer.others)
    for route in inner.others:
        yield from ((route, first) for first in _some(outer))
        yield from ((route, other) for other in outer.others)


def _some(bucket: _Bucket) -> list[_Route]:
    return bucket.first_policies if bucket.policies else []
