"""The history of the core (test_core) with BFD, probes, and a guard that moves groups by itself.

The guard follows the engine's plan before the engine hears why. Whatever happens in between, the two agree
in the end: the kernel has what the engine wants, and the guard would not move anything.
"""

from __future__ import annotations

from typing import Literal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant
from hypothesis.stateful import rule as step

from bgpsvc.events import DetectionChanged
from bgpsvc.fib.ops import SetGroup
from bgpsvc.guard.switch import Switch
from bgpsvc.model import Attributes, Prefix, SessionId
from bgpsvc.resources.models import BfdSettings, ProbeSettings, RoutingPolicy
from bgpsvc.switch_plan import SwitchPlans
from bgpsvc.tunnels import LAST_ONE_STAYS, TunnelState
from tests.property.test_core import SESSIONS, SOME, History
from tests.unit.core.harness import Node
from tests.unit.support import T1, T2, engine, run

WATCHED = {"bfd": BfdSettings(), "probe": ProbeSettings()}
METHODS = st.sampled_from(["bfd", "probe"])
Method = Literal["bfd", "probe"]
INTERFACES = {T1: "t1", T2: "t2"}


class Guarded(History):
    """Random events, and the guard's own moves."""

    watched = WATCHED

    @initialize(propagate=st.integers(0, 3), first=SOME, second=SOME)
    def begin(self, propagate: int, first: tuple[Prefix, ...], second: tuple[Prefix, ...]) -> None:
        self.now = 0.0
        self.policy: RoutingPolicy | None = None
        self.asns = {"c1": 65500, "c2": 65500}
        self.said: dict[tuple[SessionId, Method], bool | None] = {}
        self.plans, self.switch = SwitchPlans(), Switch()
        self.node = Node(engine(propagate=propagate > 0, max_prefixes=2, **WATCHED))
        self.announced: dict[SessionId, dict[Prefix, Attributes]] = {T1: {}, T2: {}}
        for session, prefixes in ((T1, first), (T2, second)):
            self.session_up(session, False)
            self.announce(session, prefixes, False)
            self.end_of_rib(session)

    @step(session=SESSIONS, method=METHODS, up=st.sampled_from([True, False, False, None]))
    def the_engine_hears(self, session: SessionId, method: Method, up: bool | None) -> None:
        self.said[session, method] = up
        self.handle(DetectionChanged(session, method, up, "test", at=self.now))

    @step(
        session=SESSIONS,
        method=METHODS,
        then=st.sampled_from(["nothing", "announce", "withdraw", "down", "up", "link"]),
        prefixes=SOME,
        both=st.booleans(),
        last_resort=st.booleans(),
    )
    def the_guard_moves_first(
        self,
        session: SessionId,
        method: Method,
        then: str,
        prefixes: tuple[Prefix, ...],
        both: bool,
        last_resort: bool,
    ) -> None:
        other = T2 if session == T1 else T1
        dead = [session, other][: 1 + both]
        if last_resort:  # the other one's peer answers, but there is no session
            self.session_down(other, False)
            self.the_engine_hears(other, method, True)
            self.node.settle()
        self.guard_has_the_plan()
        for tunnel in dead:
            self.said[tunnel, method] = False
            self.guard_judges()
            self.guard_moves()
        self.happens(then, session, prefixes)
        for tunnel in dead:
            self.handle(DetectionChanged(tunnel, method, False, "test", at=self.now))
            self.engine.fib.verify(self.node.kernel.nexthops())

    def happens(self, what: str, session: SessionId, prefixes: tuple[Prefix, ...]) -> None:
        """Before the engine has heard."""
        if what == "announce":
            self.announce(session, prefixes, True)
        elif what == "withdraw":
            self.withdraw(session, prefixes)
        elif what == "down":
            self.session_down(session, False)
        elif what == "up":
            self.session_up(session, True)
        elif what == "link":
            self.node.link(INTERFACES[session], up=False, now=self.now)
        run(self.engine)

    @step()
    def daemon_restarts(self) -> None:
        """The guard goes on, and tells the new daemon all that it sees."""
        super().daemon_restarts()
        self.plans = SwitchPlans()
        self.plans.changes(self.engine)
        self.switch.plan(self.plans.whole)
        self.tell_again()

    def tell_again(self) -> None:
        """The guard tells everything whenever it is told what to watch."""
        for (session, method), up in self.said.items():
            self.handle(DetectionChanged(session, method, up, "test"))
        run(self.engine)

    # The guard ----------------------------------------------------------------------------------

    def guard_has_the_plan(self) -> None:
        plan = self.plans.changes(self.engine)
        if plan is not None:
            self.switch.plan(plan)
        present = {n.id: n.members for n in self.node.kernel.nexthops() if n.members}
        for group in self.switch.plans:
            self.switch.seen(group, present[group][0] if group in present else None)

    def guard_judges(self) -> None:
        links = {link.name: link.up for link in self.node.kernel.links()}
        for session, interface in INTERFACES.items():
            disbelieved = self.engine.tunnels[session].disbelieved
            said = [
                up or None if method in disbelieved else up
                for (tunnel, method), up in self.said.items()
                if tunnel == session
            ]
            dead = not links[interface] or False in said
            self.switch.judge(session, dead=dead, alive=not dead and True in said)

    def guard_moves(self) -> None:
        kernel = self.node.kernel
        for move in self.switch.moves():
            if not kernel.apply([SetGroup(move.group, (move.nexthop,), existing=True)]):
                self.switch.seen(move.group, move.nexthop)

    @invariant()
    def guard_and_engine_agree(self) -> None:
        if not hasattr(self, "node"):
            return
        self.node.settle()
        groups = {n.id: n.members for n in self.node.kernel.nexthops() if n.members}
        assert groups == self.engine.fib.groups, "mirror and kernel agree"
        self.guard_has_the_plan()
        self.guard_judges()
        for move in self.switch.moves():
            # Groups without a usable tunnel carry no route: where they lead is all the same.
            candidates = self.switch.plans[move.group].candidates
            assert not any(c.usable for c in candidates), move

    @invariant()
    def what_is_dead_is_down(self) -> None:
        if not hasattr(self, "node"):
            return
        for (session, method), up in self.said.items():
            tunnel = self.engine.tunnels[session]
            if up is False and method not in tunnel.disbelieved and tunnel.state is not TunnelState.DOWN:
                # The last one left keeps its routes for a moment.
                assert tunnel.state is TunnelState.STALE
                assert self.now < tunnel.detections[method].since + LAST_ONE_STAYS
                others = [t for t in self.engine.tunnels.values() if t is not tunnel]
                assert all(t.state < TunnelState.STALE and not t.answering for t in others)
        for tunnel in self.engine.tunnels.values():
            if tunnel.disbelieved:
                assert tunnel.established_at is not None or tunnel.restarts

    def teardown(self) -> None:
        """All that is dead comes back, in either order, and ends right."""
        if not hasattr(self, "node"):
            return
        for session in (T2, T1) if len(self.said) % 2 else (T1, T2):
            self.node.link(INTERFACES[session], up=True, now=self.now)
            for method in ("bfd", "probe"):
                self.handle(DetectionChanged(session, method, True, "test"))
            self.session_up(session, False)
            self.end_of_rib(session)
            run(self.engine)
        self.now += 1000
        self.engine.tick(self.now)
        assert {t.state for t in self.engine.tunnels.values()} == {TunnelState.LIVE}


TestGuarded = Guarded.TestCase
TestGuarded.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
