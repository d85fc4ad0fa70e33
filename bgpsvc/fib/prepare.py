"""Settings of the network namespace that forwarding needs (sysctls)."""

from __future__ import annotations

from pathlib import Path

IPV6 = Path("/proc/sys/net/ipv6")
"""Exists if the kernel has IPv6 at all."""
SYSCTLS = {
    "net/ipv4/nexthop_compat_mode": "0",  # else replacing a group notifies of every route that uses it
    "net/ipv4/ip_forward": "1",
    # An interface that learns its own address by router advertisements needs accept_ra=2 with this.
    "net/ipv6/conf/all/forwarding": "1",
}
"""Name below /proc/sys to value."""


def prepare(root: Path = Path("/proc/sys")) -> dict[str, str]:
    """Set the sysctls of the calling thread's network namespace; returns those that were changed.

    What is right already is left alone, so a read-only /proc/sys is fine if whoever made the
    container set them. OSError that names the setting and the remedy otherwise.
    """
    changed: dict[str, str] = {}
    for name, value in SYSCTLS.items():
        path, dotted = root / name, name.replace("/", ".")
        if name.startswith("net/ipv6/") and not (root / "net/ipv6").exists():
            continue
        try:
            if path.read_text().strip() == value:
                continue
            path.write_text(value)
        except FileNotFoundError as error:
            raise OSError(error.errno, f"{dotted} does not exist: Linux 5.3 or newer is needed") from error
        except OSError as error:
            raise OSError(
                error.errno,
                f"{dotted} cannot be set to {value} ({error.strerror}): set it from outside, "
                f"for a container with --sysctl {dotted}={value}",
            ) from error
        changed[dotted] = value
    return changed
