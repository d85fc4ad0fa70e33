"""An engine joined to the kernel in memory, as the service joins it to the real one."""

from __future__ import annotations

from bgpsvc import repair
from bgpsvc.engine import Engine
from bgpsvc.events import LinkChanged
from bgpsvc.fib.ops import METRIC_PRIMARY, Op
from bgpsvc.model import format_prefix
from tests.fakes.kernel import FakeKernel
from tests.unit.support import IFINDEX, run

TABLE = 201


class Node:
    """One gateway node. Every operation that the engine plans must be one that the kernel takes."""

    def __init__(self, engine: Engine, kernel: FakeKernel | None = None) -> None:
        self.engine = engine
        self.kernel = kernel or FakeKernel()
        if kernel is None:
            for name, third in (("t1", 10), ("t2", 20)):
                ifindex = self.kernel.add_link(name, f"169.254.{third}.1/30", f"fd00:{third}::1/126")
                assert ifindex == IFINDEX[name]
            self.kernel.read()

    def settle(self) -> list[Op]:
        """Plan and apply until nothing is left; returns what was done."""
        done: list[Op] = []
        run(self.engine)
        fib = self.engine.fib
        while (ops := fib.plan()) or fib.queued:
            errors = self.kernel.apply(ops)
            assert errors == []
            self.engine.fib.applied(ops, errors)
            done += ops
        assert self.engine.fib.plan() == []
        return done

    def routes(self, metric: int = METRIC_PRIMARY) -> dict[str, str]:
        """The kernel's routes of ours: prefix to the name of the interface they lead to."""
        nexthops = {n.id: n for n in self.kernel.nexthops()}
        names = {link.ifindex: link.name for link in self.kernel.links()}
        found = {}
        for (prefix, number), ident in self.kernel.routes(TABLE).items():
            if number == metric:
                nexthop = nexthops[ident]
                (leaf,) = [nexthops[m] for m in nexthop.members] or [nexthop]
                assert leaf.ifindex is not None
                found[format_prefix(prefix)] = names[leaf.ifindex]
        return dict(sorted(found.items(), key=lambda item: item[0], reverse=True))

    def notice(self, now: float) -> repair.Seen:
        """Take in what the kernel tells."""
        seen = repair.take(self.engine, self.kernel.read(), now)
        if seen.links:
            seen.routes += self.engine.fib.verify(self.kernel.nexthops())
        run(self.engine)
        return seen

    def link(self, name: str, *, up: bool, now: float = 5) -> None:
        """Set a link up or down; the engine hears of it."""
        ifindex = self.engine.links[name][0]
        (self.kernel.link_up if up else self.kernel.link_down)(ifindex)
        self.notice(now)

    def restarted(self, engine: Engine, now: float) -> Node:
        """Another daemon's engine takes over what the kernel holds."""
        for link in self.kernel.links():
            engine.handle(LinkChanged(link.name, link.ifindex, link.up), now)
        engine.fib.load(self.kernel.nexthops(), self.kernel.all_routes())
        self.kernel.read()
        return Node(engine, self.kernel)
