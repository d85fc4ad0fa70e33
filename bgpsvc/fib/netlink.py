"""The kernel's forwarding state over rtnetlink: `Kernel` writes and reads it, `Monitor` hears of changes.

What Linux (seen on 6.18) tells of changes, with `net.ipv4.nexthop_compat_mode=0`; the same for IPv4
and IPv6 unless it says otherwise. "Silently" means that no notification comes.

- A device goes down, loses its carrier, or is deleted: only the link's own notification (and, if
  it was set down or deleted, those of its addresses). Its nexthops, the groups that have no other
  member, and all routes over these are deleted *silently*. A group with other members loses the
  member silently. So on every `LinkSeen` and `LinkGone` compare `nexthops()` with what should be: it
  is a short dump. (A link that lost its carrier and has it again may only be seen as up.)
- The kernel may act on a lost carrier, and tell of it, up to a second late (linkwatch): if the device
  changed within the last second, or is a veth whose other end happens to have the same ifindex.
- Nothing comes back with the link: whoever wants nexthops and routes again sets them again. A device
  that was set down has lost its IPv6 addresses (unless keep_addr_on_down), so that an IPv6 nexthop
  over it fails with EHOSTUNREACH until somebody adds them: AddressesChanged tells when.
- A nexthop is deleted (`ip nexthop del`): NexthopGone for it and for each group that became empty, a
  NexthopChanged for each group that lost it; their routes go silently.
- A nexthop or group is replaced: one NexthopChanged; nothing for its routes. Packets move at once. For
  IPv4 that is all; for IPv6 the call goes on to touch each route (0.4 ms per 1000 routes).
- Routes are deleted (`ip route flush proto 201`): one RouteGone each; with many, Overrun.
- A route is replaced: one RouteChanged, nothing for the route that it replaced, whosever that was.
- A policy rule is deleted: RuleGone, if it was of our protocol; also if `lookup.set_rules` did it.
- An address is removed: AddressesChanged. Nexthops whose gateway was on its network stay.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import threading
from collections.abc import Callable, Collection, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

from bgpsvc.fib import codec, notices
from bgpsvc.fib.nlsocket import DUMP_ATTEMPTS, Requester, open_socket
from bgpsvc.fib.ops import (
    PROTOCOL,
    AddressesChanged,
    DeleteNexthop,
    DeleteRoutes,
    Link,
    Nexthop,
    Notice,
    Op,
    OpError,
    Overrun,
    SetRoutes,
    TableRoutes,
)
from bgpsvc.fib.socketfilter import program
from bgpsvc.fib.wire import NLM_F_ACK, Acknowledgement, Message, request
from bgpsvc.model import Family, Prefix

_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP = 270, 1
_SO_ATTACH_FILTER = 26
_NOTICES_PER_READ = 1000
_MISSING = {errno.ESRCH, errno.ENOENT}
_SYSTEM_TABLES = (253, 254, 255)  # default, main, local: nothing of ours is there


class Monitor:
    """Notifications of changes that somebody else made, for `loop.add_reader(monitor, …)`.

    Nothing comes before `watch` was called. Call `watch` before the dumps whose results are to be
    kept up to date, so that no change falls between.
    """

    def __init__(self, writers: Collection[int]) -> None:
        self._writers = writers
        self._socket = open_socket()
        self._socket.setblocking(False)
        self._buffer = bytearray(1 << 16)
        self._subscribed = False

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def fileno(self) -> int:
        """File descriptor that becomes readable when there is something to read."""
        return self._socket.fileno()

    def watch(self, tables: Collection[int], others: Collection[int] = ()) -> None:
        """Subscribe; besides routes of our protocol, hear of all routes of these tables.

        Changes by `others`, port ids of processes of ours, are left out. Calling it again changes both.
        """
        code = program((*self._writers, *others), tables)
        filter_ = ctypes.create_string_buffer(code, len(code))
        prog = struct.pack("@HP", len(code) // 8, ctypes.addressof(filter_))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, prog)
        if not self._subscribed:
            for group in notices.GROUPS:
                self._socket.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)
            self._subscribed = True

    def read(self) -> list[Notice]:
        """What has come, in order; does not block. At most 1000 messages, the rest with the next call.

        `[Overrun()]` alone if notifications were lost: those at hand say less than the dump that is
        due now. AddressesChanged comes once a call at the most.
        """
        found: list[Notice] = []
        view = memoryview(self._buffer)
        overrun = addresses = False
        for _ in range(_NOTICES_PER_READ):
            try:
                size = self._socket.recv_into(self._buffer)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                overrun = True
                continue
            for notice in notices.decode_notices(view[:size]):
                if isinstance(notice, AddressesChanged):
                    if addresses:
                        continue
                    addresses = True
                found.append(notice)
        return [Overrun()] if overrun else found


class Kernel:
    """Forwarding state of the network namespace that the calling thread is in when it constructs this.

    Its sockets stay in that namespace, wherever their user goes. There is one for `apply`, one for
    `apply_routes`, one for dumps of routes and one for all other reading: each of these may run in a
    thread of its own, and none waits for another one. PermissionError if changing routes is not
    allowed here (CAP_NET_ADMIN).
    """

    def __init__(self) -> None:
        self._writer = Requester()
        self._routes_writer = Requester()
        self._reader = _Reader()
        self._routes_reader = _Reader()
        self.monitor = Monitor((self._writer.port_id, self._routes_writer.port_id))
        try:
            self._check_permission()
        except OSError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the sockets. Nothing that was applied is taken back."""
        self.monitor.close()
        for user in (self._writer, self._routes_writer, self._reader, self._routes_reader):
            user.close()

    def _check_permission(self) -> None:
        """The kernel checks the capability before it looks at a request: one without content tells."""
        seq = self._writer.next_seq()
        empty = codec.NHMSG.pack(0, 0, 0, 0, 0)
        answer = self._writer.request(request(codec.RTM_DELNEXTHOP, NLM_F_ACK, seq, empty), seq)
        if answer.errno == errno.EPERM:
            raise PermissionError(
                errno.EPERM,
                "CAP_NET_ADMIN is needed to change routes: run as root, or in a container with "
                "--cap-add NET_ADMIN, or as a systemd service with AmbientCapabilities=CAP_NET_ADMIN",
            )
        if answer.errno == errno.EOPNOTSUPP:
            raise OSError(
                errno.EOPNOTSUPP, "this kernel has no nexthop objects: Linux 5.3 or newer is needed"
            )

    def apply(self, ops: Sequence[Op]) -> list[OpError]:
        """Carry out the operations in order and return those that the kernel refused.

        An error does not stop the operations after it. Deleting what is missing is no error. A route
        that is set replaces any other of the same table, prefix and metric, whosever it was.
        Blocks: 2 to 5 microseconds a route; one operation of 100,000 routes is twice as fast as a
        hundred of 1000 in order of address (see `codec.batches`). ValueError, before anything is sent,
        if an operation does not pass `codec.check`; OSError if the kernel does not answer.
        """
        return _apply(self._writer, ops)

    def apply_routes(self, ops: Sequence[SetRoutes | DeleteRoutes]) -> list[OpError]:
        """The same for routes alone, over a socket of their own.

        It lets other threads run while the kernel works, and `apply` in one of them need not wait for it.
        """
        return _apply(self._routes_writer, ops)

    def nexthops(self) -> list[Nexthop]:
        """All nexthops and groups that carry our protocol number, in order of id."""
        found: dict[int, Nexthop] = {}

        def take(message: Message) -> None:
            nexthop = codec.decode_nexthop(message.payload)
            if nexthop.protocol == PROTOCOL:
                found[nexthop.id] = nexthop

        self._reader.dump(found, codec.dump_nexthops, take)
        return [found[ident] for ident in sorted(found)]

    def routes(self, table: int) -> dict[tuple[Prefix, int], int]:
        """All routes of a table that carry our protocol number: (prefix, metric) to nexthop id, or 0.

        One to five seconds for a million. If somebody keeps changing routes of the namespace, so that no
        dump of `DUMP_ATTEMPTS` is consistent, the last one is taken: it may lack a route, and that
        route being set again is harmless.
        """
        found = self._routes(table).get(table, {})
        return {(prefix, metric): i for metric, part in found.items() for prefix, i in part.items()}

    def all_routes(self) -> dict[int, TableRoutes]:
        """The same by metric for every table that has routes with our protocol number, whosever it is."""
        found = self._routes(None)
        return {number: routes for number, routes in found.items() if number not in _SYSTEM_TABLES}

    def _routes(self, table: int | None) -> dict[int, TableRoutes]:
        routes: dict[int, TableRoutes] = {}
        for family in Family:
            found: dict[int, TableRoutes] = {}
            dump = codec.RouteDump(family, found)
            try:
                ask = partial(codec.dump_routes, family, table)
                self._routes_reader.dump(found, ask, dump.feed, dump.feed_bulk)
            except OSError as error:
                if error.errno not in _MISSING:  # a table that nobody has used yet does not exist
                    raise
            for number, part in found.items():
                known = routes.setdefault(number, {})
                for metric, prefixes in part.items():
                    if metric in known:
                        known[metric].update(prefixes)
                    else:
                        known[metric] = prefixes
        return routes

    def links(self) -> list[Link]:
        """All interfaces, in order of ifindex."""
        found: dict[int, Link] = {}

        def take(message: Message) -> None:
            if (link := notices.decode_link(message.payload)) is not None:
                found[link.ifindex] = link

        self._reader.dump(found, notices.dump_links, take)
        return [found[index] for index in sorted(found)]

    def connected(self) -> list[Prefix]:
        """Networks of the addresses of all interfaces, sorted; without the loopback's own."""
        found: set[Prefix] = set()

        def take(message: Message) -> None:
            found.update(notices.decode_connected(message.payload))

        self._reader.dump(found, notices.dump_addresses, take)
        return sorted(found)


class _Reader:
    """Whole dumps over a socket of its own, one at a time."""

    def __init__(self) -> None:
        self._requester = Requester()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the socket."""
        self._requester.close()

    def dump(
        self,
        found: dict[Any, Any] | set[Any],
        ask: Callable[[int], bytes],
        take: Callable[[Message], None],
        bulk: Callable[[memoryview, int], int] | None = None,
    ) -> None:
        """Fill `found` with a dump; again from the start if the kernel says that it changed meanwhile."""
        with self._lock:
            for _ in range(DUMP_ATTEMPTS):
                found.clear()
                seq = self._requester.next_seq()
                if self._requester.dump(ask(seq), seq, take, bulk):
                    return


def _apply(writer: Requester, ops: Sequence[Op]) -> list[OpError]:
    for op in ops:
        codec.check(op)
    errors: list[OpError] = []
    first = writer.next_seq(codec.message_count(ops))
    for batch in codec.batches(ops, first):
        errors += filter(None, (_op_error(batch, answer) for answer in writer.send(batch)))
    return errors


def _op_error(batch: codec.Batch, answer: Acknowledgement) -> OpError | None:
    """What a refused message means; None if it deletes what is missing."""
    op, prefix = batch.blame(answer.seq)
    if isinstance(op, DeleteNexthop | DeleteRoutes) and answer.errno in _MISSING:
        return None
    return OpError(op, answer.errno, answer.text or os.strerror(answer.errno), prefix)
