"""Run as `python -m bgpsvc.doctor.trial`: tries in a network namespace of its own what can only be tried.

Prints the findings as JSON. The namespace goes with the process, and all that was made in it. Where none can
be made, as in most containers, what leaves nothing behind is tried in the namespace that there is.
"""

from __future__ import annotations

import asyncio
import ctypes
import dataclasses
import json
import os
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from pyroute2 import IPRoute, NetlinkError

from bgpsvc.doctor.machine import NET_ADMIN, may
from bgpsvc.doctor.report import Finding
from bgpsvc.fib.netlink import Kernel
from bgpsvc.fib.ops import NEXTHOP_IDS, Op, SetGroup, SetNexthop
from bgpsvc.ipsec.choose import CannotChoose, Findings, choose
from bgpsvc.ipsec.choose import Finding as Found
from bgpsvc.ipsec.probe import examine
from bgpsvc.model import Family

NEWNET = 0x40000000
_NOBODY = Path("/nonexistent")
"""Whether a charon answers is not asked here: it would run in another namespace."""
_TCP_MD5SIG, _MD5SIG = 14, struct.Struct("=128sxxHI80s")
_LOOPBACK = 1
_NEXTHOP, _GROUP = NEXTHOP_IDS[-1], NEXTHOP_IDS[-2]


def main() -> int:
    """Exit status: 0 if things could be tried."""
    apart = ctypes.CDLL(None, use_errno=True).unshare(NEWNET) == 0
    why = os.strerror(ctypes.get_errno())
    if not apart and not may(NET_ADMIN):
        print(f"a network namespace cannot be made: {why}", file=sys.stderr)
        return 1
    json.dump([dataclasses.asdict(finding) for finding in findings(apart)], sys.stdout)
    return 0


def findings(apart: bool) -> Iterator[Finding]:
    """All of them; with `apart` the network namespace is changed, otherwise nothing is left in it."""
    yield _nexthops() if apart else _nexthops_read()
    yield _signatures()
    yield from drivers(asyncio.run(examine(_NOBODY)))


def _nexthops() -> Finding:
    try:
        with IPRoute() as ip:
            ip.link("set", index=_LOOPBACK, state="up")
        with Kernel() as kernel:
            group = SetGroup(_GROUP, (_NEXTHOP,))
            made: list[Op] = [SetNexthop(_NEXTHOP, Family.IPV4, _LOOPBACK, None), group]
            errors = kernel.apply(made) or kernel.apply([group])  # again: it is replaced
    except (OSError, NetlinkError) as error:
        return _no_nexthops(str(error))
    if errors:
        return _no_nexthops(errors[0].text)
    return Finding("kernel", "nexthop_groups", "ok", "the kernel makes nexthop groups, and replaces them")


def _nexthops_read() -> Finding:
    try:
        with Kernel() as kernel:
            kernel.nexthops()
    except (OSError, NetlinkError) as error:
        return _no_nexthops(str(error))
    return Finding(
        "kernel", "nexthop_groups", "ok", "the kernel has nexthop groups; none was made, to leave no trace"
    )


def _no_nexthops(why: str) -> Finding:
    return Finding(
        "kernel",
        "nexthop_groups",
        "failed",
        f"nexthop groups cannot be made: {why}",
        "Linux 5.3 or newer is needed, with CAP_NET_ADMIN.",
    )


def _signatures() -> Finding:
    peer = struct.pack("=H2x4s", socket.AF_INET, socket.inet_aton("192.0.2.1"))
    option = _MD5SIG.pack(peer.ljust(128, b"\0"), 3, 0, b"key".ljust(80, b"\0"))
    with socket.socket() as tcp:
        try:
            tcp.setsockopt(socket.IPPROTO_TCP, _TCP_MD5SIG, option)
        except OSError as error:
            return Finding(
                "kernel",
                "tcp_md5",
                "warning",
                f"the kernel takes no TCP MD5 keys ({error.strerror}): sessions with a password stay down",
                "A kernel with CONFIG_TCP_MD5SIG; in FIPS mode MD5 is switched off.",
            )
    return Finding("kernel", "tcp_md5", "ok", "TCP MD5 signatures can be used")


def drivers(found: Findings) -> Iterator[Finding]:
    """Who would make the tunnels with `serve --ipsec auto`, and what they have or miss for it."""
    name, verdict = driver(found)
    yield verdict
    yield _of("kernel", "nftables", found.nft, "apt-get install nftables")
    if name != "xfrm":
        missing = [item.text for item in (found.esp, found.xfrm_interface) if not item.ok]
        yield Finding(
            "kernel",
            "esp",
            "warning",
            f"the kernel does no ESP for us: {'; '.join(missing)}",
            "Encryption in user space works without, and is many times slower.",
        )
        yield _of("kernel", "tun", found.tun, "ESP in user space needs it.")
        remedy = "apt-get install libcharon-extra-plugins libstrongswan-standard-plugins"
        yield _of("strongswan", "libipsec", found.libipsec, remedy)
    else:
        yield Finding("kernel", "esp", "ok", f"{found.esp.text}, {found.xfrm_interface.text}")
    yield _of("strongswan", "charon", found.charon, "apt-get install strongswan-charon")


def driver(found: Findings) -> tuple[str, Finding]:
    """Its name, and what to say of it."""
    try:
        name = choose("auto", dataclasses.replace(found, vici=Found(True, ""))).name
    except CannotChoose as refusal:
        return "external", Finding("strongswan", "driver", "failed", str(refusal))
    if name == "external":
        return name, Finding(
            "strongswan",
            "driver",
            "warning",
            "this machine can make no IPsec tunnel: only interfaces that others make can be used",
            "It needs either the kernel's ESP and XFRM interfaces, or TUN and charon with kernel-libipsec.",
        )
    who = "the kernel's ESP, with strongSwan's service (xfrm)"
    text = who if name == "xfrm" else "charons of our own, ESP in user space (userspace)"
    return name, Finding("strongswan", "driver", "ok", f"tunnels are made by {text}")


def _of(area: str, check: str, found: Found, remedy: str) -> Finding:
    return Finding(area, check, "ok" if found.ok else "warning", found.text, "" if found.ok else remedy)


if __name__ == "__main__":
    sys.exit(main())
