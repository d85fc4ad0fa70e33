"""Scenarios of the engine against the kernel in memory."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from bgpsvc.effects import Advertise, Log, Refresh, Reset
from bgpsvc.engine import Engine
from bgpsvc.events import (
    Announced,
    ConnectedChanged,
    DetectionChanged,
    EndOfRib,
    MessagesLost,
    OperatorSwitch,
    PropagationSet,
    SessionDown,
    SessionResync,
    SessionUp,
    SpeakerDown,
    SpeakerUp,
    Withdrawn,
)
from bgpsvc.fib.ops import METRIC_BACKUP, METRIC_PRIMARY, DeleteRoutes, SetGroup, SetRoutes
from bgpsvc.model import (
    Family,
    Reason,
    Role,
    SessionState,
    SwitchMode,
    format_prefix,
    parse_address,
    parse_prefix,
)
from bgpsvc.resources import Intent, Vpc
from bgpsvc.takeover import DEAD_CHECK_TIME, SYNC_TIME
from bgpsvc.tunnels import DEFERRAL_WITHOUT_END_OF_RIB, SELECTION_DEFERRAL_TIME, TunnelState
from tests.unit.core.harness import Node
from tests.unit.support import (
    IFINDEX,
    T1,
    T2,
    down,
    engine,
    intent,
    negotiated,
    path,
    prefixes,
    run,
    up,
    withdraw,
)

A, B, C = "192.168.0.0/16", "172.16.0.0/12", "192.168.7.0/24"


def both_up(**more: object) -> Node:
    node = Node(engine(**more))  # type: ignore[arg-type]
    up(node.engine, T1, 1, A, B)
    up(node.engine, T2, 1, A, B)
    node.settle()
    return node


def test_active_tunnel_carries_and_standby_backs_it_up() -> None:
    node = both_up()
    assert node.routes() == {A: "t1", B: "t1"}
    assert node.routes(METRIC_BACKUP) == {A: "t2", B: "t2"}


def test_session_loss_is_one_group_and_no_route() -> None:
    node = both_up()
    down(node.engine, T1, 5)
    ops = node.settle()
    assert [type(op) for op in ops] == [SetGroup]
    assert node.routes() == {A: "t2", B: "t2"}


def test_return_rewrites_no_route_and_waits_for_end_of_rib_and_hold_down() -> None:
    node = both_up()
    down(node.engine, T1, 5)
    node.settle()
    up(node.engine, T1, 10, A, B, end=False)
    assert node.settle() == []
    assert node.engine.tunnels[T1].state is TunnelState.SYNCING
    up(node.engine, T1, 12, A, B)
    node.engine.tick(16.9)
    assert node.settle() == []
    assert node.engine.deadline() == 17
    node.engine.tick(17)
    assert [type(op) for op in node.settle()] == [SetGroup]
    assert node.routes() == {A: "t1", B: "t1"}


def test_a_peer_that_need_not_send_end_of_rib_is_waited_for_shortly() -> None:
    for restart_time, wait in ((None, DEFERRAL_WITHOUT_END_OF_RIB), (0, SELECTION_DEFERRAL_TIME)):
        node = both_up()
        down(node.engine, T1, 5)
        up(node.engine, T1, 10, A, B, end=False, graceful_restart_time=restart_time)
        assert node.engine.deadline() == 10 + wait
        node.engine.tick(10 + wait)
        run(node.engine)
        assert node.engine.tunnels[T1].state is TunnelState.WARMING


def test_prefixes_not_announced_again_are_swept_at_end_of_rib() -> None:
    node = both_up()
    down(node.engine, T1, 5)
    up(node.engine, T1, 6, A)
    node.settle()
    routes = node.engine.gateways["gw1"].rib.routes
    assert set(routes[parse_prefix(A)].paths) == {T1, T2}
    assert set(routes[parse_prefix(B)].paths) == {T2}


def test_without_a_live_tunnel_routes_leave_the_table_and_paths_the_rib() -> None:
    node = both_up()
    down(node.engine, T1, 5)
    down(node.engine, T2, 6)
    node.settle()
    assert node.routes() == {}
    assert node.routes(METRIC_BACKUP) == {}
    assert not node.engine.gateways["gw1"].rib.routes


def test_both_dead_and_one_returns_carries_at_once() -> None:
    node = both_up()
    down(node.engine, T1, 5)
    down(node.engine, T2, 6)
    node.settle()
    up(node.engine, T1, 7, A, end=False)
    node.settle()
    assert node.routes() == {A: "t1"}


def test_prefix_of_one_tunnel_alone_goes_with_it() -> None:
    node = both_up()
    withdraw(node.engine, T2, 2, B)
    down(node.engine, T1, 5)
    node.settle()
    assert node.routes() == {A: "t2"}
    # The standby withdraws what only a dead session still has: nothing stale may come back to life.
    withdraw(node.engine, T2, 6, A)
    up(node.engine, T1, 7, end=False)
    node.settle()
    assert node.routes() == {}


def test_graceful_restart_switches_to_the_standby_and_keeps_stale_paths_without_one() -> None:
    more = {"graceful_restart_time": 30, "graceful_restart_families": (Family.IPV4,)}
    node = Node(engine())
    up(node.engine, T1, 1, A, B, **more)
    up(node.engine, T2, 1, A, **more)
    down(node.engine, T1, 5, graceful=True)
    node.settle()
    assert node.routes() == {A: "t2", B: "t1"}
    assert node.engine.tunnels[T1].state is TunnelState.STALE
    node.engine.tick(35)
    run(node.engine)
    node.settle()
    assert node.routes() == {A: "t2"}


def test_graceful_restart_needs_both_sides() -> None:
    for configured, offered in ((0, 30), (120, None)):
        node = Node(engine(graceful_restart=configured))
        families = (Family.IPV4,) if offered else ()
        up(node.engine, T1, 1, A, graceful_restart_time=offered, graceful_restart_families=families)
        down(node.engine, T1, 5, graceful=True)
        node.settle()
        assert node.routes() == {}


def test_operator_switch_moves_groups_only_and_back() -> None:
    node = both_up()
    node.engine.handle(OperatorSwitch("conn1", SwitchMode.STANDBY), 5)
    assert [type(op) for op in node.settle()] == [SetGroup]
    assert node.routes() == {A: "t2", B: "t2"}
    assert node.engine.switchboard.switches["conn1"].carrying == T2
    # The chosen tunnel dies: traffic is worth more than the wish. It returns: the wish counts again.
    down(node.engine, T2, 6)
    node.settle()
    assert node.routes() == {A: "t1", B: "t1"}
    up(node.engine, T2, 7, A, B)
    node.settle()
    assert node.routes() == {A: "t2", B: "t2"}
    node.engine.handle(OperatorSwitch("conn1", SwitchMode.AUTO), 8)
    node.settle()
    assert node.routes() == {A: "t1", B: "t1"}


def test_switch_dry_run_counts_what_would_move() -> None:
    node = both_up()
    gateway = node.engine.gateways["gw1"]
    assert gateway.moved_by("conn1", {"conn1": SwitchMode.STANDBY}) == (2, 1)
    assert gateway.moved_by("conn1", {"conn1": SwitchMode.ACTIVE}) == (0, 0)


def test_propagation_off_and_on() -> None:
    node = both_up()
    node.engine.outbox.clear()
    node.engine.handle(PropagationSet("gw1", False), 5)
    node.settle()
    assert node.routes() == {}
    assert node.routes(METRIC_BACKUP) == {}
    off = [e for e in node.engine.outbox if isinstance(e, Advertise)]
    assert [(e.session, dict(e.routes)) for e in off] == [(T1, {}), (T2, {})]
    assert all(node.engine.sessions[s].established for s in (T1, T2))
    node.engine.outbox.clear()
    node.engine.handle(PropagationSet("gw1", True), 6)
    node.settle()
    assert node.routes() == {A: "t1", B: "t1"}
    on = {e.session: e.routes for e in node.engine.outbox if isinstance(e, Advertise)}
    vpc = parse_prefix("10.0.0.0/16")
    assert on[T1][vpc].med < on[T2][vpc].med


def test_link_down_moves_groups_before_the_nexthop_is_given_up() -> None:
    node = both_up()
    node.link("t1", up=False)
    node.settle()
    assert node.routes() == {A: "t2", B: "t2"}
    # The session is still up, the link comes back: no End-of-RIB to wait for, but a hold-down.
    node.link("t1", up=True, now=20)
    node.engine.tick(40)
    node.settle()
    assert node.routes() == {A: "t1", B: "t1"}
    assert node.routes(METRIC_BACKUP) == {A: "t2", B: "t2"}


def test_backup_routes_wait_for_the_standby_link() -> None:
    node = both_up()
    node.link("t2", up=False)
    node.settle()
    assert node.routes() == {A: "t1", B: "t1"}
    assert node.routes(METRIC_BACKUP) == {}
    node.link("t2", up=True, now=9)
    node.settle()
    assert node.routes(METRIC_BACKUP) == {A: "t2", B: "t2"}


def test_refused_prefixes_are_kept_with_their_reason() -> None:
    node = Node(engine())
    up(node.engine, T1, 1, A, "10.0.7.0/24", "0.0.0.0/0", "127.0.0.0/8")
    node.settle()
    assert node.routes() == {A: "t1"}
    refused = {format_prefix(p): r for p, (_, r) in node.engine.sessions[T1].adj.refused.items()}
    assert refused == {
        "10.0.7.0/24": Reason.VPC_OVERLAP,
        "0.0.0.0/0": Reason.DEFAULT_ROUTE,
        "127.0.0.0/8": Reason.MARTIAN,
    }


def test_a_path_that_becomes_unacceptable_is_withdrawn() -> None:
    node = both_up()
    node.engine.handle(Announced(T1, path(T1, 65500, 65530), prefixes(A)), 3)
    node.settle()
    assert node.routes() == {A: "t2", B: "t1"}
    assert node.engine.sessions[T1].adj.refused[parse_prefix(A)][1] is Reason.AS_LOOP


def test_default_route_where_the_connection_accepts_it() -> None:
    node = Node(engine(connection={"accept_default_route": True}))
    up(node.engine, T1, 1, "0.0.0.0/0")
    node.settle()
    assert node.routes() == {"0.0.0.0/0": "t1"}


def test_connected_network_appears_and_goes() -> None:
    node = both_up()
    node.engine.handle(ConnectedChanged(prefixes(A)), 5)
    run(node.engine)
    node.settle()
    assert node.routes() == {B: "t1"}
    node.engine.handle(ConnectedChanged(()), 6)
    run(node.engine)
    node.settle()
    assert node.routes() == {A: "t1", B: "t1"}


def test_over_the_maximum_sheds_warns_once_and_readmits() -> None:
    node = Node(engine(max_prefixes=2))
    up(node.engine, T1, 1, A, B, C, "203.0.113.0/24")
    node.settle()
    session = node.engine.sessions[T1]
    assert node.routes() == {A: "t1", B: "t1"}
    assert session.established
    warnings = [e for e in node.engine.outbox if isinstance(e, Log) and e.kind == "session.prefix_limit"]
    assert [w.severity for w in warnings] == ["warning"]
    withdraw(node.engine, T1, 2, A)
    node.settle()
    assert node.routes() == {B: "t1", C: "t1"}
    # An update of an accepted prefix is no new one.
    node.engine.handle(Announced(T1, path(T1, 65500, 65501), prefixes(B)), 3)
    assert parse_prefix(B) in session.adj.fresh
    withdraw(node.engine, T1, 4, B)
    assert not session.over_limit


def test_an_accepted_path_that_comes_to_be_refused_leaves_room_for_a_shed_one() -> None:
    node = Node(engine(max_prefixes=1))
    up(node.engine, T1, 1, A, B)
    node.engine.handle(Announced(T1, path(T1, 65500, 65530), prefixes(A)), 2)
    adj = node.engine.sessions[T1].adj
    assert (list(adj.fresh), list(adj.shed), list(adj.refused)) == ([*prefixes(B)], [], [*prefixes(A)])
    assert not node.engine.sessions[T1].over_limit


def test_shed_paths_that_were_forgotten_come_back_by_refresh() -> None:
    node = Node(engine(max_prefixes=1))
    up(node.engine, T1, 1, A, B, C)
    session = node.engine.sessions[T1]
    assert (len(session.adj.shed), session.adj.forgotten) == (1, 1)
    node.engine.outbox.clear()
    withdraw(node.engine, T1, 2, A)
    withdraw(node.engine, T1, 3, B)
    assert Refresh(T1) in node.engine.outbox


def test_over_the_maximum_tears_down_where_asked() -> None:
    node = Node(engine(max_prefixes=1, max_prefixes_action="teardown"))
    up(node.engine, T1, 1, A, B)
    assert [e.subcode for e in node.engine.outbox if isinstance(e, Reset)] == [1]


def test_lost_messages_refresh_and_sweep() -> None:
    node = both_up()
    node.engine.outbox.clear()
    node.engine.handle(MessagesLost(T1, 3), 5)
    assert Refresh(T1) in node.engine.outbox
    assert node.settle() == [], "nothing moves while the refresh runs"
    up_again = Announced(T1, path(T1), prefixes(A))
    node.engine.handle(up_again, 6)
    node.engine.tick(5 + SELECTION_DEFERRAL_TIME)
    run(node.engine)
    node.settle()
    assert node.routes() == {A: "t1", B: "t2"}


def test_lost_messages_reset_a_peer_that_cannot_refresh() -> None:
    node = Node(engine())
    up(node.engine, T1, 1, A, route_refresh=False)
    up(node.engine, T2, 1, A, route_refresh=False)
    node.engine.handle(MessagesLost(T1, 1), 2)
    assert any(isinstance(e, Reset) and e.session == T1 for e in node.engine.outbox)


def test_refresh_deadline_waits_for_a_table_that_is_still_arriving() -> None:
    node = both_up()
    node.engine.handle(MessagesLost(T1, 1), 5)
    late = 5 + SELECTION_DEFERRAL_TIME
    node.engine.handle(Announced(T1, path(T1), prefixes(A)), late - 1)
    node.engine.tick(late)
    run(node.engine)
    assert parse_prefix(B) in node.engine.sessions[T1].adj.stale


def test_restarted_daemon_rewrites_and_deletes_nothing_that_is_right() -> None:
    old = both_up()
    fresh = Engine(intent(), 100)
    node = old.restarted(fresh, now=100)
    for session in (T2, T1):
        fresh.handle(SessionResync(session, negotiated()), 100)
        assert Refresh(session) in fresh.outbox
    # The standby's table arrives first: nothing may move because of that.
    fresh.handle(Announced(T2, path(T2), prefixes(A, B)), 101)
    assert [op for op in node.settle() if isinstance(op, SetRoutes | DeleteRoutes)] == []
    fresh.handle(Announced(T1, path(T1), prefixes(A)), 102)
    node.settle()
    assert node.routes() == {A: "t1", B: "t1"}
    fresh.tick(100 + SYNC_TIME)
    run(fresh)
    node.settle()
    assert node.routes() == {A: "t1", B: "t2"}


def test_restarted_daemon_moves_routes_off_a_tunnel_that_died_meanwhile() -> None:
    old = both_up()
    fresh = Engine(intent(), 100)
    node = old.restarted(fresh, now=100)
    node.link("t1", up=False, now=100)
    fresh.handle(SessionResync(T2, negotiated()), 100)
    fresh.handle(Announced(T2, path(T2), prefixes(A, B)), 101)
    node.settle()
    assert node.routes() == {A: "t2", B: "t2"}


def test_leftovers_of_a_former_life_are_swept_at_the_deadline() -> None:
    old = both_up()
    fresh = Engine(intent(), 100)
    node = old.restarted(fresh, now=100)
    node.settle()
    assert node.routes() == {A: "t1", B: "t1"}
    fresh.tick(100 + SYNC_TIME)
    node.settle()
    assert node.routes() == {}
    assert not node.kernel.nexthops()


def test_speaker_that_ends_takes_its_sessions_down() -> None:
    node = both_up()
    node.engine.handle(SpeakerDown(Role.ACTIVE, "killed"), 5)
    node.settle()
    assert node.routes() == {A: "t2", B: "t2"}
    assert node.engine.sessions[T1].state is SessionState.IDLE
    assert node.engine.sessions[T2].established


@pytest.mark.parametrize(
    ("configured", "planned", "kept"), [(120, False, True), (0, False, False), (120, True, False)]
)
def test_a_speaker_that_crashed_restarts_and_forwarding_goes_on(
    configured: int, planned: bool, kept: bool
) -> None:
    """RFC 4724 4.1, with us as the one that restarts: what the peer is capable of plays no part."""
    node = Node(engine(graceful_restart=configured))
    up(node.engine, T1, 1, A, B)
    up(node.engine, T2, 1, A)
    node.engine.handle(SpeakerDown(Role.ACTIVE, "killed", planned), 5)
    node.settle()
    assert node.routes() == ({A: "t2", B: "t1"} if kept else {A: "t2"})
    if kept:
        assert node.engine.tunnels[T1].state is TunnelState.STALE
        assert node.engine.tunnels[T1].reason == "our speaker restarts and keeps forwarding"
    up(node.engine, T1, 6, A, end=False)
    node.settle()
    assert (B in node.routes()) is kept, "until the peer has said that this is all"
    node.engine.handle(EndOfRib(T1, Family.IPV4), 7)
    node.settle()
    assert set(node.routes()) == {A}


def test_a_speaker_that_does_not_come_back_takes_its_routes_with_it() -> None:
    node = Node(engine())
    up(node.engine, T1, 1, A)
    node.engine.handle(SpeakerDown(Role.ACTIVE, "killed"), 5)
    node.engine.tick(5 + 120)
    run(node.engine)
    node.settle()
    assert node.routes() == {}


def test_bfd_is_believed_while_our_speaker_restarts() -> None:
    """The peer's BFD goes on: that it is lost is no part of our restart."""
    node = Node(engine(bfd={"interval_ms": 50}))
    up(node.engine, T1, 1, A)
    up(node.engine, T2, 1)
    node.engine.handle(DetectionChanged(T1, "bfd", True, "up", 150), 2)
    node.engine.handle(SpeakerDown(Role.ACTIVE, "killed"), 5)
    node.engine.handle(DetectionChanged(T1, "bfd", False, "no packet", 150), 6)
    assert node.engine.tunnels[T1].state is TunnelState.DOWN


@pytest.mark.parametrize(("planned", "severity"), [(False, "error"), (True, "info")])
def test_a_speaker_that_was_to_end_is_no_error(planned: bool, severity: str) -> None:
    node = both_up()
    node.engine.outbox.clear()
    node.engine.handle(SpeakerDown(Role.ACTIVE, "ended with status 0", planned), 5)
    (told,) = [e for e in node.engine.outbox if isinstance(e, Log) and e.kind == "speaker.down"]
    assert told.severity == severity


def test_malformed_update_is_a_withdrawal_and_is_counted() -> None:
    node = both_up()
    node.engine.handle(Withdrawn(T1, prefixes(A), error="bad ORIGIN"), 5)
    node.settle()
    assert node.routes() == {A: "t2", B: "t1"}
    assert node.engine.sessions[T1].counters.treated_as_withdraw == 1


def test_reconfiguration_of_one_session_leaves_the_other_alone() -> None:
    node = both_up()
    changed = intent(connection={"failback_hold_down": 60.0})
    node.engine.reconfigure(changed, 5)
    run(node.engine)
    assert node.settle() == []
    assert node.engine.tunnels[T1].settings.hold_down == 60.0
    assert node.engine.sessions[T1].established


def test_preference_switched_off_decides_by_the_attributes() -> None:
    node = both_up()
    node.engine.handle(Announced(T1, path(T1, 65500, 65501), prefixes(A)), 3)
    node.settle()
    assert node.routes() == {A: "t1", B: "t1"}
    node.engine.reconfigure(intent(connection={"prefer_active_tunnel": False}), 5)
    run(node.engine)
    node.settle()
    assert node.routes() == {A: "t2", B: "t1"}


def test_removed_connection_takes_its_routes_along() -> None:
    node = both_up()
    everything = intent()
    node.engine.reconfigure(
        everything.model_construct(
            vpcs=everything.vpcs,
            vpn_gateways=everything.vpn_gateways,
            customer_gateways=everything.customer_gateways,
            vpn_connections=(),
        ),
        5,
    )
    run(node.engine)
    node.settle()
    assert node.routes() == {}
    assert node.engine.sessions == {}
    assert not node.kernel.nexthops()


def test_interface_made_anew_gets_its_routes_again() -> None:
    node = both_up()
    node.kernel.delete_link(IFINDEX["t1"])
    node.notice(5)
    node.settle()
    assert node.routes() == {A: "t2", B: "t2"}
    assert node.kernel.add_link("t1", "169.254.10.1/30") != IFINDEX["t1"]
    node.notice(6)
    node.engine.tick(60)
    node.settle()
    assert node.routes() == {A: "t1", B: "t1"}


def test_ipv6_prefixes_have_their_own_classes() -> None:
    node = both_up()
    hop = path(T1, next_hop=bytes.fromhex("fd00" + "0010" + "00" * 11 + "02"))
    node.engine.handle(Announced(T1, hop, prefixes("2001:db8::/32")), 3)
    node.settle()
    assert node.routes() == {A: "t1", B: "t1", "2001:db8::/32": "t1"}
    assert METRIC_PRIMARY < METRIC_BACKUP


def test_a_group_that_vanished_unheard_takes_its_routes_out_of_the_mirror() -> None:
    # The session goes down in the moment between the device's end and the kernel's word of it: the
    # group may not be created anew over the standby as if its routes still were there.
    node = both_up()
    node.kernel.link_down(IFINDEX["t1"])
    down(node.engine, T1, 5)
    fib = node.engine.fib
    errors = node.kernel.apply(ops := fib.plan())
    assert [(type(e.op), e.errno) for e in errors] == [(SetGroup, 2)]
    fib.applied(ops, errors)
    node.notice(6)
    node.settle()
    assert node.routes() == {A: "t2", B: "t2"}


# Found by review: each of these lost or kept routes it should not have.


def remade(**parts: object) -> Intent:
    base = intent()
    fields = {name: getattr(base, name) for name in Intent.model_fields}
    return Intent.model_construct(**{**fields, **parts})  # type: ignore[arg-type]


def other_table(number: int) -> Intent:
    return remade(vpcs=(base_vpc().model_copy(update={"route_table": number}),))


def base_vpc() -> Vpc:
    return intent().vpcs[0]


def test_a_table_added_by_a_reload_is_released_like_any_other() -> None:
    node = both_up()
    anew = node.engine.reconfigure(other_table(202), 5)
    assert anew == {T1, T2}
    node.engine.takeover.loaded()
    for session in (T1, T2):
        up(node.engine, session, 6, A, B)
    node.settle()
    assert node.routes() == {}, "the old table is cleaned"
    withdraw(node.engine, T1, 9, A)
    withdraw(node.engine, T2, 9, A)
    node.settle()
    assert {format_prefix(p) for p, _ in node.kernel.routes(202)} == {B}
    assert not node.engine.fib.tables[202].held


def test_a_table_with_leftovers_added_by_a_reload_is_swept_at_the_deadline() -> None:
    node = both_up()
    node.engine.reconfigure(other_table(202), 5)
    table = node.engine.fib.tables[202]
    table.primary[parse_prefix("203.0.113.0/24")] = next(iter(node.engine.fib.groups))
    node.engine.takeover.loaded()
    assert table.held
    node.engine.tick(5 + SYNC_TIME)
    assert not table.held


def test_jobs_of_a_removed_session_are_void() -> None:
    no_connections = remade(vpn_connections=())
    for event in (EndOfRib(T1, Family.IPV4), SessionDown(T1, "x")):
        for new in (no_connections, remade(vpcs=(), vpn_gateways=(), vpn_connections=())):
            node = both_up()
            node.engine.handle(event, 4)
            node.engine.reconfigure(new, 5)
            run(node.engine)
            node.settle()
            assert node.routes() == {}
    node = both_up()
    node.engine.handle(Announced(T1, path(T1), prefixes("10.0.1.0/24")), 4)
    changed = remade(vpcs=(base_vpc().model_copy(update={"cidrs": (IPv4Network("10.9.0.0/16"),)}),))
    node.engine.reconfigure(changed, 5)
    node.engine.work()
    node.engine.reconfigure(remade(vpcs=changed.vpcs, vpn_connections=()), 5)
    run(node.engine)
    assert not node.engine.gateways["gw1"].rib.routes


def test_a_family_that_is_not_negotiated_any_more_is_forgotten() -> None:
    both = (Family.IPV4, Family.IPV6)
    six = prefixes("2001:db8:1::/48")
    node = Node(engine())
    for session, third in ((T1, 10), (T2, 20)):
        node.engine.handle(SessionUp(session, negotiated(families=both)), 1)
        hop = parse_address(f"fd00:{third}::2")
        node.engine.handle(Announced(session, path(session, next_hop=hop), six), 1)
        for family in both:
            node.engine.handle(EndOfRib(session, family), 1)
    node.settle()
    assert node.routes() == {"2001:db8:1::/48": "t1"}
    down(node.engine, T1, 5)
    up(node.engine, T1, 6)
    node.engine.tick(20)
    node.settle()
    assert node.engine.tunnels[T1].state is TunnelState.LIVE
    assert node.routes() == {"2001:db8:1::/48": "t2"}


def test_an_end_of_rib_from_before_the_loss_sweeps_nothing_after_it() -> None:
    node = Node(engine())
    up(node.engine, T1, 1, A, graceful_restart_time=120, graceful_restart_families=(Family.IPV4,))
    node.engine.handle(EndOfRib(T1, Family.IPV4), 5)
    node.engine.handle(SessionDown(T1, "lost", graceful=True), 5)
    node.settle()
    assert node.routes() == {A: "t1"}


def test_a_peer_that_restarted_without_keeping_its_forwarding_loses_its_stale_paths_at_once() -> None:
    for kept, expected in (((), {}), ((Family.IPV4,), {A: "t1"})):
        node = Node(engine())
        offer = {"graceful_restart_time": 120, "graceful_restart_families": (Family.IPV4,)}
        up(node.engine, T1, 1, A, **offer)
        down(node.engine, T1, 5, graceful=True)
        up(node.engine, T1, 6, end=False, forwarding_preserved=kept, **offer)
        node.settle()
        assert node.routes() == expected


def test_routes_over_a_tunnel_that_does_not_come_back_are_held_ten_seconds_only() -> None:
    old = both_up()
    fresh = Engine(intent(), 100)
    node = old.restarted(fresh, now=100)
    up(fresh, T2, 101, A, B)
    node.settle()
    assert node.routes() == {A: "t1", B: "t1"}
    fresh.tick(100 + DEAD_CHECK_TIME)
    node.settle()
    assert node.routes() == {A: "t2", B: "t2"}


def test_an_unanswered_refresh_resets_instead_of_sweeping() -> None:
    node = both_up()
    node.engine.handle(MessagesLost(T1, 1), 5)
    node.engine.outbox.clear()
    node.engine.handle(SpeakerUp(Role.ACTIVE), 6)
    assert Refresh(T1) in node.engine.outbox, "the connection came back: the request may have been lost"
    node.engine.tick(6 + SELECTION_DEFERRAL_TIME)
    node.settle()
    assert node.routes() == {A: "t1", B: "t1"}
    assert any(isinstance(e, Reset) and e.session == T1 for e in node.engine.outbox)


def test_a_raised_limit_admits_what_was_shed() -> None:
    node = Node(engine(max_prefixes=1))
    up(node.engine, T1, 1, A, B)
    node.engine.reconfigure(intent(max_prefixes=10), 5)
    run(node.engine)
    node.settle()
    assert node.routes() == {A: "t1", B: "t1"}


def test_operations_that_never_reached_the_kernel_are_planned_again() -> None:
    node = Node(engine())
    up(node.engine, T1, 1, A)
    ops = node.engine.fib.plan()
    assert ops
    node.engine.fib.failed_to_send(ops)
    node.settle()
    assert node.routes() == {A: "t1"}
