"""Operations on the kernel's forwarding state, and what can be read of it. Values only.

Ids of nexthops and groups share one space in the kernel; ours lie in `NEXTHOP_IDS`. Everything of
ours carries protocol `PROTOCOL`. A prefix may have two routes of ours that differ by metric: the
primary over its forwarding class's group, and the floating backup over the standby's own nexthop.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bgpsvc.model import Family, Prefix

PROTOCOL = 201
NEXTHOP_IDS = range(0x20000000, 0x30000000)
METRIC_CUSTOM = 40
"""Of the custom routes of a VPC (see `lookup`): before everything learned."""
METRIC_GUARD = 50
"""Of the `throw` and `unreachable` routes that keep packets out of a table (see `rules.fixed_routes`)."""
METRIC_PRIMARY = 100
METRIC_BACKUP = 200
NOT_LOOKED_UP = -1
"""No id: whoever made the operation did not look what it replaces."""


@dataclass(frozen=True, slots=True)
class SetNexthop:
    """Create or replace a nexthop. `gateway` is 4 or 16 bytes, or None for a point-to-point device."""

    id: int
    family: Family
    ifindex: int
    gateway: bytes | None


@dataclass(frozen=True, slots=True)
class SetGroup:
    """Create or replace a group of nexthops of equal weight; `members` is not empty.

    With `existing` only replace: ENOENT if there is no such group. The kernel deletes groups and their
    routes silently with a device; to create one anew then would hide that its routes are gone.
    """

    id: int
    members: tuple[int, ...]
    existing: bool = False


@dataclass(frozen=True, slots=True)
class DeleteNexthop:
    """Delete a nexthop or group; its being gone is no error. The kernel deletes its routes with it."""

    id: int


@dataclass(frozen=True, slots=True)
class SetRoutes:
    """Create or replace routes to the prefixes (all of one family) over a nexthop or group.

    `replaces`: what all of them led to when this was planned, None for no routes.
    """

    table: int
    metric: int
    nexthop: int
    prefixes: tuple[Prefix, ...]
    replaces: int | None = field(default=NOT_LOOKED_UP, compare=False)


@dataclass(frozen=True, slots=True)
class DeleteRoutes:
    """Delete our routes to the prefixes (all of one family). Their being gone already is no error."""

    table: int
    metric: int
    prefixes: tuple[Prefix, ...]
    replaces: int | None = field(default=NOT_LOOKED_UP, compare=False)


TableRoutes = dict[int, dict[Prefix, int]]
"""Our routes in a table: metric to prefix to id of nexthop or group, 0 without one."""

Op = SetNexthop | SetGroup | DeleteNexthop | SetRoutes | DeleteRoutes


@dataclass(frozen=True, slots=True)
class OpError:
    """An operation the kernel refused. `prefix` names the route of a bulk operation."""

    op: Op
    errno: int
    text: str
    """The kernel's extended acknowledgement if it sent one, else the errno's text."""
    prefix: Prefix | None = None


@dataclass(frozen=True, slots=True)
class Nexthop:
    """A nexthop or group as the kernel has it. A group has members and nothing else."""

    id: int
    protocol: int
    family: Family | None
    ifindex: int | None
    gateway: bytes | None
    members: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface. `up`: administratively up with carrier (IFF_UP and IFF_LOWER_UP)."""

    name: str
    ifindex: int
    up: bool


# Notifications of changes that somebody else made (our own are filtered out in the kernel).


@dataclass(frozen=True, slots=True)
class NexthopGone:
    """The kernel or somebody else deleted one of our nexthops or groups; its routes went with it."""

    id: int


@dataclass(frozen=True, slots=True)
class NexthopChanged:
    """Somebody else created or replaced a nexthop or group in our id range."""

    id: int


@dataclass(frozen=True, slots=True)
class RouteGone:
    """Somebody else deleted a route of ours."""

    table: int
    prefix: Prefix
    metric: int


@dataclass(frozen=True, slots=True)
class RouteChanged:
    """Somebody else added or replaced a route in a table of ours."""

    table: int
    prefix: Prefix
    metric: int
    protocol: int
    nexthop_id: int | None


@dataclass(frozen=True, slots=True)
class LinkSeen:
    """A link appeared or changed."""

    link: Link


@dataclass(frozen=True, slots=True)
class LinkGone:
    """A link vanished."""

    name: str
    ifindex: int


@dataclass(frozen=True, slots=True)
class AddressesChanged:
    """An address came or went; the set of connected networks should be read again."""


@dataclass(frozen=True, slots=True)
class RuleGone:
    """A policy rule of our protocol was deleted, perhaps by us."""


@dataclass(frozen=True, slots=True)
class Overrun:
    """Notifications were lost (ENOBUFS): only a whole dump tells the truth now."""


Notice = (
    NexthopGone
    | NexthopChanged
    | RouteGone
    | RouteChanged
    | RuleGone
    | LinkSeen
    | LinkGone
    | AddressesChanged
    | Overrun
)
