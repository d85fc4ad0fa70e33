"""Starting a lab: what it needs of the machine, its listening sockets, its first process."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import bgpsvc
from bgpsvc.lab.build import new_keys
from bgpsvc.lab.daemons import MAX_VIA_API, LabSpec, Peer, served_gateways
from bgpsvc.lab.handle import CommandFailed, Lab
from bgpsvc.lab.topology import TunnelKind

FIRST_PORT = 8179
_CAP_NET_ADMIN, _CAP_SYS_ADMIN = 12, 21
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_FRR_DIR = "/usr/lib/frr"
CHARON_DIRS = ("/usr/lib/ipsec", "/usr/libexec/ipsec", "/usr/libexec/strongswan", "/usr/lib/strongswan")
"""As `bgpsvc.ipsec` looks for it, which is not imported here: most of the lab's commands are to be quick."""
_PACKAGES = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "mount": "mount",
    "ip": "iproute2",
    "bird": "bird2",
    "zebra": "frr",
    "bfdd": "frr",
    "bgpd": "frr",
    "charon": "strongswan-charon",
    "swanctl": "strongswan-swanctl",
    "nft": "nftables",
}
_USER_NAMESPACE_SWITCHES = {
    "/proc/sys/user/max_user_namespaces": ("0", "sysctl -w user.max_user_namespaces=10000"),
    "/proc/sys/kernel/unprivileged_userns_clone": ("0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": (
        "1",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
}


class CannotStart(Exception):
    """The machine lacks something; the text says what, and how to get it. Exit status 2."""


class LabFailed(Exception):
    """The lab could not be built although everything it needs seemed to be there."""


def find_programs(peer: Peer) -> dict[str, str]:
    """Absolute paths of the programs that a lab runs. Raises CannotStart, naming the missing packages."""
    names = ["unshare", "nsenter", "mount", "ip"]
    names += {Peer.BIRD: ["bird"], Peer.FRR: ["zebra", "bfdd", "bgpd"], Peer.BGPSVC: []}[peer]
    return _found(names)


def _found(names: list[str]) -> dict[str, str]:
    # An ordinary user's PATH often lacks the sbin directories, where most of these live.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *SBIN, _FRR_DIR, *CHARON_DIRS])
    found = {name: shutil.which(name, path=path) for name in names}
    missing = [name for name, where in found.items() if where is None]
    if missing:
        packages = sorted({_PACKAGES[name] for name in missing})
        raise CannotStart(
            f"{', '.join(missing)} not found: apt-get install {' '.join(packages)}",
        )
    return {name: where for name, where in found.items() if where is not None}


def may_make_namespaces() -> bool:
    """True if this process can make network and mount namespaces without a user namespace of its own."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            effective = int(line.split()[1], 16)
            return bool(effective >> _CAP_SYS_ADMIN & 1 and effective >> _CAP_NET_ADMIN & 1)
    return False


def check_namespaces(programs: dict[str, str], rootless: bool) -> None:
    """Raises CannotStart with the switch to turn if the kernel forbids what the lab is made of."""
    if not Path("/proc/sys/net/ipv6").exists():
        raise CannotStart("this kernel runs without IPv6, which the lab uses: boot it without ipv6.disable=1")
    # As a child of the shell, which is the first process that lives in the new PID namespace.
    command = [
        *unshare_command(programs, rootless),
        "/bin/sh",
        "-c",
        f"{programs['mount']} -t tmpfs lab /run; exit",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    advice = [
        f"try: {remedy}"
        for path, (bad, remedy) in _USER_NAMESPACE_SWITCHES.items()
        if rootless and Path(path).exists() and Path(path).read_text().strip() == bad
    ]
    text = f"namespaces cannot be made here: {done.stderr.strip()}"
    raise CannotStart(
        "; ".join([text, *(advice or ["run it as root, or in a container with CAP_SYS_ADMIN"])])
    )


def choose_tunnels(
    asked: TunnelKind | None, prefixes: int, programs: dict[str, str], rootless: bool
) -> tuple[TunnelKind, str | None]:
    """The kind of tunnels, and why it is not IPsec where nobody asked for another kind.

    Raises CannotStart if IPsec was asked for and cannot be.
    """
    if asked is TunnelKind.VXLAN:
        return asked, None
    if prefixes > MAX_VIA_API:
        obstacle: str | None = (
            f"keys are given over REST, and of {prefixes} prefixes only {MAX_VIA_API} fit into a request"
        )
    else:
        obstacle = _no_ipsec_here(programs, rootless)
    if obstacle is None:
        return TunnelKind.IPSEC, None
    if asked is TunnelKind.IPSEC:
        raise CannotStart(f"no IPsec tunnels here: {obstacle}; --tunnels vxlan does without")
    return TunnelKind.VXLAN, obstacle


def _no_ipsec_here(programs: dict[str, str], rootless: bool) -> str | None:
    """What the namespaces of a lab lack for IPsec, None if nothing."""
    # The shell's child is the first process of the new PID namespace; the shell itself could make no thread.
    there = [*unshare_command(programs, rootless), "/bin/sh", "-c", '"$@"; exit', "sh"]
    done = subprocess.run(
        [*there, sys.executable, "-P", "-m", "bgpsvc.lab.possible"],
        capture_output=True,
        text=True,
        env=_environment(),
        check=False,
    )
    if done.returncode == 0:
        return None
    return done.stdout.strip() or done.stderr.strip().rpartition("\n")[2]


def unshare_command(programs: dict[str, str], rootless: bool) -> list[str]:
    """The beginning of a command that runs in new namespaces; its first child is process 1 of the PID one."""
    user = ["--user", "--map-root-user"] if rootless else []
    return [programs["unshare"], *user, "--mount", "--pid", "--net", "--"]


def listen(ports: Iterable[int]) -> socket.socket:
    """A socket listening on the host's loopback, on the first free one of `ports` (0: any)."""
    last: OSError | None = None
    for port in ports:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(128)
        except OSError as error:
            listener.close()
            last = error
            continue
        return listener
    raise CannotStart(f"no free TCP port on 127.0.0.1: {last}")


def start(
    *,
    peer: Peer,
    hold_time: int,
    prefixes: int,
    first_port: int,
    via_api: bool = False,
    tunnels: TunnelKind | None = None,
    report: Callable[[str, float], None],
    note: Callable[[str], None],
) -> Lab:
    """Starts a lab and returns it when its daemons are running (not yet ready).

    The lab lives no longer than this process, unless it is told to `detach`. `tunnels` None: IPsec where it
    can be. `report` is told each phase and the seconds since the start, `note` what is not as one may expect.
    `first_port` 0 takes any ports. Raises CannotStart, LabFailed, CommandFailed.
    """
    programs = find_programs(peer)
    rootless = not may_make_namespaces()
    check_namespaces(programs, rootless)
    kind, why = choose_tunnels(tunnels, prefixes, programs, rootless)
    if why is not None:
        note(f"the tunnels are VXLAN links, not IPsec: {why}")
    plain_strongswan = kind is TunnelKind.IPSEC and peer is not Peer.BGPSVC
    if plain_strongswan:
        programs |= _found(["charon", "swanctl", "nft"])
    began = time.monotonic()
    listeners: dict[str, socket.socket] = {}
    try:
        for gateway in served_gateways(peer):
            candidates = range(first_port + len(listeners), first_port + 1000) if first_port else (0,)
            listeners[gateway.name] = listen(candidates)
        spec = LabSpec(
            python=sys.executable,
            programs=programs,
            sockets={name: listener.fileno() for name, listener in listeners.items()},
            peer=peer,
            hold_time=hold_time,
            prefixes=prefixes,
            via_api=via_api,
            tunnels=kind,
        )
        process = _spawn(spec, rootless)
        ports = {name: listener.getsockname()[1] for name, listener in listeners.items()}
    finally:
        for listener in listeners.values():
            listener.close()
    pid = _follow(process, lambda phase: report(phase, time.monotonic() - began))
    keys = new_keys() if kind is TunnelKind.IPSEC else {}
    lab = Lab(pid=pid, rootless=rootless, spec=spec, ports=ports, process=process, keys=keys)
    if plain_strongswan:
        try:
            lab.load_connections()
        except CommandFailed:
            lab.stop()
            raise
    return lab


def _environment() -> dict[str, str]:
    return {
        **os.environ,
        # An ordinary user's often lacks the directories of what the gateways run.
        "PATH": os.pathsep.join([os.environ.get("PATH", os.defpath), *SBIN]),
        "PYTHONPATH": str(Path(bgpsvc.__file__).parent.parent),
        "PYTHONUNBUFFERED": "1",
    }


def _spawn(spec: LabSpec, rootless: bool) -> subprocess.Popen[str]:
    text = json.dumps(dataclasses.asdict(spec))
    return subprocess.Popen(
        [*unshare_command(spec.programs, rootless), spec.python, "-P", "-m", "bgpsvc.lab.init", text],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(),
        pass_fds=tuple(spec.sockets.values()),
        # Ctrl-C is for the command, which then ends the lab in good order.
        start_new_session=True,
    )


def _follow(process: subprocess.Popen[str], report: Callable[[str], None]) -> int:
    """Reads the events of process 1 until it is ready; returns its process id."""
    assert process.stdout is not None
    pid = 0
    for line in process.stdout:
        event: dict[str, Any] = json.loads(line)
        match event["event"]:
            case "init":
                pid = event["pid"]
            case "failed":
                process.wait()
                raise LabFailed(event["message"])
            case "ready":
                return pid
            case phase:
                report(phase)
    assert process.stderr is not None
    raise LabFailed(f"the lab's first process ended with {process.wait()}: {process.stderr.read().strip()}")
