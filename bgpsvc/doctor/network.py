"""What else is on the machine: who has our ports, who would take our routes away, what drops our packets."""

from __future__ import annotations

import configparser
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bgpsvc.diagnosing import ports
from bgpsvc.doctor.report import Finding
from bgpsvc.fib.prepare import SYSCTLS

UDP_PORTS = {500: "IKE", 4500: "IKE and ESP behind a NAT", 3784: "BFD (single hop)", 4784: "BFD (multihop)"}
TCP_PORTS = {179: "BGP"}
OURS = ("charon", "charon-systemd", "bgpsvc", "python3", "python")
NETWORKD = ("etc/systemd/networkd.conf", "run/systemd/networkd.conf", "usr/lib/systemd/networkd.conf")
FEW_NEIGHBOURS = 1024
"""Linux's default of net.ipv4.neigh.default.gc_thresh3."""
_SECONDS = 5.0


def look(root: Path = Path("/")) -> Iterator[Finding]:
    """Everything here; `root` holds `proc`, `etc` and `run`."""
    yield sysctls(root / "proc/sys")
    yield from taken("udp", UDP_PORTS, ports.owners, ports.is_bound)
    yield from taken("tcp", TCP_PORTS, ports.listeners, ports.is_listened)
    yield from networkd(root)
    yield reverse_path(root / "proc/sys/net/ipv4/conf/all/rp_filter")
    table = root / "proc/sys/net/ipv4/neigh/default/gc_thresh3"
    if table.exists():  # only seen in the machine's own namespace, and meant for all
        yield neighbours(table)
    yield from input_policy(_ruleset())


def sysctls(root: Path) -> Finding:
    """The settings of this network namespace that forwarding needs: right, or the daemon can set them."""
    wanted = {name: value for name, value in SYSCTLS.items() if (root / name).exists()}
    wrong = {name: value for name, value in wanted.items() if (root / name).read_text().strip() != value}
    fixed = [name for name in wrong if not os.access(root / name, os.W_OK)]
    if fixed:
        settings = [f"{name.replace('/', '.')}={wrong[name]}" for name in fixed]
        return Finding(
            "network",
            "sysctls",
            "failed",
            f"the daemon needs {', '.join(settings)}, and may not set it",
            "Set it from outside, for a container with " + " ".join(f"--sysctl {each}" for each in settings),
        )
    told = "are set by the daemon when it starts" if wrong else "are as they have to be"
    return Finding("network", "sysctls", "ok", f"sysctls of forwarding {told}")


def taken(
    kind: str,
    wanted: Mapping[int, str],
    owners: Callable[[int], dict[int, str]],
    is_taken: Callable[[int], bool],
) -> Iterator[Finding]:
    """Ports that somebody else has; `owners` are those that can be seen."""
    free = []
    for port, purpose in wanted.items():
        having = owners(port)
        others = [f"{name} (pid {pid})" for pid, name in having.items() if name not in OURS]
        if not having and is_taken(port):
            others = ["a process that cannot be seen from here"]
        if not others:
            free.append(port)
            continue
        yield Finding(
            "network",
            f"{kind}_{port}",
            "warning",
            f"{kind.upper()} port {port} is taken by {', '.join(others)}: {purpose} cannot use it",
            "Stop it, have it listen on other addresses, or run the gateway in a network namespace "
            "(`serve --netns`)."
            if having
            else "Run doctor as root, outside of containers, to see whose it is.",
        )
    if free:
        ports_are = f"port {free[0]} is" if len(free) == 1 else f"ports {', '.join(map(str, free))} are"
        yield Finding("network", f"{kind}_ports", "ok", f"{kind.upper()} {ports_are} free, or ours")


def networkd(root: Path) -> Iterator[Finding]:
    """systemd-networkd removes routes, rules and nexthops of others when it starts, unless told not to."""
    if not (root / "run/systemd/netif").exists():
        return
    settings: dict[str, str] = {}
    for name in reversed(NETWORKD):
        for path in (root / name, *sorted((root / f"{name}.d").glob("*.conf"))):
            settings |= _section(path)
    wanted = ("ManageForeignRoutes", "ManageForeignRoutingPolicyRules", "ManageForeignNextHops")
    managed = [key for key in wanted if settings.get(key.lower(), "yes") not in ("no", "false", "0", "off")]
    if not managed:
        yield Finding("network", "networkd", "ok", "systemd-networkd leaves routes of others alone")
        return
    yield Finding(
        "network",
        "networkd",
        "warning",
        "systemd-networkd runs, and removes routes, rules and nexthops of others when it is restarted",
        "In /etc/systemd/networkd.conf, section [Network]: "
        + ", ".join(f"{key}=no" for key in managed)
        + ".",
    )


def _section(path: Path) -> dict[str, str]:
    parser = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True)
    if not path.is_file():
        return {}
    parser.read_string(path.read_text())
    return {key: value or "" for key, value in parser["Network"].items()} if "Network" in parser else {}


def reverse_path(path: Path) -> Finding:
    """Strict reverse path filtering for all interfaces drops what comes over the standby (RFC 3704 2.2)."""
    if path.read_text().strip() == "1":
        return Finding(
            "network",
            "rp_filter",
            "warning",
            "net.ipv4.conf.all.rp_filter is 1 (strict); tunnels get 2 (loose) from the daemon, interfaces of "
            "others that carry VPC traffic do not",
            "sysctl -w net.ipv4.conf.all.rp_filter=2, if traffic takes different ways there and back.",
        )
    return Finding("network", "rp_filter", "ok", "reverse path filtering lets asymmetric traffic pass")


def neighbours(path: Path) -> Finding:
    """The neighbour table has an entry for each peer on a link with addresses."""
    most = int(path.read_text())
    shown = f"the neighbour table holds {most} entries"
    if most < FEW_NEIGHBOURS:
        return Finding(
            "network",
            "neighbour_table",
            "warning",
            f"{shown}, of all network namespaces together",
            f"sysctl -w net.ipv4.neigh.default.gc_thresh3={FEW_NEIGHBOURS}; more for many hosts or tunnels.",
        )
    return Finding("network", "neighbour_table", "ok", shown)


def _ruleset() -> list[dict[str, Any]] | str:
    path = shutil.which("nft") or shutil.which("nft", path="/usr/sbin:/sbin")
    if path is None:
        return "nft is not installed"
    command = [path, "--json", "list", "chains"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode:
        return " ".join(done.stderr.split())
    found: list[dict[str, Any]] = json.loads(done.stdout)["nftables"]
    return found


def input_policy(ruleset: list[dict[str, Any]] | str) -> Iterator[Finding]:
    """Chains of nftables (and iptables, which uses it) that drop what no rule lets in."""
    if isinstance(ruleset, str):
        yield Finding("network", "firewall", "skipped", f"the firewall's rules cannot be read: {ruleset}")
        return
    chains = [item["chain"] for item in ruleset if "chain" in item]
    dropping = [
        f"{chain['family']} {chain['table']} {chain['name']}"
        for chain in chains
        if chain.get("hook") in ("input", "forward") and chain.get("policy") == "drop"
    ]
    if not dropping:
        yield Finding("network", "firewall", "ok", "no chain of the firewall drops by default")
        return
    yield Finding(
        "network",
        "firewall",
        "warning",
        f"the firewall drops what no rule allows ({', '.join(dropping)})",
        "Allow UDP 500 and 4500 and ESP on the outside; TCP 179, UDP 3784 and 4784 and ICMP on the tunnels; "
        "and forwarding between tunnels and the VPC's interfaces.",
    )
