"""Static routes over random histories: each stands where it should, over a tunnel that is up, or nowhere."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bgpsvc.engine import Engine
from bgpsvc.events import LinkChanged, OperatorSwitch
from bgpsvc.model import SessionId, SwitchMode
from bgpsvc.resources import Intent
from bgpsvc.tunnels import TunnelState
from tests.unit.core.harness import TABLE, Node
from tests.unit.core.test_statics import begin, in_table, policy, route, static_intent
from tests.unit.support import IFINDEX, T1, T2, down, run, up

DESTINATIONS = ("192.168.0.0/16", "192.168.5.0/24", "172.16.0.0/12")
ROUTES = st.dictionaries(st.sampled_from(DESTINATIONS), st.booleans(), max_size=3)
"""Destination to whether it is published."""


class History(RuleBasedStateMachine):
    """Links, sessions, switches, changes of the routes, and restarts."""

    @initialize(bgp=st.booleans(), routes=ROUTES, policies=st.booleans())
    def begin(self, bgp: bool, routes: dict[str, bool], policies: bool) -> None:
        self.now = 0.0
        self.bgp, self.routes, self.policies = bgp, routes, policies
        self.node = begin(self.intent())

    @property
    def engine(self) -> Engine:
        return self.node.engine

    def intent(self) -> Intent:
        destinations = [route(f"d{i}", d, publish=p) for i, (d, p) in enumerate(self.routes.items())]
        policies = (policy("p", "10.0.1.0/24", "172.16.0.0/12"),) if self.policies else ()
        return static_intent(*destinations, policies=policies, connection={"enable_bgp": self.bgp})

    @rule(name=st.sampled_from(list(IFINDEX)), up=st.booleans())
    def link(self, name: str, up: bool) -> None:
        self.node.link(name, up=up, now=self.now)

    @rule(session=st.sampled_from([T1, T2]), comes=st.booleans())
    def session(self, session: SessionId, comes: bool) -> None:
        found = self.engine.sessions.get(session)
        if found is None:
            return
        if comes and not found.established:
            up(self.engine, session, self.now, DESTINATIONS[0])
        elif not comes:
            down(self.engine, session, self.now)

    @rule(mode=st.sampled_from(list(SwitchMode)))
    def operator(self, mode: SwitchMode) -> None:
        self.engine.handle(OperatorSwitch("conn1", mode), self.now)

    @rule(seconds=st.sampled_from([1.0, 6.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.engine.tick(self.now)

    @rule(bgp=st.booleans(), routes=ROUTES, policies=st.booleans())
    def reconfigured(self, bgp: bool, routes: dict[str, bool], policies: bool) -> None:
        self.bgp, self.routes, self.policies = bgp, routes, policies
        self.engine.reconfigure(self.intent(), self.now)

    @rule(routes=ROUTES)
    def restarted_with_other_routes(self, routes: dict[str, bool]) -> None:
        """The sessions come back; afterwards nothing is left of what is not asked for."""
        self.routes = routes
        established = [s.id for s in self.engine.sessions.values() if s.established]
        fresh = Engine(self.intent(), self.now)
        fresh.modes.update(self.engine.modes)
        for link in self.node.kernel.links():
            fresh.handle(LinkChanged(link.name, link.ifindex, link.up), self.now)
        fresh.fib.load(self.node.kernel.nexthops(), self.node.kernel.all_routes())
        self.node.kernel.read()
        fresh.takeover.loaded()
        for session in established:
            up(fresh, session, self.now, DESTINATIONS[0])
        self.now += 61
        fresh.tick(self.now)
        self.node = Node(fresh, self.node.kernel)

    @invariant()
    def everything_fits(self) -> None:
        if not hasattr(self, "node"):
            return
        run(self.engine)
        self.node.settle()
        numbers, usable = self.engine.numbers, self.usable()
        tables = {numbers.destination("vpc1"): set(self.routes), numbers.policy("conn1"): set()}
        tables[TABLE] = {d for d, published in self.routes.items() if published}
        if self.policies:
            tables[numbers.policy("conn1")] = {"0.0.0.0/0"}
        for number, wanted in tables.items():
            found = in_table(self.node, number)
            if number == TABLE:
                found = {p: i for p, i in found.items() if p in wanted}
            assert found.keys() == (wanted if usable else set())
            assert set(found.values()) <= usable, "over a tunnel that is down"
        assert self.node.kernel.all_routes().keys() <= tables.keys()

    def usable(self) -> set[str]:
        """Interfaces of tunnels that can carry static routes."""
        return {t.interface for t in self.engine.tunnels.values() if t.state is not TunnelState.DOWN}


History.TestCase.settings = settings(deadline=None, max_examples=60, stateful_step_count=20)
TestStaticHistory = History.TestCase
