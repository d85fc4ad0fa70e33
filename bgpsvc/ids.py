"""Numbers that follow from names, so that a restarted daemon finds its own things in the kernel again."""

from __future__ import annotations

from hashlib import blake2s

# Both halves of fib.ops.NEXTHOP_IDS: single nexthops, and groups.
NEXTHOP_BASE, GROUP_BASE, ID_BITS = 0x20000000, 0x28000000, 27
TABLES = range(0x20000000, 0x30000000)
"""Kernel tables of ours besides those that VPCs name: for static routes and isolation."""


class Ids:
    """Nexthop and group ids that follow from what they stand for.

    A restarted daemon gives the same forwarding class the same id without having stored anything,
    so its routes in the kernel are still right. A collision of two hashes takes the next free id.
    """

    def __init__(self) -> None:
        self._taken: dict[int, str] = {}

    def allocate(self, base: int, key: str) -> int:
        """The id of a key; the same key has the same id as long as it is not released."""
        mask = (1 << ID_BITS) - 1
        offset = int.from_bytes(blake2s(key.encode(), digest_size=4).digest(), "big") & mask
        while self._taken.setdefault(base + offset, key) != key:
            offset = (offset + 1) & mask
        return base + offset

    def disown(self, ident: int) -> None:
        """The id stays taken until it is released, but its key gets another one if it is wanted again."""
        self._taken[ident] = ""

    def release(self, ident: int) -> None:
        """The id is free again."""
        self._taken.pop(ident, None)


class TableNumbers:
    """Numbers of the kernel tables that no resource names; each stays its table's while the daemon runs."""

    def __init__(self) -> None:
        self._ids = Ids()

    def destination(self, vpc: str) -> int:
        """The table of a VPC's destination-based routes."""
        return self._ids.allocate(TABLES.start, f"destination {vpc}")

    def policy(self, connection: str) -> int:
        """The table behind the policy-based routes of a connection."""
        return self._ids.allocate(TABLES.start, f"policy {connection}")

    def isolation(self, vpc: str) -> int:
        """The table of what a VPC must not reach."""
        return self._ids.allocate(TABLES.start, f"isolation {vpc}")

    def dead_end(self) -> int:
        """The table that ends the lookups of VPCs with interfaces before those of others."""
        return self._ids.allocate(TABLES.start, "dead end")
