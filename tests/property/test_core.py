"""Properties of the core, over random histories (STYLE: what must hold whatever happens)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant
from hypothesis.stateful import rule as step

from bgpsvc.bulk import grouped
from bgpsvc.decide import Candidate, decide
from bgpsvc.effects import Refresh
from bgpsvc.engine import Engine
from bgpsvc.events import (
    Announced,
    ConnectedChanged,
    EndOfRib,
    MessagesLost,
    OperatorSwitch,
    PropagationSet,
    SessionDown,
    SessionResync,
    SessionUp,
    Withdrawn,
)
from bgpsvc.explaining import explain
from bgpsvc.fib.ops import METRIC_BACKUP, METRIC_PRIMARY, Nexthop, SetNexthop
from bgpsvc.fib.plan import Fib
from bgpsvc.fib.table import Desired, Target
from bgpsvc.model import (
    Attributes,
    Family,
    Origin,
    Prefix,
    Role,
    Segment,
    SegmentType,
    SessionId,
    SwitchMode,
    covers,
    format_prefix,
    pack_prefix,
    parse_prefix,
)
from bgpsvc.policy import PrefixFilter, denied_networks, judge
from bgpsvc.resources import Intent
from bgpsvc.resources.models import RoutingPolicy
from bgpsvc.routes_report import route_view
from bgpsvc.tunnels import TunnelState
from tests.fakes.kernel import FakeKernel
from tests.unit.core.harness import TABLE, Node
from tests.unit.core.policies import policed, policy, rule
from tests.unit.core.policies import prefixes as policy_prefixes
from tests.unit.support import IFINDEX, T1, T2, down, engine, negotiated, path, run, up

# Decision ---------------------------------------------------------------------------------------

ASNS = st.integers(1, 4)
PATHS = st.lists(ASNS, min_size=0, max_size=3).map(
    lambda asns: (Segment(SegmentType.SEQUENCE, tuple(asns)),) if asns else ()
)
CANDIDATES = st.lists(
    st.builds(
        Candidate,
        session=st.sampled_from([SessionId(f"s{n}") for n in range(6)]),
        connection=st.sampled_from(["a", "b"]),
        role=st.sampled_from(list(Role)),
        ebgp=st.booleans(),
        peer_address=st.binary(min_size=4, max_size=4),
        local_pref=st.sampled_from([100, 200]),
        attributes=st.builds(
            Attributes,
            next_hop=st.just(b"\0\0\0\1"),
            origin=st.sampled_from(list(Origin)),
            as_path=PATHS,
            med=st.none() | st.integers(0, 2),
        ),
    ),
    max_size=6,
    unique_by=lambda c: c.session,
)


@given(CANDIDATES, st.randoms())
def test_decide_ignores_the_order_of_arrival(candidates: list[Candidate], random: object) -> None:
    shuffled = list(candidates)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert decide(candidates) == decide(shuffled)


@given(CANDIDATES)
def test_decide_ranks_everybody_and_gives_every_loser_a_reason(candidates: list[Candidate]) -> None:
    ranked = decide(candidates)
    assert sorted(r.candidate.session for r in ranked) == sorted(c.session for c in candidates)
    assert [r.reason is None for r in ranked] == [n == 0 for n in range(len(ranked))]


@given(CANDIDATES.filter(lambda c: len(c) > 1))
def test_runner_up_is_best_when_the_best_is_gone(candidates: list[Candidate]) -> None:
    ranked = decide(candidates)
    rest = [c for c in candidates if c.session != ranked[0].candidate.session]
    assert [r.candidate for r in decide(rest)] == [r.candidate for r in ranked[1:]]


# Policy -----------------------------------------------------------------------------------------

NETWORKS = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(
    lambda pair: pack_prefix((pair[0] >> (32 - pair[1]) << (32 - pair[1])).to_bytes(4, "big"), pair[1])
)


@given(st.lists(NETWORKS.filter(lambda p: p[-1] > 0), max_size=8), NETWORKS)
def test_prefix_filter_equals_the_plain_definition(denied: list[Prefix], prefix: Prefix) -> None:
    networks = denied_networks(denied, [], [])
    refused = PrefixFilter(networks).refuse(prefix)
    if prefix[-1] == 0:
        assert refused is not None
    else:
        assert refused is next((reason for network, reason in networks if covers(network, prefix)), None)


@given(
    st.lists(NETWORKS.filter(lambda p: p[-1] > 0), max_size=8),
    st.lists(NETWORKS | st.binary(min_size=17, max_size=17).map(Prefix), max_size=20),
)
def test_prefixes_that_pass_together_pass_each_by_itself(
    denied: list[Prefix], prefixes: list[Prefix]
) -> None:
    judge_one = PrefixFilter(denied_networks(denied, [], []))
    whole = [prefix for prefix in prefixes if prefix[-1] <= (len(prefix) - 1) * 8]
    passing = [prefix for prefix in whole if judge_one.refuse(prefix) is None]
    assert not judge_one.passes(whole) or passing == whole
    # It says so for whatever does not begin as something denied, which is all that makes a table fast.
    public = [pack_prefix(bytes((20, n, 0, 0)), 24) for n in range(200) if n not in {d[1] for d in denied}]
    if not any(covers(network, prefix) for network in denied for prefix in public):
        assert judge_one.passes([p for p in public if all(d[:2] != p[:2] for d in denied)])


# FIB --------------------------------------------------------------------------------------------

KEYS = [parse_prefix(f"192.0.{n}.0/24") for n in range(6)]
HOP_IDS = [0x20000001, 0x20000002]
GROUP_IDS = [0x28000001, 0x28000002, 0x28000003]
TARGETS = st.tuples(st.sampled_from(GROUP_IDS), st.none() | st.sampled_from(HOP_IDS)) | st.just((None, None))
DESIRES = st.fixed_dictionaries(dict.fromkeys(KEYS, TARGETS))
GROUPS = st.fixed_dictionaries({ident: st.sampled_from(HOP_IDS) for ident in GROUP_IDS})


def one_by_one(target: Callable[[Prefix], Target]) -> Desired:
    return lambda prefixes: grouped(prefixes, map(target, prefixes))


def kernel_with_links() -> FakeKernel:
    kernel = FakeKernel()
    for name, third in (("t1", 10), ("t2", 20)):
        kernel.add_link(name, f"169.254.{third}.1/30")
    return kernel


def settle(fib: Fib, kernel: FakeKernel) -> None:
    while (ops := fib.plan(2)) or fib.queued:
        errors = kernel.apply(ops)
        assert errors == []
        fib.applied(ops, errors)


@settings(deadline=None)
@given(st.lists(st.tuples(DESIRES, GROUPS), min_size=1, max_size=4))
def test_applying_the_plan_gives_the_desired_state(history: list[tuple[dict, dict]]) -> None:  # type: ignore[type-arg]
    kernel, fib = kernel_with_links(), Fib()
    wanted: dict[Prefix, tuple[int | None, int | None]] = {}
    table = fib.add_table(TABLE, one_by_one(lambda prefix: wanted.get(prefix, (None, None))))
    fib.release(table)
    for number, ident in enumerate(HOP_IDS, start=2):
        gateway = bytes((169, 254, 10 * (number - 1), 2))
        fib.want_nexthop(SetNexthop(ident, Family.IPV4, number, gateway), ident)
    for desires, groups in history:
        wanted.clear()
        wanted.update(desires)
        used = {group for group, _ in desires.values() if group is not None}
        for ident, member in groups.items():
            if ident in used:
                fib.want_group(ident, member)
            else:
                fib.drop_group(ident)
        table.mark(KEYS)
        settle(fib, kernel)
        expected = {(p, METRIC_PRIMARY): g for p, (g, _) in desires.items() if g is not None}
        expected |= {(p, METRIC_BACKUP): b for p, (_, b) in desires.items() if b is not None}
        assert kernel.routes(TABLE) == expected
        members = {n.id: n.members for n in kernel.nexthops() if n.members}
        assert members == {ident: (groups[ident],) for ident in used}
        table.mark(KEYS)
        assert fib.plan() == [], "a second plan is empty"


@settings(deadline=None)
@given(DESIRES, GROUPS)
def test_a_table_taken_over_from_the_kernel_needs_nothing(
    desires: dict[Prefix, tuple[int | None, int | None]], groups: dict[int, int]
) -> None:
    kernel, fib = kernel_with_links(), Fib()
    table = fib.add_table(TABLE, one_by_one(desires.__getitem__))
    for number, ident in enumerate(HOP_IDS, start=2):
        gateway = bytes((169, 254, 10 * (number - 1), 2))
        fib.want_nexthop(SetNexthop(ident, Family.IPV4, number, gateway), ident)
    for ident, member in groups.items():
        fib.want_group(ident, member)
    fib.release(table)
    table.mark(KEYS)
    settle(fib, kernel)
    again = Fib()
    table = again.add_table(TABLE, one_by_one(desires.__getitem__))
    again.wanted_nexthops, again.wanted_groups = dict(fib.wanted_nexthops), dict(fib.wanted_groups)
    nexthops: list[Nexthop] = kernel.nexthops()
    again.load(nexthops, kernel.all_routes())
    again.release(table)
    table.mark(KEYS)
    assert again.plan() == []


# Engine -----------------------------------------------------------------------------------------

SESSIONS = st.sampled_from([T1, T2])
PREFIXES = [parse_prefix(t) for t in ("192.168.0.0/16", "172.16.0.0/12", "10.0.9.0/24", "203.0.113.0/24")]
SOME = st.lists(st.sampled_from(PREFIXES), min_size=1, max_size=4, unique=True).map(tuple)


POLICIES = [
    None,
    policy(default="reject"),
    policy(rule(local_preference=300, match={"sessions": (T2,)}), rule(med=5)),
    policy(
        rule("reject", match={"prefixes": policy_prefixes("192.168.0.0/16 - 32")}),
        rule(prepend=1, add_communities=("1:1",), match={"as_path": "_65501$"}),
        rule("reject", match={"sessions": (T1,), "prefixes": policy_prefixes("172.16.0.0/12")}),
    ),
    policy(rule(match={"prefixes": policy_prefixes("172.16.0.0/12", "10.0.9.0/24")}), default="reject"),
]


class History(RuleBasedStateMachine):
    """Random events; after each one the kernel is brought up to date and everything must fit together."""

    watched: ClassVar[dict[str, Any]] = {}
    """Of each session: BFD and a probe, or nothing."""

    @initialize(propagate=st.integers(0, 3), first=SOME, second=SOME)
    def begin(self, propagate: int, first: tuple[Prefix, ...], second: tuple[Prefix, ...]) -> None:
        self.now = 0.0
        self.policy: RoutingPolicy | None = None
        self.asns = {"c1": 65500, "c2": 65500}
        self.node = Node(engine(propagate=propagate > 0, max_prefixes=2))
        self.announced: dict[SessionId, dict[Prefix, Attributes]] = {T1: {}, T2: {}}
        for session, prefixes in ((T1, first), (T2, second)):
            self.session_up(session, False)
            self.announce(session, prefixes, False)
            self.end_of_rib(session)

    @property
    def engine(self) -> Engine:
        return self.node.engine

    def handle(self, event: object) -> None:
        self.engine.handle(event, self.now)  # type: ignore[arg-type]

    def intent(self) -> Intent:
        """As configured now."""
        propagate = self.engine.gateways["gw1"].propagate
        made = policed(self.policy, propagate=propagate, max_prefixes=2, **self.watched)
        customers = (c.model_copy(update={"asn": self.asns[c.name]}) for c in made.customer_gateways)
        return made.model_copy(update={"customer_gateways": tuple(customers)})

    @step(imports=st.sampled_from(POLICIES), pieces=st.integers(0, 4), session=SESSIONS, prefixes=SOME)
    def another_policy(
        self, imports: RoutingPolicy | None, pieces: int, session: SessionId, prefixes: tuple[Prefix, ...]
    ) -> None:
        """The policy changes, and more arrives while not everything has been judged by it."""
        self.policy = imports
        before = dict(self.engine.sessions)
        made = self.engine.reconfigure(self.intent(), self.now)
        assert not made, "a policy costs no session"
        assert self.engine.sessions == before
        for _ in range(pieces):
            self.engine.work()
        if pieces % 2:
            self.announce(session, prefixes, pieces > 2)
        else:
            self.withdraw(session, prefixes)

    @step(
        gone=st.sampled_from(["gateway", "connection", "session"]),
        pieces=st.tuples(*[st.integers(0, 2)] * 3),
        session=SESSIONS,
        prefixes=SOME,
        then=st.lists(st.sampled_from(["announced", "withdrawn", "ended", "down"]), max_size=3),
    )
    def something_is_made_anew(
        self,
        gone: str,
        pieces: tuple[int, ...],
        session: SessionId,
        prefixes: tuple[Prefix, ...],
        then: list[str],
    ) -> None:
        """Removed, and there again under its name before all that it had is gone; or another peer."""
        intent = self.intent()
        if gone == "session":
            customer = "c1" if session == T1 else "c2"
            self.asns[customer] ^= 1
            assert self.engine.reconfigure(self.intent(), self.now) == {session}
            self.announced[session] = {}
        else:
            without = {
                "vpn_connections": (),
                "vpn_gateways": () if gone == "gateway" else intent.vpn_gateways,
            }
            self.engine.reconfigure(intent.model_copy(update=without), self.now)
            self.nothing_leads_over_what_is_gone()
            self.work(pieces[0])
            assert self.engine.reconfigure(intent, self.now) == {T1, T2}
            self.engine.takeover.loaded()
            self.announced = {T1: {}, T2: {}}
        self.nothing_leads_over_what_is_gone()
        self.work(pieces[1])
        self.handle(SessionUp(session, negotiated()))
        self.announce(session, prefixes, False)
        self.nothing_leads_over_what_is_gone()
        self.work(pieces[2])
        for what in then:
            if what == "announced":
                self.announce(session, prefixes, True)
            elif what == "withdrawn":
                self.withdraw(session, prefixes[:1])
            elif what == "ended":
                self.end_of_rib(session)
            else:
                self.handle(SessionDown(session, "test"))
                self.announced[session] = {}
            self.nothing_leads_over_what_is_gone()
        self.tell_again()

    def tell_again(self) -> None:
        """What others tell an engine whose records are new: here there are no others."""

    def work(self, pieces: int) -> None:
        for _ in range(pieces):
            self.engine.work()

    def nothing_leads_over_what_is_gone(self) -> None:
        """At once, whatever of it is still to be cleared out; and nobody is told of it."""
        engine = self.engine
        for gateway in engine.gateways.values():
            for prefix in PREFIXES:
                group, backup = gateway.desired(prefix)
                member = None if group is None else engine.fib.wanted_groups[group]
                for nexthop in (member, backup):
                    assert nexthop is None or gateway.session_of(nexthop) in engine.tunnels
                explain(engine, gateway.name, format_prefix(prefix))
                view = route_view(engine, gateway, prefix)
                announcing = {i for i, s in engine.sessions.items() if s.adj.get(prefix) is not None}
                assert {c.session for c in view.candidates if c.rank is not None} == announcing
                paths = gateway.rib.get(prefix)
                assert announcing == (set() if paths is None else paths.paths.keys())

    @step(session=SESSIONS, graceful=st.booleans())
    def session_up(self, session: SessionId, graceful: bool) -> None:
        if self.engine.sessions[session].established:
            return
        more = {"graceful_restart_time": 20, "graceful_restart_families": (Family.IPV4,)} if graceful else {}
        self.announced[session] = {}
        up(self.engine, session, self.now, end=False, **more)

    @step(session=SESSIONS, graceful=st.booleans())
    def session_down(self, session: SessionId, graceful: bool) -> None:
        down(self.engine, session, self.now, graceful=graceful)
        self.announced[session] = {}

    @step(session=SESSIONS, graceful=st.booleans())
    def session_bounces(self, session: SessionId, graceful: bool) -> None:
        self.session_down(session, graceful)
        self.session_up(session, graceful)

    @step(session=SESSIONS, prefixes=SOME, longer=st.booleans(), twice=st.booleans())
    def announce(
        self, session: SessionId, prefixes: tuple[Prefix, ...], longer: bool, twice: bool = False
    ) -> None:
        if self.engine.sessions[session].established:
            attributes = path(session, *((65500, 65501) if longer else (65500,)))
            self.handle(Announced(session, attributes, (*prefixes, *prefixes) if twice else prefixes))
            self.announced[session].update(dict.fromkeys(prefixes, attributes))

    @step(session=SESSIONS, prefixes=SOME, twice=st.booleans())
    def withdraw(self, session: SessionId, prefixes: tuple[Prefix, ...], twice: bool = False) -> None:
        if self.engine.sessions[session].established:
            self.handle(Withdrawn(session, (*prefixes, *prefixes) if twice else prefixes))
            for prefix in prefixes:
                self.announced[session].pop(prefix, None)

    @step(session=SESSIONS)
    def end_of_rib(self, session: SessionId) -> None:
        if self.engine.sessions[session].established:
            self.handle(EndOfRib(session, Family.IPV4))

    @step(session=SESSIONS)
    def lose_messages(self, session: SessionId) -> None:
        if self.engine.sessions[session].established:
            self.handle(MessagesLost(session, 1))
            # The refresh that is asked for is answered with the same paths.
            for prefix, attributes in self.announced[session].items():
                self.handle(Announced(session, attributes, (prefix,)))

    @step(name=st.sampled_from(list(IFINDEX)), up=st.booleans())
    def link(self, name: str, up: bool) -> None:
        self.node.link(name, up=up, now=self.now)

    @step(mode=st.sampled_from(list(SwitchMode)))
    def operator(self, mode: SwitchMode) -> None:
        self.handle(OperatorSwitch("conn1", mode))

    @step(on=st.booleans())
    def propagation(self, on: bool) -> None:
        self.handle(PropagationSet("gw1", on))

    @step(connected=st.lists(st.sampled_from(PREFIXES), max_size=2).map(tuple))
    def connected(self, connected: tuple[Prefix, ...]) -> None:
        self.handle(ConnectedChanged(connected))

    @step(seconds=st.sampled_from([0.5, 6.0, 25.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.engine.tick(self.now)

    @step(ident=st.integers(0, 5))
    def somebody_deletes_a_nexthop(self, ident: int) -> None:
        nexthops = self.node.kernel.nexthops()
        if ident < len(nexthops):
            self.node.kernel.delete_nexthop(nexthops[ident].id)
            self.node.notice(self.now)

    @step(
        session=SESSIONS,
        prefixes=SOME,
        ident=st.integers(0, 5),
        before=st.booleans(),
        then=st.sampled_from(["announced", "withdrawn", "down"]),
    )
    def a_nexthop_goes_while_routes_are_under_way(
        self, session: SessionId, prefixes: tuple[Prefix, ...], ident: int, before: bool, then: str
    ) -> None:
        """And more happens, all before they are back."""
        self.announce(session, prefixes, before)
        fib, kernel = self.engine.fib, self.node.kernel
        run(self.engine)
        self.apply_ids()
        ops = fib.plan_routes(2)
        fib.begin()
        errors = [] if before else kernel.apply_routes(ops)
        nexthops = kernel.nexthops()
        if ident < len(nexthops):
            kernel.delete_nexthop(nexthops[ident].id)
        self.node.notice(self.now)
        self.apply_ids()
        if before:
            errors = kernel.apply_routes(ops)
        if then == "announced":
            self.announce(session, prefixes, not before)
        elif then == "withdrawn":
            self.withdraw(session, prefixes)
        else:
            self.session_down(session, False)
        fib.applied(ops, errors)
        fib.end(ops)
        if errors:
            fib.verify(kernel.nexthops())
            fib.retry()

    def apply_ids(self) -> None:
        fib = self.engine.fib
        ops = fib.plan_ids()
        fib.applied(ops, self.node.kernel.apply(ops))

    @invariant()
    def counts_are_right(self) -> None:
        """What the bulk ways count is what is there."""
        if not hasattr(self, "node"):
            return
        rib = self.engine.gateways["gw1"].rib
        found = Counter(map(id, rib.routes.values()))
        assert {id(p): p.count for p in rib.routes.values()} == found
        classes = Counter(id(p.forwarding) for p in rib.routes.values() if p.forwarding.hops)
        assert {id(c): c.count for c in rib.every_class()} == classes

    @step(prefix=st.sampled_from(PREFIXES), metric=st.sampled_from([METRIC_PRIMARY, METRIC_BACKUP]))
    def somebody_deletes_a_route(self, prefix: Prefix, metric: int) -> None:
        if (prefix, metric) in self.node.kernel.routes(TABLE):
            self.node.kernel.delete_route(TABLE, prefix, metric)
            self.node.notice(self.now)

    @step()
    def daemon_restarts(self) -> None:
        self.now += 1
        fresh = Engine(self.intent(), self.now)
        fresh.modes.update(self.engine.modes)
        old = self.engine
        self.node = self.node.restarted(fresh, self.now)
        for session in (T1, T2):
            if old.sessions[session].established:
                fresh.handle(SessionResync(session, negotiated()), self.now)
                for prefix, attributes in self.announced[session].items():
                    fresh.handle(Announced(session, attributes, (prefix,)), self.now)
                fresh.handle(EndOfRib(session, Family.IPV4), self.now)
        run(fresh)
        self.now += 61
        fresh.tick(self.now)

    @invariant()
    def everything_fits(self) -> None:
        if not hasattr(self, "node"):
            return
        self.node.settle()
        self.answer_refreshes()
        engine = self.engine
        table = engine.gateways["gw1"].table
        kernel = self.node.kernel.routes(TABLE)
        assert {p: i for (p, m), i in kernel.items() if m == METRIC_PRIMARY} == table.primary
        assert {p: i for (p, m), i in kernel.items() if m == METRIC_BACKUP} == table.backup
        rib = engine.gateways["gw1"].rib
        assert all(len(p.paths) > 0 for p in rib.routes.values())
        assert {*rib.classes.values()} == {*rib.every_class()}, "nothing is left of what was removed"
        self.no_route_uses_a_dead_tunnel()
        self.every_announced_prefix_is_accounted_for()
        self.every_live_path_is_forwarded()
        self.every_path_is_as_the_policy_has_it()

    def answer_refreshes(self) -> None:
        """Peers announce everything again when they are asked to."""
        while asked := [effect.session for effect in self.engine.outbox if isinstance(effect, Refresh)]:
            self.engine.outbox.clear()
            for session in asked:
                for prefix, attributes in self.announced[session].items():
                    self.handle(Announced(session, attributes, (prefix,)))
            self.node.settle()

    def no_route_uses_a_dead_tunnel(self) -> None:
        interfaces = {"t1": T1, "t2": T2}
        for prefix, interface in self.node.routes().items():
            tunnel = self.engine.tunnels[interfaces[interface]]
            assert tunnel.state is not TunnelState.DOWN, f"{prefix} uses {interface}: {tunnel.reason}"
            assert prefix != "10.0.9.0/24", "a VPC address was captured"
            session = self.engine.sessions[interfaces[interface]]
            packed = parse_prefix(prefix)
            assert packed in session.adj.fresh or (session.keep_stale and packed in session.adj.stale)

    def every_announced_prefix_is_accounted_for(self) -> None:
        for session, announced in self.announced.items():
            adj = self.engine.sessions[session].adj
            assert len(adj.fresh) <= 2, "the maximum number of prefixes"
            places = [set(adj.fresh), set(adj.refused), set(adj.shed)]
            found = {p: sum(p in place for place in places) + (p in adj.stale) for p in announced}
            assert all(count <= 1 for count in found.values()), found
            # What there was no room for even among the refused ones is counted.
            assert list(found.values()).count(0) <= adj.forgotten, found

    def every_path_is_as_the_policy_has_it(self) -> None:
        gateway = self.engine.gateways["gw1"]
        for session in self.engine.sessions.values():
            adj = session.adj
            settings, prefix_filter = session.settings, gateway.filter
            held = {p: s.paths[session.id] for p, s in gateway.rib.routes.items() if session.id in s.paths}
            assert held == {
                prefix: judge(settings, prefix_filter, prefix, attributes).attributes
                for prefix, attributes in (*adj.fresh.items(), *adj.stale.items())
            }
            for prefix, (attributes, reason) in adj.refused.items():
                assert judge(settings, prefix_filter, prefix, attributes).reason is reason

    def every_live_path_is_forwarded(self) -> None:
        engine = self.engine
        gateway = engine.gateways["gw1"]
        installed = self.node.routes()
        for session in (T1, T2):
            tunnel = engine.tunnels[session]
            if tunnel.state is TunnelState.LIVE and gateway.propagate:
                for prefix in engine.sessions[session].adj.fresh:
                    assert format_prefix(prefix) in installed


History.TestCase.settings = settings(deadline=None, max_examples=200, stateful_step_count=25)
TestHistory = History.TestCase
