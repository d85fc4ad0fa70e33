"""What this kernel and this machine can, found by trying: each thing is made once and removed again.

Reading a version or a module list would say less: modules are loaded on demand, and a container may be
forbidden what its kernel has. Everything is tried in the network namespace of the process.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import secrets
import shutil
import socket
import struct
import subprocess
from pathlib import Path

from pyroute2 import IPRoute, NetlinkError

from bgpsvc.ipsec.charon import find_program, plugins_of
from bgpsvc.ipsec.choose import Finding, Findings
from bgpsvc.ipsec.port import DriverError
from bgpsvc.ipsec.vici import Charon, CharonError

_SECONDS = 3.0
"""How long a charon may take to answer, or nft to end."""

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_NETLINK_XFRM, _NEWSA, _DELSA = 6, 0x10, 0x11
_NLMSG_ERROR, _NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_CREATE_EXCL = 2, 1, 4, 0x600
_ALG_CRYPT, _ALG_AUTH_TRUNC = 2, 20


async def examine(charon_socket: Path) -> Findings:
    """Try everything; takes some seconds at the worst, raises nothing."""
    charon = Charon(charon_socket)
    try:
        vici = await answers(charon)
    finally:
        await charon.close()
    return await asyncio.to_thread(_findings, vici)


def _findings(vici: Finding) -> Findings:
    return Findings(
        xfrm_interface=_xfrm_interface(),
        esp=_esp(),
        nft=_nft(),
        vici=vici,
        tun=_tun(),
        charon=_charon(),
        libipsec=_libipsec(),
    )


async def answers(charon: Charon) -> Finding:
    """Whether a charon that others run answers, and would put its SAs where the daemon's interfaces are."""
    try:
        async with asyncio.timeout(_SECONDS):
            version = (await charon.version()).get("version", "of unknown version")
            plugins = (await charon.stats()).get("plugins", [])
            elsewhere = await asyncio.to_thread(_elsewhere, charon.path)
    except TimeoutError:
        return Finding(False, f"the charon at {charon.path} does not answer: restart strongSwan")
    except (OSError, CharonError) as error:
        return Finding(False, f"no charon answers at {charon.path} ({error}): start strongSwan")
    if "kernel-libipsec" in plugins:
        text = f"the charon at {charon.path} encrypts in user space: set kernel-libipsec.load = no for it"
        return Finding(False, text)
    if elsewhere:
        text = f"the charon at {charon.path} runs in another network namespace: start it in the daemon's"
        return Finding(False, text)
    return Finding(True, f"charon {version} answers at {charon.path}")


def _elsewhere(path: Path) -> bool:
    """True if whoever listens there is in another network namespace than this process; False if unknown."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_SECONDS)
        connection.connect(str(path))
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    (pid, _user, _group) = struct.unpack("3i", credentials)
    try:
        # 0 stands for a process of a PID namespace that we do not see.
        return pid != 0 and not os.path.samefile(f"/proc/{pid}/ns/net", "/proc/self/ns/net")
    except OSError:
        return False


def _refused(what: str, error: OSError | NetlinkError, remedy: str) -> Finding:
    number = error.code if isinstance(error, NetlinkError) else error.errno
    if number in (errno.EPERM, errno.EACCES):
        return Finding(False, f"{what} is not permitted: root or CAP_NET_ADMIN is needed")
    return Finding(False, f"{what} failed ({os.strerror(number or 0)}): {remedy}")


def _xfrm_interface() -> Finding:
    # Down, and gone at once: nothing can pass it. The name is nobody's, and so is a random if_id.
    name = f"bgpsvc-{secrets.token_hex(4)}"
    try:
        with IPRoute() as ip:
            ip.link("add", ifname=name, kind="xfrm", xfrm_if_id=secrets.randbits(31) | 1 << 31)
            ip.link("del", ifname=name)
    except (OSError, NetlinkError) as error:
        remedy = "the kernel lacks the module xfrm_interface (CONFIG_XFRM_INTERFACE)"
        return _refused("making an XFRM interface", error, remedy)
    return Finding(True, "the kernel makes XFRM interfaces")


def _esp() -> Finding:
    spi = struct.pack("!I", secrets.randbits(31) | 1 << 31)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_XFRM) as netlink:
            netlink.bind((0, 0))
            netlink.settimeout(_SECONDS)
            _ask(netlink, _NEWSA, _NLM_F_CREATE_EXCL, _association(spi))
            _ask(netlink, _DELSA, 0, struct.pack("=16s4sHBx", _DESTINATION, spi, socket.AF_INET, 50))
    except OSError as error:
        remedy = "the kernel lacks ESP (modules xfrm_user, esp4, and the ciphers aes and hmac)"
        return _refused("giving the kernel an ESP association", error, remedy)
    return Finding(True, "the kernel encrypts ESP")


_SOURCE, _DESTINATION = (socket.inet_aton(text).ljust(16, b"\0") for text in ("192.0.2.1", "192.0.2.2"))
"""Addresses for documentation (RFC 5737): no packet is ever for them."""


def _association(spi: bytes) -> bytes:
    """`struct xfrm_usersa_info` with AES-CBC and HMAC-SHA-256, as <linux/xfrm.h> lays it out."""
    selector = bytes(56)
    ident = struct.pack("=16s4sB3x", _DESTINATION, spi, socket.IPPROTO_ESP)
    # Soft and hard limits of bytes and packets: none. No limits of time, no statistics.
    lifetimes = struct.pack("=4Q", *4 * (2**64 - 1,)) + bytes(32 + 32 + 12)
    tail = struct.pack("=IIHBBB7x", 0, 0, socket.AF_INET, 1, 32, 0)  # mode 1: tunnel
    crypt = struct.pack("=64sI", b"cbc(aes)", 256) + secrets.token_bytes(32)
    auth = struct.pack("=64sII", b"hmac(sha256)", 256, 128) + secrets.token_bytes(32)
    attributes = b"".join(
        struct.pack("=HH", 4 + len(value), kind) + value
        for kind, value in ((_ALG_CRYPT, crypt), (_ALG_AUTH_TRUNC, auth))
    )
    return selector + ident + _SOURCE + lifetimes + tail + attributes


def _ask(netlink: socket.socket, kind: int, flags: int, body: bytes) -> None:
    """Send one request and wait for the kernel's verdict; OSError if it refuses."""
    flags |= _NLM_F_REQUEST | _NLM_F_ACK
    netlink.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body)
    answer = netlink.recv(4096)
    if struct.unpack_from("=H", answer, 4)[0] == _NLMSG_ERROR:
        (number,) = struct.unpack_from("=i", answer, 16)
        if number:
            raise OSError(-number, os.strerror(-number))


def _tun() -> Finding:
    try:
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        remedy = "load the module tun; for a container add --device /dev/net/tun"
        return _refused("opening /dev/net/tun", error, remedy)
    try:
        name = f"bgpsvc-{secrets.token_hex(4)}".encode()
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name, _IFF_TUN | _IFF_NO_PI))
    except OSError as error:
        return _refused("making a TUN device", error, "the kernel does not make one in this namespace")
    finally:
        os.close(device)  # it is not persistent: it goes with its descriptor
    return Finding(True, "TUN devices can be made")


def _charon() -> Finding:
    try:
        return Finding(True, f"charon is {find_program()}")
    except DriverError as error:
        return Finding(False, str(error))


def _libipsec() -> Finding:
    try:
        plugins_of(find_program())
    except DriverError as error:
        return Finding(False, str(error))
    return Finding(True, "charon has the plugin kernel-libipsec")


_RULESET = """table inet bgpsvc_probe {
  chain forward { type filter hook forward priority -150; tcp flags & (syn | rst) == syn \
tcp option maxseg size set rt mtu; }
  chain prerouting { type filter hook prerouting priority -350; udp dport 500 udp dport set 500; }
}
"""


def _nft() -> Finding:
    path = shutil.which("nft") or shutil.which("nft", path="/usr/sbin:/sbin")
    if path is None:
        return Finding(False, "nft is not installed (Debian: nftables)")
    command = [path, "--check", "--file", "-"]  # the kernel judges the rules and forgets them
    try:
        done = subprocess.run(
            command, input=_RULESET, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(False, f"{path} cannot be run: {error}")
    if done.returncode:
        said = " ".join(done.stderr.split())
        return Finding(False, f"nftables does not work here ({said}): module nf_tables, CAP_NET_ADMIN")
    return Finding(True, "nftables takes rules")
