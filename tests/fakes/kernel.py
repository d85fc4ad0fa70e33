"""A kernel in memory: keeps nexthops, groups, routes and links, and refuses what the real one refuses.

`tests/netns/test_netlink_contract.py` runs the same scenarios against this and the real one. Only
that differs: link-local IPv6 addresses are not made up when a link comes up, and link changes are
told at once instead of after up to a second.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bgpsvc.fib.codec import check
from bgpsvc.fib.ops import (
    PROTOCOL,
    AddressesChanged,
    DeleteNexthop,
    DeleteRoutes,
    Link,
    LinkGone,
    LinkSeen,
    Nexthop,
    NexthopChanged,
    NexthopGone,
    Notice,
    Op,
    OpError,
    RouteChanged,
    RouteGone,
    SetGroup,
    SetNexthop,
    SetRoutes,
    TableRoutes,
)
from bgpsvc.model import Family, Prefix, covers, pack_prefix, parse_address, prefix_family

_LINK_LOCAL = pack_prefix(parse_address("fe80::"), 10)


@dataclass(slots=True)
class _FakeLink:
    name: str
    ifindex: int
    up: bool = True
    carrier: bool = True
    addresses: list[tuple[bytes, int]] = field(default_factory=list)

    def value(self) -> Link:
        return Link(self.name, self.ifindex, self.up and self.carrier)

    def networks(self) -> Iterator[Prefix]:
        for address, length in self.addresses:
            host_bits = len(address) * 8 - length
            network = int.from_bytes(address, "big") >> host_bits << host_bits
            yield pack_prefix(network.to_bytes(len(address), "big"), length)


class _Refusal(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def _refuse(text: str, code: int = errno.EINVAL) -> _Refusal:
    return _Refusal(code, text)


def by_metric(routes: Mapping[tuple[Prefix, int], int]) -> TableRoutes:
    """Routes by prefix and metric to the form in which `all_routes` tells them."""
    found: TableRoutes = {}
    for (prefix, metric), ident in routes.items():
        found.setdefault(metric, {})[prefix] = ident
    return found


class FakeKernel:
    """State of one network namespace behind `KernelPort`, with what a test may do to it from outside."""

    def __init__(self) -> None:
        self.refused: dict[Prefix, tuple[int, str]] = {}
        """Routes that a test wants refused when they are set: prefix to errno and text."""
        self.history: list[Op] = []
        """Every operation that was applied, in order."""
        self._objects: dict[int, SetNexthop | SetGroup] = {}
        self._routes: dict[int, dict[tuple[Prefix, int], int]] = {}
        self.foreign: dict[tuple[int, Prefix, int], int] = {}
        """Routes of others: (table, prefix, metric) to protocol."""
        self._links: dict[int, _FakeLink] = {1: _FakeLink("lo", 1)}
        self._notices: list[Notice] = []

    # The port

    def apply(self, ops: Sequence[Op]) -> list[OpError]:
        """See `bgpsvc.fib.netlink.Kernel.apply`."""
        for op in ops:
            check(op)
        self.history += ops
        return [error for op in ops for error in self._apply(op)]

    def apply_routes(self, ops: Sequence[SetRoutes | DeleteRoutes]) -> list[OpError]:
        """See `bgpsvc.fib.netlink.Kernel.apply_routes`."""
        return self.apply(ops)

    def nexthops(self) -> list[Nexthop]:
        """Our nexthops and groups in order of id."""
        found = []
        for ident, item in sorted(self._objects.items()):
            if isinstance(item, SetGroup):
                found.append(Nexthop(ident, PROTOCOL, None, None, None, item.members))
            else:
                found.append(Nexthop(ident, PROTOCOL, item.family, item.ifindex, item.gateway, ()))
        return found

    def routes(self, table: int) -> dict[tuple[Prefix, int], int]:
        """Our routes of a table: (prefix, metric) to nexthop id."""
        return dict(self._routes.get(table, {}))

    def all_routes(self) -> dict[int, TableRoutes]:
        """Our routes of all tables that have any, by metric."""
        return {table: by_metric(routes) for table, routes in self._routes.items() if routes}

    def links(self) -> list[Link]:
        """All interfaces in order of ifindex; the loopback has 1."""
        return [link.value() for _, link in sorted(self._links.items())]

    def connected(self) -> list[Prefix]:
        """Networks of the addresses that were given to links."""
        return sorted({network for link in self._links.values() for network in link.networks()})

    def read(self) -> list[Notice]:
        """What happened from outside since the last call, as `Monitor.read`."""
        found, self._notices = self._notices, []
        return found

    # What a test may do from outside

    def add_link(self, name: str, *addresses: str) -> int:
        """A new interface, up, with addresses as in `169.254.10.1/30`; returns its ifindex."""
        index = max(self._links) + 1
        link = self._links[index] = _FakeLink(name, index)
        self._notices.append(LinkSeen(link.value()))
        for text in addresses:
            address, _, length = text.partition("/")
            link.addresses.append((parse_address(address), int(length)))
            self._notices.append(AddressesChanged())
        return index

    def give_addresses(self, ifindex: int, *addresses: str) -> None:
        """Somebody adds addresses to a link, as IPv6 ones that it lost when it went down."""
        for text in addresses:
            address, _, length = text.partition("/")
            self._links[ifindex].addresses.append((parse_address(address), int(length)))
            self._notices.append(AddressesChanged())

    def link_down(self, ifindex: int) -> None:
        """Set a link down: IPv6 addresses go, and silently nexthops, groups and routes over it."""
        link = self._links[ifindex]
        link.up = False
        self._notices.append(LinkSeen(link.value()))
        if any(len(address) == 16 for address, _ in link.addresses):
            link.addresses = [(address, length) for address, length in link.addresses if len(address) == 4]
            self._notices.append(AddressesChanged())
        self._device_lost(ifindex)

    def link_up(self, ifindex: int) -> None:
        """Set a link up again. Nothing comes back with it."""
        link = self._links[ifindex]
        link.up = True
        self._notices.append(LinkSeen(link.value()))

    def carrier_lost(self, ifindex: int) -> None:
        """The link loses its carrier: its addresses stay, its nexthops go silently with their routes."""
        link = self._links[ifindex]
        link.carrier = False
        self._notices.append(LinkSeen(link.value()))
        self._device_lost(ifindex)

    def carrier_found(self, ifindex: int) -> None:
        """The carrier is back. Nothing comes back with it."""
        link = self._links[ifindex]
        link.carrier = True
        self._notices.append(LinkSeen(link.value()))

    def delete_link(self, ifindex: int) -> None:
        """Delete a link."""
        self.link_down(ifindex)
        link = self._links.pop(ifindex)
        if link.addresses:
            self._notices.append(AddressesChanged())
        self._notices.append(LinkGone(link.name, ifindex))

    def delete_nexthop(self, ident: int) -> None:
        """Somebody else deletes a nexthop or group: told for it and its groups, not for the routes."""
        before = dict(self._objects)
        self._delete_object(ident)
        for other, item in before.items():
            if other not in self._objects:
                self._notices.append(NexthopGone(other))
            elif self._objects[other] != item:
                self._notices.append(NexthopChanged(other))

    def delete_route(self, table: int, prefix: Prefix, metric: int) -> None:
        """Somebody else deletes a route of ours."""
        del self._routes[table][prefix, metric]
        self._notices.append(RouteGone(table, prefix, metric))

    def foreign_route(self, table: int, prefix: Prefix, metric: int, protocol: int) -> None:
        """Somebody else adds a route without a nexthop id, or replaces ours by it."""
        self._routes.get(table, {}).pop((prefix, metric), None)
        self.foreign[table, prefix, metric] = protocol
        self._notices.append(RouteChanged(table, prefix, metric, protocol, None))

    # Within

    def _apply(self, op: Op) -> Iterator[OpError]:
        if isinstance(op, SetRoutes):
            for prefix in op.prefixes:
                try:
                    self._check_route(prefix, op.nexthop)
                except _Refusal as refusal:
                    yield OpError(op, refusal.code, refusal.text, prefix)
                    continue
                self.foreign.pop((op.table, prefix, op.metric), None)
                self._routes.setdefault(op.table, {})[prefix, op.metric] = op.nexthop
        elif isinstance(op, DeleteRoutes):
            for prefix in op.prefixes:
                self._routes.get(op.table, {}).pop((prefix, op.metric), None)
        elif isinstance(op, DeleteNexthop):
            self._delete_object(op.id)
        else:
            try:
                self._check_group(op) if isinstance(op, SetGroup) else self._check_nexthop(op)
                self._check_replacement(op)
            except _Refusal as refusal:
                yield OpError(op, refusal.code, refusal.text)
                return
            self._objects[op.id] = op

    def _check_route(self, prefix: Prefix, ident: int) -> None:
        if prefix in self.refused:
            code, text = self.refused[prefix]
            raise _refuse(text, code)
        if ident not in self._objects:
            raise _refuse("Nexthop id does not exist")
        if prefix_family(prefix) is Family.IPV6 and Family.IPV4 in self._families(self._objects[ident]):
            raise _refuse("IPv6 routes can not use an IPv4 nexthop")

    def _families(self, item: SetNexthop | SetGroup) -> set[Family]:
        if isinstance(item, SetNexthop):
            return {item.family}
        return {family for member in item.members for family in self._families(self._objects[member])}

    def _check_nexthop(self, op: SetNexthop) -> None:
        link = self._links.get(op.ifindex)
        if link is None:
            raise _refuse("Invalid device index")
        if not link.up:
            raise _refuse("Nexthop device is not up", errno.ENETDOWN)
        if not link.carrier:
            raise _refuse("Carrier for nexthop device is down", errno.ENETDOWN)
        if op.gateway is None:
            return
        if len(op.gateway) != (4 if op.family is Family.IPV4 else 16):
            raise _refuse("Invalid gateway")
        host = pack_prefix(op.gateway, len(op.gateway) * 8)
        if covers(_LINK_LOCAL, host) or any(covers(network, host) for network in link.networks()):
            return
        if op.family is Family.IPV4:
            raise _refuse("Nexthop has invalid gateway", errno.ENETUNREACH)
        raise _refuse("No route to host", errno.EHOSTUNREACH)

    def _check_group(self, op: SetGroup) -> None:
        for member in op.members:
            if op.members.count(member) > 1:
                raise _refuse("Nexthop id can not be used twice in a group")
            if member not in self._objects:
                raise _refuse("Invalid nexthop id")
            if isinstance(self._objects[member], SetGroup):
                raise _refuse("Hash-threshold group can not be a nexthop within a group")
        if op.existing and op.id not in self._objects:
            raise _refuse("Replace specified without create and no entry exists", errno.ENOENT)

    def _check_replacement(self, op: SetNexthop | SetGroup) -> None:
        """What stands in the way of the object taking the place of one with the same id."""
        old = self._objects.get(op.id)
        if old is None:
            return
        if isinstance(op, SetGroup) and isinstance(old, SetNexthop):
            raise _refuse("Can not replace a nexthop with a nexthop group.")
        if isinstance(op, SetNexthop) and isinstance(old, SetGroup):
            raise _refuse("Can not replace a nexthop group with a nexthop.")
        users = {op.id} | {
            group.id
            for group in self._objects.values()
            if isinstance(group, SetGroup) and op.id in group.members
        }
        six = any(
            ident in users and prefix_family(prefix) is Family.IPV6
            for routes in self._routes.values()
            for (prefix, _), ident in routes.items()
        )
        if six and Family.IPV4 in self._families(op):
            raise _refuse("IPv6 routes can not use an IPv4 nexthop")

    def _device_lost(self, ifindex: int) -> None:
        for ident, item in list(self._objects.items()):
            if isinstance(item, SetNexthop) and item.ifindex == ifindex:
                self._delete_object(ident)

    def _delete_object(self, ident: int) -> None:
        """Delete a nexthop or group, groups that become empty by it, and all their routes."""
        if self._objects.pop(ident, None) is None:
            return
        for routes in self._routes.values():
            for key in [key for key, used in routes.items() if used == ident]:
                del routes[key]
        for group in list(self._objects.values()):
            if isinstance(group, SetGroup) and ident in group.members:
                members = tuple(member for member in group.members if member != ident)
                if members:
                    self._objects[group.id] = SetGroup(group.id, members)
                else:
                    self._delete_object(group.id)
