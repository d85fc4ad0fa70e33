"""What the code above needs of the kernel: seven calls that take or give whole sets.

`bgpsvc.fib.netlink.Kernel` is the real one, `tests.fakes.kernel.FakeKernel` the one in memory; a
contract test runs the same scenarios against both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bgpsvc.fib.ops import DeleteRoutes, Link, Nexthop, Op, OpError, SetRoutes, TableRoutes
from bgpsvc.model import Prefix


class KernelPort(Protocol):
    """The kernel's forwarding state in one network namespace."""

    def apply(self, ops: Sequence[Op]) -> list[OpError]:
        """Carry out the operations in order and return those that the kernel refused.

        Idempotent: setting what is so and deleting what is missing are no errors. An error does not
        stop the operations after it. Blocks for 2 to 5 microseconds a route.
        """

    def apply_routes(self, ops: Sequence[SetRoutes | DeleteRoutes]) -> list[OpError]:
        """The same for routes alone. May run in another thread, beside `apply` and beside reading."""

    def nexthops(self) -> list[Nexthop]:
        """All nexthops and groups that carry our protocol number, in order of id."""

    def routes(self, table: int) -> dict[tuple[Prefix, int], int]:
        """All routes of a table that carry our protocol number: (prefix, metric) to nexthop id.

        The id is 0 for a route without one (nothing of ours: replace or delete it).
        """

    def all_routes(self) -> dict[int, TableRoutes]:
        """The same by metric for every table that has routes with our protocol number, whosever it is."""

    def links(self) -> list[Link]:
        """All interfaces, in order of ifindex."""

    def connected(self) -> list[Prefix]:
        """Networks of the addresses of all interfaces, sorted; without the loopback's own."""
