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
from bgpsvc.lab.daemons import LabSpec, Peer, served_gateways
from bgpsvc.lab.handle import Lab

FIRST_PORT = 8179
_CAP_NET_ADMIN, _CAP_SYS_ADMIN = 12, 21
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_FRR_DIR = "/usr/lib/frr"
_PACKAGES = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "mount": "mount",
    "ip": "iproute2",
    "bird": "bird2",
    "zebra": "frr",
    "bgpd": "frr",
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
    names += {Peer.BIRD: ["bird"], Peer.FRR: ["zebra", "bgpd"], Peer.BGPSVC: []}[peer]
    # An ordinary user's PATH often lacks the sbin directories, where most of these live.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *SBIN, _FRR_DIR])
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
    report: Callable[[str, float], None],
) -> Lab:
    """Starts a lab and returns it when its daemons are running (not yet ready).

    The lab lives no longer than this process, unless it is told to `detach`. `report` is told each phase and
    the seconds since the start. `first_port` 0 takes any ports. Raises CannotStart, LabFailed.
    """
    programs = find_programs(peer)
    rootless = not may_make_namespaces()
    check_namespaces(programs, rootless)
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
        )
        process = _spawn(spec, rootless)
        ports = {name: listener.getsockname()[1] for name, listener in listeners.items()}
    finally:
        for listener in listeners.values():
            listener.close()
    pid = _follow(process, lambda phase: report(phase, time.monotonic() - began))
    return Lab(pid=pid, rootless=rootless, spec=spec, ports=ports, process=process)


def _spawn(spec: LabSpec, rootless: bool) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(bgpsvc.__file__).parent.parent),
        "PYTHONUNBUFFERED": "1",
    }
    text = json.dumps(dataclasses.asdict(spec))
    return subprocess.Popen(
        [*unshare_command(spec.programs, rootless), spec.python, "-P", "-m", "bgpsvc.lab.init", text],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
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
