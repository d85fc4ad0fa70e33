"""The machine itself: kernel, Python, what this process may do, limits, memory, clock."""

from __future__ import annotations

import ctypes
import platform
import re
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from bgpsvc.doctor.report import Finding

KERNEL = (5, 3)
"""The first with nexthop objects (net/ipv4/nexthop.c)."""
PYTHON = (3, 11)
NET_ADMIN, NET_RAW, SYS_ADMIN, SYS_NICE, NET_BIND_SERVICE = 12, 13, 21, 23, 10
"""Bits of capabilities(7)."""
CAPABILITIES = {
    NET_ADMIN: ("CAP_NET_ADMIN", "failed", "routes, rules, tunnels and TCP MD5 keys"),
    NET_RAW: ("CAP_NET_RAW", "failed", "echo requests and the probes of a diagnosis"),
    NET_BIND_SERVICE: ("CAP_NET_BIND_SERVICE", "failed", "the ports 179, 500 and 4500"),
    SYS_NICE: ("CAP_SYS_NICE", "warning", "real-time priority of the guard"),
}
FILES = 4096
"""Open files that suffice for 1,000 sessions."""
MEMORY = 1 << 30
"""Bytes: a million routes of two sessions take a little over half of it."""
_TIME_ERROR = 5
"""What adjtimex(2) returns while the clock is not synchronized."""
_TIMEX_BYTES = 256
"""More than `struct timex` has on any architecture."""


def look(root: Path = Path("/")) -> Iterator[Finding]:
    """Everything here; `root` holds `proc`."""
    yield kernel_version(platform.release())
    yield python_version(sys.version_info[:3])
    yield from capabilities((root / "proc/self/status").read_text())
    yield open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    limit = root / "sys/fs/cgroup/memory.max"
    yield memory((root / "proc/meminfo").read_text(), limit.read_text() if limit.is_file() else "max")
    yield clock(_adjtimex())


def kernel_version(release: str) -> Finding:
    """Judge the text of `uname -r`."""
    found = re.match(r"(\d+)\.(\d+)", release)
    if found is None or (int(found[1]), int(found[2])) < KERNEL:
        newest = ".".join(map(str, KERNEL))
        return Finding(
            "system",
            "kernel_version",
            "failed",
            f"Linux {release} has no nexthop objects",
            f"Linux {newest} or newer is needed.",
        )
    return Finding("system", "kernel_version", "ok", f"Linux {release}")


def python_version(version: tuple[int, ...]) -> Finding:
    """Judge the interpreter's version."""
    text = ".".join(map(str, version))
    if version[:2] < PYTHON:
        return Finding("system", "python", "failed", f"Python {text}", "Python 3.11 or newer is needed.")
    return Finding("system", "python", "ok", f"Python {text}")


def capabilities(status: str) -> Iterator[Finding]:
    """What this process may do, of the text of /proc/PID/status."""
    effective = _effective(status)
    missing = [words for bit, words in CAPABILITIES.items() if not effective >> bit & 1]
    if not missing:
        yield Finding("system", "capabilities", "ok", "this user may do all that the daemon does")
    for name, outcome, purpose in missing:
        yield Finding(
            "system",
            name.lower(),
            "failed" if outcome == "failed" else "warning",
            f"{name} is missing: {purpose}",
            "Run it as the user of the daemon (root, or with AmbientCapabilities= under systemd, --cap-add "
            "for a container).",
        )


def may(capability: int) -> bool:
    """Whether this process has a capability."""
    return bool(_effective(Path("/proc/self/status").read_text()) >> capability & 1)


def _effective(status: str) -> int:
    (line,) = [line for line in status.splitlines() if line.startswith("CapEff:")]
    return int(line.split()[1], 16)


def open_files(hard: int) -> Finding:
    """Judge the hard limit of open files."""
    if hard != resource.RLIM_INFINITY and hard < FILES:
        return Finding(
            "system",
            "open_files",
            "warning",
            f"at most {hard} open files",
            f"For hundreds of sessions raise it to {FILES} (LimitNOFILE= under systemd, ulimit -Hn).",
        )
    shown = "any number of" if hard == resource.RLIM_INFINITY else str(hard)
    return Finding("system", "open_files", "ok", f"{shown} open files are allowed")


def memory(meminfo: str, limit: str = "max") -> Finding:
    """Judge the memory that is free for use, of the texts of /proc/meminfo and of the cgroup's memory.max."""
    (line,) = [line for line in meminfo.splitlines() if line.startswith("MemAvailable:")]
    available = int(line.split()[1]) * 1024
    shown = f"{available / (1 << 30):.1f} GiB of memory are available"
    if limit.strip() != "max" and int(limit) < available:
        available = int(limit)
        shown = f"{available / (1 << 30):.1f} GiB of memory are allowed to this container"
    if available < MEMORY:
        return Finding(
            "system", "memory", "warning", shown, "A million routes need 1 GiB; 10,000 need a third of it."
        )
    return Finding("system", "memory", "ok", shown)


def clock(state: int | None) -> Finding:
    """Judge what adjtimex(2) returned; None: it could not be asked."""
    if state is None:
        return Finding("time", "clock", "skipped", "the kernel does not tell whether the clock is right")
    if state == _TIME_ERROR:
        return Finding(
            "time",
            "clock",
            "warning",
            "the clock is not synchronized: times of events and certificates, and expiry of tokens, may be "
            "wrong",
            "Run an NTP client (systemd-timesyncd, chrony); in a container, on the host.",
        )
    return Finding("time", "clock", "ok", "the clock is synchronized")


def _adjtimex() -> int | None:
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes 0: only read
    state = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    return None if state < 0 else int(state)
