"""What the kernel has of links, addresses and the route to a peer: a few dumps over netlink."""

from __future__ import annotations

import errno
import socket
from collections.abc import AsyncIterator, Collection
from typing import Any

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from bgpsvc.diagnosing import probes
from bgpsvc.diagnosing.evidence import Link, Way

_IFF_UP, _IFF_RUNNING, _IFF_LOWER_UP = 0x1, 0x40, 0x10000


async def link(name: str) -> Link | None:
    """An interface; None if there is none of that name."""
    async with AsyncIPRoute() as route:
        found = [message async for message in _links(route, name)]
        if not found:
            return None
        message = found[0]
        index = message["index"]
        addresses = [
            f"{answer.get_attr('IFA_LOCAL') or answer.get_attr('IFA_ADDRESS')}/{answer['prefixlen']}"
            async for answer in await route.get_addr(index=index)
        ]
    statistics = message.get_attr("IFLA_STATS64") or {}
    flags = message["flags"]
    return Link(
        up=bool(flags & _IFF_UP) and bool(flags & (_IFF_RUNNING | _IFF_LOWER_UP)),
        mtu=message.get_attr("IFLA_MTU"),
        addresses=tuple(addresses),
        received=statistics.get("rx_packets", 0),
        sent=statistics.get("tx_packets", 0),
    )


async def _links(route: AsyncIPRoute, name: str) -> AsyncIterator[Any]:
    try:
        for message in await route.link("get", ifname=name):
            yield message
    except NetlinkError as error:
        if error.code != errno.ENODEV:
            raise


async def elsewhere(addresses: Collection[str], interface: str) -> tuple[tuple[str, str], ...]:
    """Those of these addresses that other interfaces have: address, interface."""
    names = dict(socket.if_nameindex())
    found = []
    async with AsyncIPRoute() as route:
        async for answer in await route.get_addr():
            address = answer.get_attr("IFA_LOCAL") or answer.get_attr("IFA_ADDRESS")
            name = names.get(answer["index"], "")
            if address in addresses and name != interface:
                found.append((address, name))
    return tuple(found)


async def way(local: str, remote: str) -> Way:
    """How packets from our public address to the peer's leave; without the echo."""
    present = probes.is_local(local)
    async with AsyncIPRoute() as route:
        try:
            found = list(await route.route("get", dst=remote, **({"src": local} if present else {})))
        except NetlinkError as error:
            text = (error.args[1] if len(error.args) > 1 else str(error)).lower()
            return Way(present, None, None, None, text)
    names = dict(socket.if_nameindex())
    message = found[0]
    source = local if present else message.get_attr("RTA_PREFSRC")
    return Way(
        present, source, names.get(message.get_attr("RTA_OIF") or 0), message.get_attr("RTA_GATEWAY"), None
    )
