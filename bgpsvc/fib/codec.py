"""rtnetlink messages of nexthop objects and of the routes that name them by id (Linux 5.3 and newer).

Packing is for bulk: the routes of one operation differ only in sequence number, prefix length
and address, so a template is repeated and those bytes are filled in column by column
with extended slices, at C speed (about 0.1 microseconds a route).

A route carries table, priority (metric), destination and RTA_NH_ID, with RTPROT 201 and scope
universe; the kernel takes the device and the gateway from the nexthop object.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bgpsvc.fib.ops import (
    NEXTHOP_IDS,
    PROTOCOL,
    DeleteNexthop,
    DeleteRoutes,
    Nexthop,
    Op,
    SetGroup,
    SetNexthop,
    SetRoutes,
    TableRoutes,
)
from bgpsvc.fib.wire import (
    HEADER,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_REPLACE,
    Message,
    NetlinkDecodeError,
    attribute,
    attributes,
    number,
    request,
    u32,
)
from bgpsvc.model import Family, Prefix, prefix_family

RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEXTHOP, RTM_DELNEXTHOP, RTM_GETNEXTHOP = 104, 105, 106

RTMSG = struct.Struct("=8BI")  # family, dst_len, src_len, tos, table, protocol, scope, type; flags
NHMSG = struct.Struct("=4BI")  # family, scope, protocol, reserved; flags
_GROUP_MEMBER = struct.Struct("=IBBH")  # id, weight - 1, high byte of the weight, reserved

NHA_ID, NHA_GROUP, NHA_OIF, NHA_GATEWAY = 1, 2, 5, 6
RTA_DST, RTA_PRIORITY, RTA_TABLE, RTA_NH_ID = 1, 6, 15, 30
_RTN_UNICAST = 1
_RT_TABLE_UNSPEC = 0
RTM_F_CLONED = 0x200

ADDRESS_FAMILY = {Family.IPV4: 2, Family.IPV6: 10}  # AF_INET, AF_INET6 of Linux
_FAMILY = {number: family for family, number in ADDRESS_FAMILY.items()}

BATCH_MESSAGES = 4000
"""Messages per sendmsg: 240 to 290 kB, inside any socket buffer, some ten milliseconds in the kernel.

Fewer or more at once take it as long. A thread that sends them has to get the interpreter back after each.
"""

_FLAGS_OFFSET, _SEQ_OFFSET, _DST_LEN_OFFSET = 6, 8, HEADER.size + 1


@dataclass(slots=True)
class Batch:
    """Packed messages that go out with one sendmsg; the last one asks for an acknowledgement.

    Sequence numbers run from `first_seq` without a gap, one per message.
    """

    first_seq: int
    data: bytearray = field(default_factory=bytearray)
    count: int = 0
    _starts: list[int] = field(default_factory=list)  # index of the first message of each part
    _parts: list[tuple[Op, int, int]] = field(default_factory=list)  # operation, its first route, step
    _last: int = 0

    def add(self, op: Op, packed: bytes | bytearray, messages: int, first: int = 0, step: int = 1) -> None:
        """Append the messages of an operation, or of every step-th of its routes from `first` on."""
        self._starts.append(self.count)
        self._parts.append((op, first, step))
        self._last = len(self.data) + len(packed) - len(packed) // messages
        self.data += packed
        self.count += messages

    def closed(self) -> Batch:
        """Ask for the acknowledgement that tells that all of it has been worked through."""
        self.data[self._last + _FLAGS_OFFSET] |= NLM_F_ACK
        return self

    @property
    def last_seq(self) -> int:
        """Sequence number of the last message."""
        return self.first_seq + self.count - 1

    def blame(self, seq: int) -> tuple[Op, Prefix | None]:
        """The operation of a sequence number, and the prefix if the operation has routes."""
        index = seq - self.first_seq
        if not 0 <= index < self.count:
            raise ValueError(f"sequence number {seq} is not of this batch")
        part = bisect_right(self._starts, index) - 1
        op, first, step = self._parts[part]
        route = first + (index - self._starts[part]) * step
        return op, op.prefixes[route] if isinstance(op, SetRoutes | DeleteRoutes) else None


def check(op: Op) -> None:
    """ValueError if an operation would touch what is not ours, or cannot be packed.

    Table 0 would be the main table. Metric 0 is IPv6's 1024 when a route is set and any metric when
    it is deleted.
    """
    if isinstance(op, SetRoutes | DeleteRoutes):
        if op.table < 1 or op.metric < 1:
            raise ValueError(f"routes need a table and a metric from 1, not {op.table} and {op.metric}")
        if set(map(len, op.prefixes)) not in ({5}, {17}, set()):
            raise ValueError("prefixes of one operation are not all IPv4 or all IPv6")
    elif op.id not in NEXTHOP_IDS:
        raise ValueError(f"nexthop id {op.id:#x} is outside our range")
    elif isinstance(op, SetGroup) and not op.members:
        raise ValueError(f"nexthop group {op.id:#x} has no members")


def message_count(ops: Sequence[Op]) -> int:
    """How many messages, and so sequence numbers, the operations take."""
    return sum(map(_messages, ops))


def _messages(op: Op) -> int:
    return len(op.prefixes) if isinstance(op, SetRoutes | DeleteRoutes) else 1


def batches(ops: Sequence[Op], first_seq: int) -> Iterator[Batch]:
    """Pack operations in order, numbering messages from `first_seq`, into batches of bounded size.

    The routes of an operation that needs several batches are dealt out to them like cards: neighbours
    in a row are what the kernel's IPv4 trie does worst (it rebalances and rescans the same node every
    time). Spread out, 100,000 routes in order of address are set twice and deleted ten times as fast.

    The operations must have passed `check`.
    """
    batch = Batch(first_seq)
    for op in ops:
        total = _messages(op)
        step = -(-total // BATCH_MESSAGES)
        for first in range(step):
            count = len(range(first, total, step))
            if batch.count + count > BATCH_MESSAGES:
                yield batch.closed()
                batch = Batch(batch.last_seq + 1)
            seq = batch.first_seq + batch.count
            if isinstance(op, SetRoutes | DeleteRoutes):
                batch.add(op, _pack_routes(op, first, step, seq), count, first, step)
            else:
                batch.add(op, _pack_nexthop(op, seq), 1)
    if batch.count:
        yield batch.closed()


def _pack_nexthop(op: SetNexthop | SetGroup | DeleteNexthop, seq: int) -> bytes:
    identity = number(NHA_ID, op.id)
    if isinstance(op, DeleteNexthop):
        return request(RTM_DELNEXTHOP, 0, seq, NHMSG.pack(0, 0, 0, 0, 0) + identity)
    if isinstance(op, SetGroup):
        members = b"".join(_GROUP_MEMBER.pack(member, 0, 0, 0) for member in op.members)
        payload = NHMSG.pack(0, 0, PROTOCOL, 0, 0) + identity + attribute(NHA_GROUP, members)
    else:
        payload = NHMSG.pack(ADDRESS_FAMILY[op.family], 0, PROTOCOL, 0, 0) + identity
        payload += number(NHA_OIF, op.ifindex)
        if op.gateway is not None:
            payload += attribute(NHA_GATEWAY, op.gateway)
    only_replace = isinstance(op, SetGroup) and op.existing
    flags = NLM_F_REPLACE if only_replace else NLM_F_CREATE | NLM_F_REPLACE
    return request(RTM_NEWNEXTHOP, flags, seq, payload)


def _pack_routes(op: SetRoutes | DeleteRoutes, first: int, step: int, seq: int) -> bytearray:
    """Messages, all of the same size, for every step-th route of an operation from `first` on."""
    prefixes = op.prefixes[first::step]
    size = len(prefixes[0])
    template = _route_template(op, prefix_family(prefixes[0]))
    width, count = len(template), len(prefixes)
    packed = bytearray(template * count)
    _fill(packed, _SEQ_OFFSET, width, array("I", range(seq, seq + count)).tobytes(), 4)
    addresses = b"".join(prefixes)
    packed[_DST_LEN_OFFSET::width] = addresses[size - 1 :: size]
    dst = HEADER.size + RTMSG.size + 20  # after RTA_TABLE, RTA_PRIORITY and the header of RTA_DST
    for byte in range(size - 1):
        packed[dst + byte :: width] = addresses[byte::size]
    return packed


def _fill(packed: bytearray, offset: int, width: int, values: bytes, size: int) -> None:
    """Write values of some size into messages of some width, from the offset on."""
    for byte in range(size):
        packed[offset + byte :: width] = values[byte::size]


def _route_template(op: SetRoutes | DeleteRoutes, family: Family) -> bytes:
    small_table = op.table if op.table < 256 else _RT_TABLE_UNSPEC  # RTA_TABLE tells
    payload = RTMSG.pack(ADDRESS_FAMILY[family], 0, 0, 0, small_table, PROTOCOL, 0, _RTN_UNICAST, 0)
    payload += number(RTA_TABLE, op.table) + number(RTA_PRIORITY, op.metric)
    payload += attribute(RTA_DST, bytes(4 if family is Family.IPV4 else 16))
    if isinstance(op, DeleteRoutes):
        return request(RTM_DELROUTE, 0, 0, payload)
    payload += number(RTA_NH_ID, op.nexthop)
    return request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, 0, payload)


def dump_nexthops(seq: int) -> bytes:
    """Ask for all nexthops and groups."""
    return request(RTM_GETNEXTHOP, NLM_F_DUMP, seq, NHMSG.pack(0, 0, 0, 0, 0))


def dump_routes(family: Family, table: int | None, seq: int) -> bytes:
    """Ask for our routes of a table, or (None) of all tables.

    The kernel filters if the socket has NETLINK_GET_STRICT_CHK.
    """
    header = RTMSG.pack(ADDRESS_FAMILY[family], 0, 0, 0, 0, PROTOCOL, 0, 0, 0)
    wanted = b"" if table is None else number(RTA_TABLE, table)
    return request(RTM_GETROUTE, NLM_F_DUMP, seq, header + wanted)


def decode_nexthop(payload: bytes) -> Nexthop:
    """Payload of RTM_NEWNEXTHOP or RTM_DELNEXTHOP."""
    found = attributes(payload, NHMSG.size)
    family, _, protocol, _, _ = NHMSG.unpack_from(payload)
    if NHA_ID not in found:
        raise NetlinkDecodeError("nexthop without an id")
    group = found.get(NHA_GROUP, b"")
    if len(group) % _GROUP_MEMBER.size:
        raise NetlinkDecodeError(f"nexthop group of {len(group)} bytes")
    return Nexthop(
        id=u32(found[NHA_ID]),
        protocol=protocol,
        family=None if group else _FAMILY.get(family),
        ifindex=u32(found[NHA_OIF]) if NHA_OIF in found else None,
        gateway=found.get(NHA_GATEWAY),
        members=tuple(member[0] for member in _GROUP_MEMBER.iter_unpack(group)),
    )


@dataclass(frozen=True, slots=True)
class Route:
    """A route as the kernel tells it. `nexthop_id` is 0 if it has none."""

    table: int
    prefix: Prefix
    metric: int
    protocol: int
    nexthop_id: int
    cloned: bool


def decode_route(payload: bytes) -> Route | None:
    """Payload of RTM_NEWROUTE or RTM_DELROUTE; None if it is neither IPv4 nor IPv6 (multicast, MPLS)."""
    found = attributes(payload, RTMSG.size)
    family, length, _, _, table, protocol, _, _, flags = RTMSG.unpack_from(payload)
    if family not in _FAMILY:
        return None
    size = 4 if _FAMILY[family] is Family.IPV4 else 16
    address = found.get(RTA_DST, bytes(size))
    if len(address) != size or length > size * 8:
        raise NetlinkDecodeError(f"destination of {len(address)} bytes, length {length}, family {family}")
    return Route(
        table=u32(found[RTA_TABLE]) if RTA_TABLE in found else table,
        prefix=Prefix(address + bytes((length,))),
        metric=u32(found[RTA_PRIORITY]) if RTA_PRIORITY in found else 0,
        protocol=protocol,
        nexthop_id=u32(found[RTA_NH_ID]) if RTA_NH_ID in found else 0,
        cloned=bool(flags & RTM_F_CLONED),
    )


class RouteDump:
    """Takes in a dump of our routes of one family into `tables`: the layout that the kernel always uses
    for a route by nexthop id in one unpack, anything else by way of `decode_route`.
    """

    # header; family, dst_len, src_len + tos, table, protocol, scope, type, flags; then
    # RTA_TABLE, RTA_DST, RTA_PRIORITY, RTA_NH_ID, each as header and value
    _LAYOUT = "=IHH8x 2B2xBBxB4x I4s I{}s II II"
    _LENGTHS = tuple(bytes((length,)) for length in range(129))

    def __init__(self, family: Family, tables: dict[int, TableRoutes]) -> None:
        size = 4 if family is Family.IPV4 else 16
        self._struct = struct.Struct(self._LAYOUT.format(size))
        self._family = ADDRESS_FAMILY[family]
        self._bits = size * 8
        self._dst = self._header(4 + size, RTA_DST)
        self._tables = tables

    @staticmethod
    def _header(length: int, kind: int) -> int:
        """Attribute header as one number in host order."""
        return int.from_bytes(struct.pack("=HH", length, kind), sys.byteorder)

    def feed_bulk(self, data: memoryview, offset: int) -> int:
        """Take in messages of the usual layout from the offset on; the offset of the first other one."""
        unpack, size = self._struct.unpack_from, self._struct.size
        lengths, bits, family = self._LENGTHS, self._bits, self._family
        table_header, dst_header = self._header(8, RTA_TABLE), self._dst
        priority_header, nexthop_header = self._header(8, RTA_PRIORITY), self._header(8, RTA_NH_ID)
        routes: TableRoutes = {}
        current, last = b"", len(data) - size
        while offset <= last:
            (
                message, kind, flags, af, length, _, protocol, _,
                h1, table, h2, dst, h3, metric, h4, nexthop,
            ) = unpack(data, offset)  # fmt: skip
            if (
                kind != RTM_NEWROUTE
                or flags & ~0x22  # other than NLM_F_MULTI and NLM_F_DUMP_FILTERED: look closer
                or message < size
                or message & 3
                or message > len(data) - offset
                or af != family
                or length > bits
                or protocol != PROTOCOL
                or h1 != table_header
                or h2 != dst_header
                or h3 != priority_header
                or h4 != nexthop_header
            ):
                break
            if table != current:  # routes come table by table
                current, routes = table, self._tables.setdefault(int.from_bytes(table, sys.byteorder), {})
            if metric not in routes:
                routes[metric] = {}
            routes[metric][dst + lengths[length]] = nexthop
            offset += message
        return offset

    def feed(self, message: Message) -> None:
        """Take in one message of any layout."""
        route = decode_route(message.payload)
        if route is not None and route.protocol == PROTOCOL and not route.cloned:
            by_metric = self._tables.setdefault(route.table, {})
            by_metric.setdefault(route.metric, {})[route.prefix] = route.nexthop_id
