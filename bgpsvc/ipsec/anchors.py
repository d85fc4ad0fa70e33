"""Addresses that charon needs to find in the networks of its own side, where a gateway may have none.

For each child SA in user space charon sets a route whose source is an address of the local selector, and
refuses the SA if no interface has one; only a selector that takes in the loopback is exempt. But the networks
of a VPC may lie behind other routers. So the placeholder of the TUN's former name gets the first address of
each. For packets it is not the gateway's: its route is taken out of the table `local`, and whoever has the
address goes on to be reached. It stands in charon's own table instead, into which nobody looks: there the
source of a route has to be local.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, ip_address

from pyroute2 import AsyncIPRoute

from bgpsvc.ipsec.charon import TABLE
from bgpsvc.ipsec.interfaces import attempt, find, suppress_code
from bgpsvc.ipsec.model import IpsecTunnel

_LOOPBACK = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
_LOCAL_TABLE, _LOCAL_TYPE, _HOST_SCOPE, _LINK_SCOPE = 255, 2, 254, 253
_NO_DAD = 0x02  # IFA_F_NODAD
_ROUTE_PATIENCE, _LOOK_AGAIN = 2.0, 0.01
"""Seconds."""

Address = IPv4Address | IPv6Address


def anchors(tunnel: IpsecTunnel) -> set[Address]:
    """An address of each network of our side in which the gateway may have none."""
    own = [interface.ip for interface in tunnel.addresses]
    return {
        network.network_address
        for network, _ in tunnel.pairs
        if not any(address in network for address in (*own, *_LOOPBACK))
    }


async def keep(name: str, wanted: Collection[Address]) -> None:
    """Have these addresses, and no others, on a placeholder. Idempotent. DriverError."""
    link = await find(name)
    if link is None or not link.placeholder:
        return
    with attempt(f"the placeholder {name} cannot be given addresses"):
        async with AsyncIPRoute() as route:
            present = await _present(route, link.index)
            for address in present.difference(wanted):
                with suppress_code(errno.EADDRNOTAVAIL):
                    await route.addr(
                        "del", index=link.index, address=str(address), prefixlen=_length(address)
                    )
                await _delete_route(route, link.index, address, TABLE)
            for address in wanted:
                if address not in present:
                    await _add(route, link.index, address)
                await _withdraw(route, link.index, address, new=address not in present)


async def _present(route: AsyncIPRoute, index: int) -> set[Address]:
    return {
        ip_address(message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS"))
        async for message in await route.addr("dump", index=index)
        if message["scope"] != _LINK_SCOPE
    }


async def _add(route: AsyncIPRoute, index: int, address: Address) -> None:
    more = {"flags": _NO_DAD} if address.version == 6 else {}
    with suppress_code(errno.EEXIST):
        await route.addr("add", index=index, address=str(address), prefixlen=_length(address), **more)
    if address.version == 4:
        with suppress_code(errno.EEXIST):
            # The metric tells those of several tunnels apart.
            await route.route("add", **_route(index, address, TABLE), priority=index)


async def _withdraw(route: AsyncIPRoute, index: int, address: Address, new: bool) -> None:
    """Take an address's route out of the table `local`."""
    deadline = time.monotonic() + _ROUTE_PATIENCE
    # The kernel makes the route of a new IPv6 address in a work queue, behind the answer that it has the
    # address: what is deleted before that comes back. An interface that is down has no such route at all.
    while not await _delete_route(route, index, address, _LOCAL_TABLE):
        if not new or address.version == 4 or time.monotonic() > deadline:
            return
        await asyncio.sleep(_LOOK_AGAIN)


async def _delete_route(route: AsyncIPRoute, index: int, address: Address, table: int) -> bool:
    """False if there was none."""
    with suppress_code(errno.ESRCH, errno.ENOENT):
        await route.route("del", **_route(index, address, table))
        return True
    return False


def _route(index: int, address: Address, table: int) -> dict[str, object]:
    found: dict[str, object] = {
        "dst": f"{address}/{_length(address)}",
        "family": socket.AF_INET if address.version == 4 else socket.AF_INET6,
        "table": table,
        "type": _LOCAL_TYPE,
        "oif": index,
    }
    return found if address.version == 6 else {**found, "scope": _HOST_SCOPE}


def _length(address: Address) -> int:
    return address.max_prefixlen
