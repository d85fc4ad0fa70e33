"""XFRM interfaces of the tunnels, each with an if_id of its own, and the MSS clamp on them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address

from pyroute2 import AsyncIPRoute

from bgpsvc.ipsec import interfaces
from bgpsvc.ipsec.firewall import Clamp, Firewall
from bgpsvc.ipsec.ifids import IfIds
from bgpsvc.ipsec.model import Cause, IpsecTunnel
from bgpsvc.ipsec.mtu import tunnel_mtu
from bgpsvc.ipsec.port import DriverError
from bgpsvc.model import SessionId


@dataclass(frozen=True, slots=True)
class XfrmLink:
    """What was made, or found."""

    if_id: int
    mtu: int


class XfrmLinks:
    """All are in the network namespace of the event loop's thread. What is not ours is never touched."""

    def __init__(self) -> None:
        self._ids = IfIds()
        self._firewall = Firewall()
        self._clamps: dict[SessionId, Clamp] = {}

    async def start(self, wanted: Collection[SessionId]) -> None:
        """Adopt the interfaces of these tunnels, remove those of others. DriverError."""
        numbers = await _numbers()
        kept: dict[SessionId, int] = {}
        removed: list[interfaces.Link] = []
        for name in [name for name, number in numbers.items() if name == interfaces.xfrm_nameless(number)]:
            # Of a daemon that was killed as it made it.
            del numbers[name]
            if (link := await interfaces.find(name)) is not None:
                removed.append(link)
        for link in await interfaces.ours():
            number = numbers.pop(link.name, None)
            if link.tunnel is None or link.tunnel not in wanted or number is None:
                removed.append(link)
            else:
                kept[link.tunnel] = number
                self._clamps[link.tunnel] = Clamp(link.name, link.mtu)
        await interfaces.remove(removed)
        self._ids.found(kept, numbers.values())

    async def make(self, tunnel: IpsecTunnel) -> XfrmLink:
        """Have the interface of a tunnel, up and with its addresses. Idempotent. DriverError."""
        if_id = self._ids.of(tunnel.id)
        mtu = tunnel.mtu or await _mtu(tunnel)
        await interfaces.make_xfrm(tunnel.interface, tunnel.id, if_id)
        # The clamp before the interface is up: no connection is opened without.
        self._clamps[tunnel.id] = Clamp(tunnel.interface, mtu)
        await self._firewall.apply((), self._clamps.values())
        await interfaces.configure(tunnel.interface, tunnel.addresses, mtu)
        return XfrmLink(if_id, mtu)

    async def has_address(self, address: IPv4Address) -> bool:
        """Whether an interface of this machine has the address. DriverError."""
        return await interfaces.has_address(address)

    async def remove(self, tunnel: SessionId) -> None:
        """Remove the interface of a tunnel; that there is none is no error. DriverError."""
        await interfaces.remove_of(tunnel)
        self._ids.release(tunnel)
        if self._clamps.pop(tunnel, None) is not None:
            await self._firewall.apply((), self._clamps.values())

    async def sent(self, tunnel: SessionId) -> int:
        """Packets that left by the interface of a tunnel; 0 without one. DriverError."""
        return sum(link.packets_sent for link in await interfaces.ours() if link.tunnel == tunnel)

    async def check(self) -> None:
        """Make the clamp anew if somebody flushed it. DriverError."""
        await self._firewall.restore()

    async def stop(self) -> None:
        """Remove the clamp. DriverError."""
        await self._firewall.remove()


async def _numbers() -> dict[str, int]:
    """The if_ids of all XFRM interfaces, by name."""
    found: dict[str, int] = {}
    async with AsyncIPRoute() as route:
        async for message in await route.link("dump"):
            info = message.get_attr("IFLA_LINKINFO")
            if info is not None and info.get_attr("IFLA_INFO_KIND") == "xfrm":
                data = info.get_attr("IFLA_INFO_DATA")
                found[message.get_attr("IFLA_IFNAME")] = data.get_attr("IFLA_XFRM_IF_ID") if data else 0
    return found


async def _mtu(tunnel: IpsecTunnel) -> int:
    path = await interfaces.path_mtu(tunnel.remote)
    try:
        # Whether there is a NAT turns out later, and may change.
        return tunnel_mtu(path, tunnel.ipsec, tunnel.nat_traversal)
    except ValueError as error:
        raise DriverError(Cause.INTERFACE_FAILED, f"{tunnel.interface}: {error}") from error
