"""Random histories: whoever reads our BMP stream ends with the RIBs as they are, however slowly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant
from hypothesis.stateful import rule as step

from bgpsvc.bmp.plan import Plan
from bgpsvc.bmp.wire import Rib, initiation
from bgpsvc.engine import Engine
from bgpsvc.events import Event
from bgpsvc.model import Attributes, Prefix, SessionId
from bgpsvc.resources import Intent
from bgpsvc.session import Session
from bgpsvc.tap import Tap
from tests.fakes.bmp_collector import LOC, OUT, POST, PRE, Collector
from tests.property.test_core import History

Tables = dict[bytes, dict[Prefix, Attributes]]


class Station:
    """A plan, and the collector that reads what it has to tell."""

    def __init__(self, engine: Engine, tap: Tap, clock: Any) -> None:
        self.plan = Plan(engine, frozenset(Rib), clock, 0.0, lambda: None)
        self.collector = Collector()
        self.collector.feed(initiation("test", "test"))
        tap.watch_sessions(self.plan, clock())
        tap.watch_routes(self.plan)

    def read(self, most: int = 10_000) -> None:
        """So many messages, or all that there are."""
        for _ in range(most):
            messages = self.plan.step()
            if messages is None:
                return
            self.collector.feed(b"".join(messages))
        assert most < 10_000, "there is always more to tell"


class Told(History):
    """The core's random events, with stations that read at once, slowly, and come late."""

    tap: Tap

    def attach(self) -> None:
        """The shell tells the tap; a daemon that restarts has another engine, and new connections."""
        engine = self.engine
        tap = self.tap = Tap(engine)
        handle, reconfigure = engine.handle, engine.reconfigure

        def heard(event: Event, now: float) -> None:
            handle(event, now)
            tap.heard([event], now)

        def taken(intent: Intent, now: float) -> frozenset[SessionId]:
            made = reconfigure(intent, now)
            tap.reconfigured(made, now)
            for session in engine.sessions:
                tap.advertised(session)
            return made

        engine.handle, engine.reconfigure = heard, taken  # type: ignore[method-assign]
        self.attached = engine
        self.stations = {name: self.connect() for name in ("quick", "slow", "late")}

    def connect(self) -> Station:
        return Station(self.engine, self.tap, lambda: self.now + 1e9)

    @step(most=st.integers(0, 4), name=st.sampled_from(["slow", "late"]))
    def reads_a_little(self, most: int, name: str) -> None:
        self.stations[name].read(most)

    @step()
    def reads_everything(self) -> None:
        self.stations["slow"].read()

    @step()
    def connects_again(self) -> None:
        self.tap.forget(self.stations["late"].plan)
        self.stations["late"] = self.connect()

    @invariant()
    def counts_are_right(self) -> None:
        """The core's own properties are looked after elsewhere."""

    @invariant()
    def everything_fits(self) -> None:
        if not hasattr(self, "node"):
            return
        if getattr(self, "attached", None) is not self.engine:
            self.attach()
        self.node.settle()
        self.answer_refreshes()
        for session in self.engine.sessions:
            self.tap.advertised(session)  # the shell does so when it tells the speaker
        self.check("quick")

    def teardown(self) -> None:
        if hasattr(self, "attached"):
            for name in self.stations:
                self.check(name)

    def check(self, name: str) -> None:
        """It reads what there is, and then knows the tables as they are."""
        station = self.stations[name]
        station.plan.survey()
        station.read()
        collector = station.collector
        engine = self.engine
        up = [s for s in engine.sessions.values() if s.established]
        addresses = {s.settings.peer_address.rjust(16, b"\0"): s for s in up}
        assert {key[2] for key in collector.peers if key[0] == 2} == addresses.keys()
        told = {rib: collector.of(rib) for rib in (PRE, POST, LOC, OUT)}
        for address, session in addresses.items():
            assert told[PRE].get(address, {}) == received(session)
            assert told[POST].get(address, {}) == self.accepted(session)
            gateway = engine.gateways["gw1"]
            assert told[OUT].get(address, {}).keys() == gateway.advertisements(session.settings).keys()
        assert told[LOC].get(bytes(16), {}) == self.selected()
        for key, peer in collector.peers.items():
            if key[0] == 2:
                assert peer.ended.get(PRE, set()) >= addresses[key[2]].end_of_rib

    def accepted(self, session: Session) -> dict[Prefix, Attributes]:
        counted = {*session.adj.fresh, *(session.adj.stale if session.keep_stale else ())}
        routes = self.engine.gateways["gw1"].rib.routes
        return {p: preferred(session, routes[p].paths[session.id]) for p in counted}

    def selected(self) -> dict[Prefix, Attributes]:
        found = {}
        for prefix, paths in self.engine.gateways["gw1"].rib.routes.items():
            hop = paths.forwarding.chosen
            if hop is not None:
                found[prefix] = preferred(self.engine.sessions[hop.session], paths.paths[hop.session])
        return found


def received(session: Session) -> dict[Prefix, Attributes]:
    adj = session.adj
    refused = {prefix: attributes for prefix, (attributes, _) in adj.refused.items()}
    return (adj.stale if session.keep_stale else {}) | adj.shed | refused | adj.fresh


def preferred(session: Session, attributes: Attributes) -> Attributes:
    preference = session.settings.policy.local_pref(attributes)
    return replace(attributes, preference=None, local_pref=preference)


Told.TestCase.settings = settings(deadline=None, max_examples=15, stateful_step_count=15)
TestTold = Told.TestCase
