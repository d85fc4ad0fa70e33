"""What the kernel tells the guard: which links are up, and where nexthop groups lead."""

from __future__ import annotations

import errno
from collections.abc import Callable

from bgpsvc.fib import codec, notices
from bgpsvc.fib.nlsocket import DUMP_ATTEMPTS, Requester, open_socket
from bgpsvc.fib.ops import NEXTHOP_IDS, PROTOCOL
from bgpsvc.fib.wire import NLM_F_DUMP, Message, attribute, messages, request

_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP = 270, 1
_RTNLGRP_LINK, _RTNLGRP_NEXTHOP = 1, 32
_NHA_GROUPS = 9
_DATAGRAMS_AT_ONCE = 200


class Links:
    """Links by name and groups by id, kept up to date; both whole again after notifications were lost."""

    def __init__(self, requester: Requester) -> None:
        self._requester = requester
        self.socket = open_socket()
        self._buffer = bytearray(1 << 16)
        self.names: dict[int, str] = {}
        """Index to name; always this same mapping."""
        self._up: dict[int, bool] = {}
        self.groups: dict[int, int] = {}
        """Group to the first of its nexthops."""
        try:
            self.socket.setblocking(False)
            for group in (_RTNLGRP_LINK, _RTNLGRP_NEXTHOP):
                self.socket.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)
            self.dump()
        except BaseException:
            self.socket.close()
            raise

    @property
    def port_id(self) -> int:
        """The socket's netlink address."""
        port: int = self.socket.getsockname()[0]
        return port

    def up(self) -> dict[str, bool]:
        """All interfaces by name: up, with carrier."""
        return {name: self._up[index] for index, name in self.names.items()}

    def read(self) -> tuple[bool, set[int]]:
        """Take in notifications, a bounded number: whether links changed, and which groups did."""
        view = memoryview(self._buffer)
        links, groups = False, set[int]()
        for _ in range(_DATAGRAMS_AT_ONCE):
            try:
                size = self.socket.recv_into(self._buffer)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                before = set(self.groups)
                self.dump()
                return True, before | set(self.groups)
            for message in messages(view[:size]):
                if message.type in (notices.RTM_NEWLINK, notices.RTM_DELLINK):
                    links = self._link(message) or links
                elif message.type in (codec.RTM_NEWNEXTHOP, codec.RTM_DELNEXTHOP):
                    groups |= self._group(message)
        return links, groups

    def dump(self) -> None:
        """Read everything anew. OSError if the kernel does not answer."""
        for _ in range(DUMP_ATTEMPTS):
            self.names.clear()
            self._up.clear()
            if self._dumped(notices.dump_links, self._link):
                break
        for _ in range(DUMP_ATTEMPTS):
            self.groups.clear()
            if self._dumped(_dump_groups, self._group):
                break

    def _dumped(self, ask: Callable[[int], bytes], take: Callable[[Message], object]) -> bool:
        seq = self._requester.next_seq()

        def each(message: Message) -> None:
            take(message)

        return self._requester.dump(ask(seq), seq, each)

    def _link(self, message: Message) -> bool:
        """A link; whether that changes anything."""
        link = notices.decode_link(message.payload)
        if link is None:
            return False
        before = (self.names.get(link.ifindex), self._up.get(link.ifindex))
        if message.type == notices.RTM_DELLINK:
            self.names.pop(link.ifindex, None)
            self._up.pop(link.ifindex, None)
            return before != (None, None)
        self.names[link.ifindex], self._up[link.ifindex] = link.name, link.up
        return before != (link.name, link.up)

    def _group(self, message: Message) -> set[int]:
        """A nexthop or group of ours; the group's id if it is one, and it changed."""
        nexthop = codec.decode_nexthop(message.payload)
        if nexthop.id not in NEXTHOP_IDS or nexthop.protocol != PROTOCOL:
            return set()
        before = self.groups.get(nexthop.id)
        if message.type == codec.RTM_DELNEXTHOP or not nexthop.members:
            self.groups.pop(nexthop.id, None)
        else:
            self.groups[nexthop.id] = nexthop.members[0]
        return {nexthop.id} if self.groups.get(nexthop.id) != before else set()

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


def _dump_groups(seq: int) -> bytes:
    """Ask for groups alone: of nexthops there may be many more."""
    payload = codec.NHMSG.pack(0, 0, 0, 0, 0) + attribute(_NHA_GROUPS, b"")
    return request(codec.RTM_GETNEXTHOP, NLM_F_DUMP, seq, payload)
