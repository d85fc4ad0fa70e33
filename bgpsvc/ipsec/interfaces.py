"""Tunnel interfaces in the kernel: made or taken over, named, addressed, and removed again.

What is ours is marked by its ifalias, `bgpsvc:<tunnel id>`; nothing else is touched. All is done in the
network namespace of the calling thread, and errors are `DriverError`s of cause INTERFACE_FAILED.

The TUN of a charon gets the tunnel's name, but charon goes on to know it by the one that it was made with,
and sets a route over that name before it installs a child SA. So a placeholder keeps it: a TUN without a
process, marked `bgpsvc-placeholder:<tunnel id>`. The route is in a table that nobody looks into
(`charon.TABLE`).
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_interface
from pathlib import Path
from typing import Any

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from bgpsvc.ipsec.model import Cause, IPInterface
from bgpsvc.ipsec.port import DriverError
from bgpsvc.model import SessionId

ALIAS = "bgpsvc:"
PLACEHOLDER_ALIAS = "bgpsvc-placeholder:"
TUN_DEVICE = Path("/dev/net/tun")
DEFAULT_PATH_MTU = 1500
_SETTINGS = Path("/proc/sys/net/ipv4/conf")
_SETTINGS6 = Path("/proc/sys/net/ipv6/conf")
_TUNSETIFF, _TUNSETPERSIST = 0x400454CA, 0x400454CB
_IFF_TUN, _IFF_NO_PI, _IFF_TUN_EXCL = 0x0001, 0x1000, 0x8000
_IFF_UP, _IFF_LOOPBACK = 0x1, 0x8
_IFREQ = struct.Struct("16sH22x")
_IN6_ADDR_GEN_MODE_NONE = 1
_LOOSE = 2


@dataclass(frozen=True, slots=True)
class Link:
    """An interface. `tunnel`: whose it is by its mark; `placeholder`: it only keeps a name."""

    index: int
    name: str
    kind: str
    mtu: int
    up: bool
    alias: str
    packets_sent: int

    @property
    def tunnel(self) -> SessionId | None:
        for mark in (ALIAS, PLACEHOLDER_ALIAS):
            if self.alias.startswith(mark):
                return SessionId(self.alias.removeprefix(mark))
        return None

    @property
    def placeholder(self) -> bool:
        return self.alias.startswith(PLACEHOLDER_ALIAS)


@contextmanager
def attempt(what: str) -> Iterator[None]:
    """Make a DriverError of what the kernel refuses meanwhile; `what` says what cannot be done."""
    try:
        yield
    except NetlinkError as error:
        raise DriverError(Cause.INTERFACE_FAILED, f"{what}: {os.strerror(error.code)}") from error
    except OSError as error:
        raise DriverError(Cause.INTERFACE_FAILED, f"{what}: {error.strerror or error}") from error


# Finding ---------------------------------------------------------------------------------------


async def find(name: str) -> Link | None:
    """The interface of a name. DriverError."""
    with attempt(f"the interface {name} cannot be looked for"), suppress_code(errno.ENODEV):
        async with AsyncIPRoute() as route:
            # Not all are read: that takes long where there are thousands.
            (message,) = await route.link("get", ifname=name)
            return _link(message)
    return None


async def ours() -> list[Link]:
    """All interfaces that bear our mark, placeholders too."""
    return [link for link in await _links() if link.tunnel is not None]


async def _links() -> list[Link]:
    with attempt("the interfaces cannot be listed"):
        async with AsyncIPRoute() as route:
            return [_link(message) async for message in await route.link("dump")]


def _link(message: Any) -> Link:
    info = message.get_attr("IFLA_LINKINFO")
    stats = message.get_attr("IFLA_STATS64") or {}
    return Link(
        index=message["index"],
        name=message.get_attr("IFLA_IFNAME") or "",
        kind=(info.get_attr("IFLA_INFO_KIND") if info else None) or "",
        mtu=message.get_attr("IFLA_MTU") or 0,
        up=bool(message["flags"] & _IFF_UP),
        alias=message.get_attr("IFLA_IFALIAS") or "",
        packets_sent=stats.get("tx_packets", 0),
    )


def tun_of(pid: int) -> str | None:
    """Name of the TUN that a process has open, None if it has none. DriverError if it can't be looked at."""
    folder = Path(f"/proc/{pid}/fdinfo")
    with attempt("the TUN device of charon cannot be found"):
        for entry in folder.iterdir():
            with suppress(FileNotFoundError):
                for line in entry.read_text(encoding="utf-8").splitlines():
                    if line.startswith("iff:"):
                        return line.removeprefix("iff:").strip()
    return None


async def has_address(address: IPv4Address) -> bool:
    """Whether an interface of this namespace has the address. DriverError."""
    with attempt("the addresses cannot be listed"):
        async with AsyncIPRoute() as route:
            found = await route.addr("dump", family=socket.AF_INET, local=str(address))
            return any([True async for _ in found])


async def path_mtu(remote: IPv4Address) -> int:
    """What the first hop of the way to an address carries in one packet, in bytes; as far as is known.

    Where there is no way now, what is usual: this is asked again when the tunnel is brought up again.
    DriverError.
    """
    with attempt(f"the way to {remote} cannot be looked up"):
        async with AsyncIPRoute() as route:
            with suppress_code(errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL):
                (found,) = await route.route("get", dst=str(remote))
                metrics = found.get_attr("RTA_METRICS")
                if metrics and (of_route := metrics.get_attr("RTAX_MTU")):
                    return int(of_route)
                (message,) = await route.link("get", index=found.get_attr("RTA_OIF"))
                mtu = _link(message).mtu
                # The loopback's 64 KiB are no measure for a peer on the same machine.
                return min(mtu, DEFAULT_PATH_MTU) if message["flags"] & _IFF_LOOPBACK else mtu
    return DEFAULT_PATH_MTU


# Making ----------------------------------------------------------------------------------------


async def take_over(pid: int, name: str, tunnel: SessionId) -> None:
    """Give the TUN of a process the tunnel's name and mark. Idempotent. DriverError."""
    present = tun_of(pid)
    if present is None:
        raise DriverError(
            Cause.INTERFACE_FAILED, "charon has no TUN device: its plugin kernel-libipsec failed"
        )
    if present == name:
        return
    await make_room(name)
    link = await find(present)
    if link is None:
        raise DriverError(Cause.INTERFACE_FAILED, f"charon's {present} is not in this network namespace")
    with attempt(f"charon's {present} cannot be named {name}"):
        async with AsyncIPRoute() as route:
            # Only an interface that is down can be renamed.
            await route.link("set", index=link.index, state="down")
            await route.link("set", index=link.index, ifname=name, ifalias=ALIAS + tunnel)


async def keep_name(name: str, tunnel: SessionId) -> None:
    """Have an interface of this name: a placeholder unless there is one. Idempotent. DriverError."""
    link = await find(name)
    if link is None:
        with attempt(f"the placeholder {name} cannot be made"):
            await _make_placeholder(name, PLACEHOLDER_ALIAS + tunnel)
        link = await find(name)
    if link is not None and link.placeholder and not link.up:
        with attempt(f"the placeholder {name} cannot be set up"):
            async with AsyncIPRoute() as route:
                await _no_link_local(route, link.index)
                await route.link("set", index=link.index, state="up")


async def _make_placeholder(name: str, alias: str) -> None:
    """Nothing is made if there is an interface of this name: another charon may just have taken it."""
    descriptor = os.open(TUN_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    try:
        request = _IFREQ.pack(name.encode(), _IFF_TUN | _IFF_NO_PI | _IFF_TUN_EXCL)
        fcntl.ioctl(descriptor, _TUNSETIFF, request)
        # It stays only from when it is known to be ours: if we are killed before, it goes.
        async with AsyncIPRoute() as route:
            await route.link("set", index=socket.if_nametoindex(name), ifalias=alias)
        fcntl.ioctl(descriptor, _TUNSETPERSIST, 1)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
    finally:
        os.close(descriptor)


async def make_xfrm(name: str, tunnel: SessionId, if_id: int) -> None:
    """Make an XFRM interface of this id, or leave it if it is there; one with another id is made anew.

    Name and mark are given in one step, so that none with the name is left without the mark. DriverError.
    """
    with attempt(f"the XFRM interface {name} cannot be made"):
        async with AsyncIPRoute() as route:
            with suppress_code(errno.ENODEV):
                (present,) = await route.link("get", ifname=name)
                if _is_xfrm(present, if_id) and _link(present).alias == ALIAS + tunnel:
                    return
            await make_room(name)
            nameless = xfrm_nameless(if_id)
            with suppress_code(errno.EEXIST):
                await route.link("add", ifname=nameless, kind="xfrm", xfrm_if_id=if_id)
            made = await find(nameless)
            if made is None:
                text = f"the if_id {if_id:#x} for {name} is another interface's: remove that"
                raise DriverError(Cause.INTERFACE_FAILED, text)
            await route.link("set", index=made.index, ifname=name, ifalias=ALIAS + tunnel)


def xfrm_nameless(if_id: int) -> str:
    """What an XFRM interface of this id is called until it gets its name."""
    return f"bgpsvc-{if_id:08x}"


def _is_xfrm(message: Any, if_id: int) -> bool:
    info = message.get_attr("IFLA_LINKINFO")
    if info is None or info.get_attr("IFLA_INFO_KIND") != "xfrm":
        return False
    data = info.get_attr("IFLA_INFO_DATA")
    return data is not None and data.get_attr("IFLA_XFRM_IF_ID") == if_id


async def configure(name: str, addresses: Collection[IPInterface], mtu: int) -> None:
    """Have exactly these addresses and this MTU on an interface, and have it up. Idempotent. DriverError."""
    link = await find(name)
    if link is None:
        raise DriverError(Cause.INTERFACE_FAILED, f"there is no interface {name}")
    _set_reverse_path_filter(name)
    if any(address.version == 6 for address in addresses):
        _allow_ipv6(name)
    with attempt(f"the interface {name} cannot be set up"):
        async with AsyncIPRoute() as route:
            await _no_link_local(route, link.index)
            if link.mtu != mtu:
                await route.link("set", index=link.index, mtu=mtu)
            if not link.up:
                # As soon as it is up routes are led there, which need our address. That of IPv6 can't be put
                # on an interface that was never up.
                await _set_addresses(route, link.index, [a for a in addresses if a.version == 4])
                await route.link("set", index=link.index, state="up")
            await _set_addresses(route, link.index, addresses)


async def _no_link_local(route: AsyncIPRoute, index: int) -> None:
    """No automatic IPv6 address: nobody there takes part in neighbour discovery."""
    mode = {"attrs": [("IFLA_INET6_ADDR_GEN_MODE", _IN6_ADDR_GEN_MODE_NONE)]}
    spec = {"attrs": [("AF_INET6", mode)]}
    # Without IPv6 in the kernel, or on this interface, there is nothing to prevent.
    with suppress_code(errno.EAFNOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL):
        await route.link("set", index=index, IFLA_AF_SPEC=spec)


async def _set_addresses(route: AsyncIPRoute, index: int, wished: Collection[IPInterface]) -> None:
    present: set[IPInterface] = set()
    async for message in await route.addr("dump", index=index):
        # On a point-to-point interface IFA_ADDRESS may be the peer's.
        text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
        present.add(ip_interface(f"{text}/{message['prefixlen']}"))
    for address in present - set(wished):
        with suppress_code(errno.EADDRNOTAVAIL):
            await route.addr("del", index=index, address=str(address.ip), prefixlen=address.network.prefixlen)
    for address in wished:
        if address not in present:
            await route.addr("add", index=index, address=str(address.ip), prefixlen=address.network.prefixlen)


class suppress_code:  # reads like contextlib.suppress
    """Take these answers of the kernel for success."""

    def __init__(self, *codes: int) -> None:
        self._codes = codes

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        return isinstance(error, NetlinkError) and error.code in self._codes


def _set_reverse_path_filter(name: str) -> None:
    """Take packets also where the way back is another (RFC 3704 2.4): the standby's traffic, for one.

    The stricter of the interface's value and that for all interfaces counts, loose before strict, so where
    there is a filter for all, loose is what is left.
    """
    everywhere, own = _SETTINGS / "all" / "rp_filter", _SETTINGS / name / "rp_filter"
    wished = 0
    try:
        wished = _LOOSE if int(everywhere.read_text()) else 0
        if int(own.read_text()) not in (wished, _LOOSE):
            own.write_text(str(wished))
    except OSError as error:
        text = (
            f"{own} cannot be set to {wished} ({error.strerror}): set it from outside, for a container with "
            f"--sysctl net.ipv4.conf.default.rp_filter={wished}"
        )
        raise DriverError(Cause.INTERFACE_FAILED, text) from error


def _allow_ipv6(name: str) -> None:
    """Containers often have IPv6 switched off for every new interface."""
    setting = _SETTINGS6 / name / "disable_ipv6"
    try:
        if int(setting.read_text()):
            setting.write_text("0")
    except OSError as error:
        text = (
            f"{name} cannot have IPv6 addresses: {setting} cannot be set to 0 ({error.strerror}); "
            "set it from outside, for a container with --sysctl net.ipv6.conf.default.disable_ipv6=0"
        )
        raise DriverError(Cause.INTERFACE_FAILED, text) from error


# Removing --------------------------------------------------------------------------------------


async def make_room(name: str) -> None:
    """Remove what a former daemon left under this name. DriverError if it is somebody else's."""
    link = await find(name)
    if link is None:
        return
    if link.tunnel is None:
        text = f"the name {name} is taken by an interface that is not ours; rename it or the connection"
        raise DriverError(Cause.INTERFACE_FAILED, text)
    await remove([link])


async def remove(links: Collection[Link]) -> None:
    """Remove interfaces of ours; that one is gone is no error. DriverError."""
    async with AsyncIPRoute() as route:
        for link in links:
            with attempt(f"the interface {link.name} cannot be removed"), suppress_code(errno.ENODEV):
                await route.link("del", index=link.index)


async def remove_rules(table: int) -> None:
    """Remove the policy rules that lead to a table; charons that were killed leave theirs. DriverError."""
    with attempt(f"the policy rules of table {table} cannot be removed"):
        async with AsyncIPRoute() as route:
            for family in (socket.AF_INET, socket.AF_INET6):
                with suppress_code(errno.EAFNOSUPPORT, errno.ENOENT):
                    rules = [rule async for rule in await route.rule("dump", family=family, table=table)]
                    for rule in rules:
                        if rule.get_attr("FRA_TABLE") == table:
                            priority = rule.get_attr("FRA_PRIORITY")
                            await route.rule("del", family=family, table=table, priority=priority)


async def remove_of(tunnel: SessionId) -> None:
    """Remove all interfaces of a tunnel, placeholders too. DriverError."""
    await remove([link for link in await ours() if link.tunnel == tunnel])
