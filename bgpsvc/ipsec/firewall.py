"""The nft table `inet bgpsvc`: port translation for charons with ports of their own, and the TCP MSS clamp.

Every charon of the `userspace` driver has two private ports; on the wire all of them speak on 500 and 4500,
as any peer expects (RFC 7296 2.23). What comes in is translated after everybody else's input rules, and what
goes out before everybody else's output rules and before connection tracking: other rules of the machine see
the ports that are on the wire. Nothing is remembered of a flow, so replacing the table loses no packet.

A peer behind a NAT may come from any port. charon takes what goes between ports other than 500 for IKE with
a marker before it (RFC 7296 3.1), so on its way in such a peer's port becomes 500; which one it was is kept
for a minute by addresses and the initiator's SPI, the first 8 bytes of any IKE message, for the answers.

The clamp lowers the MSS of forwarded SYNs to what the tunnel carries in one packet, in both directions:
many networks drop the ICMP messages that path MTU discovery needs (RFC 4459 3.2).
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from bgpsvc.ipsec.model import Cause
from bgpsvc.ipsec.port import DriverError

TABLE = "inet bgpsvc"
IKE_PORT, NAT_PORT = 500, 4500
_SEARCHED = f"{os.defpath}:/usr/sbin:/sbin"
_INITIATOR_SPI = "@th,64,64"
"""The 64 bits that follow the UDP header."""
_REMEMBERED, _REMEMBERED_MOST = "1m", 65536
_HEADERS4, _HEADERS6 = 40, 60
"""Bytes of IP and TCP headers without options (RFC 6691)."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Translation:
    """Whose packets go to which private ports. `local` None: to any address of this machine."""

    remote: IPv4Address
    local: IPv4Address | None
    ike_port: int
    nat_port: int


@dataclass(frozen=True, slots=True, order=True)
class Clamp:
    """An interface and the largest packet that it carries, in bytes."""

    interface: str
    mtu: int


def render(translations: Collection[Translation], clamps: Collection[Clamp]) -> str:
    """The table as `nft -f -` reads it; it replaces the one that is there in one step."""
    lines = [f"add table {TABLE}", f"delete table {TABLE}"]
    if translations or clamps:
        lines += [f"table {TABLE} {{"]
        if translations:
            in_order = sorted(translations, key=lambda translation: translation.ike_port)
            lines += [*_incoming(in_order), *_outgoing(in_order)]
        if clamps:
            lines += _clamping(sorted(clamps))
        lines += ["}"]
    return "\n".join(lines) + "\n"


def _incoming(translations: list[Translation]) -> Iterator[str]:
    yield "  map peer_ports {"
    yield f"    typeof ip saddr . ip daddr . {_INITIATOR_SPI} : udp sport"
    yield "    flags dynamic, timeout"
    yield f"    timeout {_REMEMBERED}"
    yield f"    size {_REMEMBERED_MOST}"
    yield "  }"
    yield "  chain input {"
    yield "    type filter hook input priority 350; policy accept;"
    remember = f"update @peer_ports {{ ip saddr . ip daddr . {_INITIATOR_SPI} : udp sport }}"
    remotes = ", ".join(sorted({str(translation.remote) for translation in translations}))
    yield (
        f"    ip saddr {{ {remotes} }} udp dport {IKE_PORT} udp sport != {IKE_PORT} "
        f"{remember} udp sport set {IKE_PORT}"
    )
    for port, name in ((IKE_PORT, "ike_port"), (NAT_PORT, "nat_port")):
        exact = [(f"{t.remote} . {t.local}", getattr(t, name)) for t in translations if t.local is not None]
        loose = [(f"{t.remote}", getattr(t, name)) for t in translations if t.local is None]
        if exact:
            yield f"    udp dport {port} udp dport set ip saddr . ip daddr map {_elements(exact)}"
        if loose:
            yield f"    udp dport {port} udp dport set ip saddr map {_elements(loose)}"
    yield "  }"


def _outgoing(translations: list[Translation]) -> Iterator[str]:
    ports = [
        (f"{t.remote} . {private}", public)
        for t in translations
        for private, public in ((t.ike_port, IKE_PORT), (t.nat_port, NAT_PORT))
    ]
    yield "  chain output {"
    yield "    type filter hook output priority -350; policy accept;"
    yield (
        f"    udp sport {{ {', '.join(str(t.ike_port) for t in translations)} }} udp dport {IKE_PORT} "
        f"udp dport set ip daddr . ip saddr . {_INITIATOR_SPI} map @peer_ports"
    )
    yield f"    udp sport set ip daddr . udp sport map {_elements(ports)}"
    yield "  }"


def _clamping(clamps: list[Clamp]) -> Iterator[str]:
    for mtu in sorted({clamp.mtu for clamp in clamps}):
        yield f"  chain clamp_{mtu} {{"
        for family, headers in (("ipv4", _HEADERS4), ("ipv6", _HEADERS6)):
            size = mtu - headers
            yield (
                f"    meta nfproto {family} tcp option maxseg size > {size} tcp option maxseg size set {size}"
            )
        yield "  }"
    verdicts = ", ".join(f'"{clamp.interface}" : jump clamp_{clamp.mtu}' for clamp in clamps)
    yield "  chain forward {"
    yield "    type filter hook forward priority -150; policy accept;"
    yield f"    tcp flags syn / syn,rst iifname vmap {{ {verdicts} }}"
    yield f"    tcp flags syn / syn,rst oifname vmap {{ {verdicts} }}"
    yield "  }"


def _elements(pairs: list[tuple[str, int]]) -> str:
    return "{ " + ", ".join(f"{key} : {value}" for key, value in pairs) + " }"


class Firewall:
    """The table in the network namespace of the event loop's thread."""

    def __init__(self) -> None:
        self._applied: str | None = None
        self._busy = asyncio.Lock()

    async def apply(self, translations: Collection[Translation], clamps: Collection[Clamp]) -> None:
        """Make the table so, if it is not; DriverError if nft is missing or refuses."""
        wished = render(translations, clamps)
        async with self._busy:
            if wished == self._applied:
                return
            self._applied = None
            await _nft("-f", "-", text=wished)
            self._applied = wished

    async def restore(self) -> None:
        """Make the table anew if somebody flushed it. DriverError."""
        async with self._busy:
            # Without a tunnel there is no table, and none is missing.
            if self._applied not in (None, render((), ())) and not await _exists():
                log.warning("the nft table %s was gone; making it anew", TABLE)
                await _nft("-f", "-", text=self._applied)

    async def remove(self) -> None:
        """Remove the table; that there is none is no error. DriverError."""
        async with self._busy:
            self._applied = None
            await _nft("-f", "-", text=render((), ()))


async def _exists() -> bool:
    tables = await _nft("list", "tables")
    return f"table {TABLE}" in tables.splitlines()


async def _nft(*arguments: str, text: str = "") -> str:
    program = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:{_SEARCHED}")
    if program is None:
        raise DriverError(Cause.OTHER, "nft is missing: install the package nftables")
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise DriverError(Cause.OTHER, f"{program} cannot be run: {error.strerror}") from error
    output, errors = await process.communicate(text.encode())
    if process.returncode:
        said = " ".join(errors.decode("utf-8", "replace").split())[:300]
        raise DriverError(Cause.OTHER, f"nft refused the table {TABLE}: {said}")
    return output.decode("utf-8", "replace")
