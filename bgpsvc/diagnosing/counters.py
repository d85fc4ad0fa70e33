"""Counters of the kernel as /proc has them. Pure."""

from __future__ import annotations

from bgpsvc.diagnosing.evidence import Md5Counters

NETSTAT = "/proc/thread-self/net/netstat"
"""Of the namespace of the thread that reads it."""


def md5_counters(netstat: str) -> Md5Counters:
    """Of the text of `NETSTAT`; zeros where the kernel does not count (it has no TCP MD5)."""
    lines = [line.split() for line in netstat.splitlines() if line.startswith("TcpExt:")]
    if len(lines) != 2:
        return Md5Counters()
    values = dict(zip(lines[0], lines[1], strict=False))
    missing, unexpected, wrong = (
        int(values.get(f"TCPMD5{name}", 0)) for name in ("NotFound", "Unexpected", "Failure")
    )
    return Md5Counters(missing, unexpected, wrong)
