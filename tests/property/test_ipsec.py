"""Properties of tunnels whose IPsec comes and goes, over random histories."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant
from hypothesis.stateful import rule as step

from bgpsvc.engine import Engine
from bgpsvc.events import IpsecChanged, OperatorSwitch, SessionResync
from bgpsvc.model import SessionId, SwitchMode
from bgpsvc.resources import Intent
from bgpsvc.tunnels import TunnelState
from tests.unit.core.made import NAMES, made_intent, made_node
from tests.unit.support import T1, T2, down, intent, negotiated, run, up

A = "192.168.0.0/16"
SESSIONS = st.sampled_from([T1, T2])


class Coming(RuleBasedStateMachine):
    """SAs, links and sessions of two tunnels; the peer announces one prefix over each session that is up."""

    @initialize()
    def begin(self) -> None:
        self.now = 0.0
        self.intent: Intent = made_intent()
        self.node = made_node(Engine(self.intent, 0.0))
        self.sa: dict[SessionId, bool] = {}
        self.link = dict.fromkeys((T1, T2), True)
        for session in (T1, T2):
            self.ipsec(session, True)
            up(self.engine, session, self.now, A)

    @property
    def engine(self) -> Engine:
        return self.node.engine

    @step(session=SESSIONS, is_up=st.booleans())
    def ipsec(self, session: SessionId, is_up: bool) -> None:
        self.sa[session] = is_up
        self.engine.handle(IpsecChanged(session, is_up, "as the peer has it"), self.now)

    @step(session=SESSIONS, is_up=st.booleans())
    def links(self, session: SessionId, is_up: bool) -> None:
        self.link[session] = is_up
        self.node.link(NAMES[0 if session == T1 else 1], up=is_up, now=self.now)

    @step(session=SESSIONS)
    def session_comes(self, session: SessionId) -> None:
        if not self.engine.sessions[session].established:
            up(self.engine, session, self.now, A)

    @step(session=SESSIONS)
    def session_goes(self, session: SessionId) -> None:
        down(self.engine, session, self.now)

    @step(mode=st.sampled_from(list(SwitchMode)))
    def operator(self, mode: SwitchMode) -> None:
        self.engine.handle(OperatorSwitch("conn1", mode), self.now)

    @step(seconds=st.sampled_from([0.5, 6.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.engine.tick(self.now)

    @step()
    def somebody_else_makes_them_for_a_while(self) -> None:
        """The interfaces have other names then, so everything is made anew."""
        self.engine.reconfigure(intent(), self.now)
        self.node.settle()
        self.engine.reconfigure(self.intent, self.now)
        self.sa = dict.fromkeys((T1, T2), False)

    @step()
    def daemon_restarts(self) -> None:
        """The driver has not told yet when the sessions are found established."""
        self.now += 1
        before = {s: self.engine.sessions[s].established for s in (T1, T2)}
        modes = dict(self.engine.modes)
        fresh = Engine(self.intent, self.now)
        fresh.modes.update(modes)
        self.node = self.node.restarted(fresh, self.now)
        fresh.takeover.loaded()
        for session, established in before.items():
            if established:
                fresh.handle(SessionResync(session, negotiated()), self.now)
                up(fresh, session, self.now, A)
        run(fresh)
        for session, is_up in self.sa.items():
            self.ipsec(session, is_up)
        self.now += 61
        fresh.tick(self.now)

    @invariant()
    def everything_fits(self) -> None:
        if not hasattr(self, "node"):
            return
        self.node.settle()
        routes, switch = self.node.routes(), self.engine.switchboard.switches["conn1"]
        usable = [s for s in (T1, T2) if self.sa[s] and self.link[s] and self.engine.sessions[s].established]
        for session, name in zip((T1, T2), NAMES, strict=True):
            if not self.sa[session]:
                assert self.engine.tunnels[session].state is TunnelState.DOWN
                assert name not in routes.values(), "no route leads into a tunnel without an SA"
        assert (switch.carrying in usable) if usable else (switch.carrying is None)
        assert (A in routes) is bool(usable), "one usable tunnel is enough"

    @invariant()
    def who_was_up_for_long_enough_carries(self) -> None:
        if not hasattr(self, "node"):
            return
        later = self.now + 3600
        for _ in range(2):
            self.engine.tick(later)
        self.now = later
        usable = [s for s in (T1, T2) if self.sa[s] and self.link[s] and self.engine.sessions[s].established]
        mode = self.engine.modes.get("conn1", SwitchMode.AUTO)
        preferred = T2 if mode is SwitchMode.STANDBY else T1
        if preferred in usable:
            assert self.engine.switchboard.switches["conn1"].carrying == preferred


Coming.TestCase.settings = settings(deadline=None, max_examples=60, stateful_step_count=20)
TestComing = Coming.TestCase
