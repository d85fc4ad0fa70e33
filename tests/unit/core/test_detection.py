"""What BFD and the probe of the peer mean to traffic, how long they are believed, and flap damping."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import NoReturn

import pytest

from bgpsvc import damping
from bgpsvc.detecting import MARGIN, Said, Standing, failing
from bgpsvc.detection_report import GuardSeen, bfd_view, detections
from bgpsvc.effects import Log, Reset
from bgpsvc.engine import Engine
from bgpsvc.events import (
    DetectionChanged,
    HealthChanged,
    IpsecChanged,
    LinkChanged,
    OperatorSwitch,
    SessionResync,
)
from bgpsvc.fib.ops import SetGroup
from bgpsvc.guard.model import BfdStatus
from bgpsvc.model import SessionId, SwitchMode
from bgpsvc.report import Beside, tunnel_view
from bgpsvc.resources import DpdSettings, Tunnel
from bgpsvc.resources.models import BfdSettings, HealthCheck, ProbeSettings
from bgpsvc.tunnels import LAST_ONE_STAYS, TunnelState
from tests.unit.core.harness import Node
from tests.unit.core.made import made_intent, made_node
from tests.unit.core.test_ipsec import logged
from tests.unit.support import T1, T2, down, engine, intent, negotiated, up

A = "192.168.0.0/16"
WATCHED = {"bfd": BfdSettings(), "probe": ProbeSettings()}


def both_up(**connection: object) -> Node:
    node = Node(engine(connection=connection, **WATCHED))
    for session in (T1, T2):
        up(node.engine, session, 1, A)
        say(node, session, True, 1)
    node.settle()
    node.engine.outbox.clear()
    return node


def say(
    node: Node, tunnel: SessionId, says: bool | None, now: float, method: str = "bfd", at: float | None = None
) -> None:
    reason = {True: "up", False: "nothing heard for 150 ms", None: "switched off"}[says]
    event = DetectionChanged(tunnel, method, says, reason, 150.0 if says else None, at)  # type: ignore[arg-type]
    node.engine.handle(event, now)


def state(node: Node, tunnel: SessionId = T1) -> TunnelState:
    return node.engine.tunnels[tunnel].state


@pytest.mark.parametrize(
    ("said", "session", "now", "believed"),
    [
        (None, Standing(1.0), 100, False),
        (Said(None, "", 5.0), Standing(), 100, False),
        (Said(True, "", 5.0), Standing(), 100, False),
        (Said(False, "", 5.0), Standing(), 1000, True),
        # Keepalives came through for longer than they could have without a path.
        (Said(False, "", 5.0), Standing(1.0, True, 30.0), 5 + 30 + MARGIN - 0.1, True),
        (Said(False, "", 5.0), Standing(1.0, True, 30.0), 5 + 30 + MARGIN, False),
        # Without keepalives Established says nothing.
        (Said(False, "", 5.0), Standing(1.0, True, 0.0), 1000, True),
        # Established anew after the failure, and that we saw; a restarted daemon did not.
        (Said(False, "", 5.0), Standing(6.0, True, 30.0), 6, False),
        (Said(False, "", 5.0), Standing(6.0, False, 30.0), 6, True),
        (Said(False, "", 5.0), Standing(50.0, False, 30.0), 50, False),
    ],
)
def test_when_a_failure_is_believed(said: Said | None, session: Standing, now: float, believed: bool) -> None:
    assert failing(said, session, now) is believed


@pytest.mark.parametrize("method", ["bfd", "probe"])
def test_a_failure_moves_traffic_with_one_group_and_resets_no_session(method: str) -> None:
    node = both_up()
    say(node, T1, True, 2, method)
    node.engine.outbox.clear()
    say(node, T1, False, 5, method)
    assert [type(op) for op in node.settle()] == [SetGroup]
    assert node.routes() == {A: "t2"}
    assert node.engine.sessions[T1].established
    assert not any(isinstance(effect, Reset) for effect in node.engine.outbox)
    told = [e for e in node.engine.outbox if isinstance(e, Log) and e.kind == f"{method}.down"]
    assert [(e.subject, e.message) for e in told] == [(T1, "nothing heard for 150 ms")]
    assert told[0].data == {"detection_ms": 150.0}, "how long packets were lost"
    assert "is down: nothing heard" in node.engine.tunnels[T1].reason


def test_the_last_tunnel_keeps_its_routes_for_a_moment() -> None:
    """A stall of the machine fails BFD of both tunnels at once: that rewrites no table."""
    node = both_up()
    say(node, T1, False, 5)
    say(node, T2, False, 5.001)
    assert (state(node, T1), state(node, T2)) == (TunnelState.DOWN, TunnelState.STALE)
    assert [type(op) for op in node.settle()] == [SetGroup]
    assert node.routes() == {A: "t2"}
    say(node, T2, True, 5.2)
    assert state(node, T2) is TunnelState.LIVE
    say(node, T1, True, 5.2)
    assert node.settle() == []
    assert node.routes() == {A: "t2"}


def test_the_last_tunnel_goes_when_it_stays_silent_or_more_than_bfd_says_so() -> None:
    node = both_up()
    say(node, T1, False, 5)
    say(node, T2, False, 6)
    assert node.engine.deadline() == pytest.approx(6 + LAST_ONE_STAYS)
    node.engine.tick(6 + LAST_ONE_STAYS)
    node.settle()
    assert (state(node, T2), node.routes()) == (TunnelState.DOWN, {})
    node = both_up()
    say(node, T1, False, 5)
    say(node, T2, False, 5)
    node.engine.handle(LinkChanged("t2", 12, False), 5.5)
    assert state(node, T2) is TunnelState.DOWN


def test_what_says_nothing_is_not_in_force() -> None:
    node = both_up()
    say(node, T1, None, 5)  # the peer switched it off (AdminDown, RFC 5882 3.2)
    assert (state(node), node.routes()) == (TunnelState.LIVE, {A: "t1"})
    say(node, T1, False, 6, "probe")
    say(node, T1, None, 7, "probe")
    assert state(node) is TunnelState.WARMING


def test_a_method_that_is_not_configured_is_ignored() -> None:
    node = Node(engine())
    up(node.engine, T1, 1, A)
    say(node, T1, False, 2)
    assert state(node) is TunnelState.LIVE


def test_traffic_returns_after_the_hold_down_that_begins_with_the_last_that_is_good() -> None:
    node = both_up()
    say(node, T1, False, 5)
    down(node.engine, T1, 20)
    say(node, T1, True, 40)
    assert state(node) is TunnelState.DOWN
    up(node.engine, T1, 50, A)
    say(node, T1, True, 51, "probe")
    assert state(node) is TunnelState.WARMING
    node.engine.tick(54.9)
    assert state(node) is TunnelState.WARMING
    node.engine.tick(55)
    node.settle()
    assert node.routes() == {A: "t1"}

    say(node, T1, False, 100, "probe")
    say(node, T1, True, 103, "probe")  # the session never went
    assert node.engine.deadline() == 108
    node.engine.tick(108)
    assert state(node) is TunnelState.LIVE


def test_bfd_that_only_the_session_contradicts_is_not_believed_after_the_hold_time() -> None:
    node = both_up()
    say(node, T1, False, 5)
    ends = 5 + 30 + MARGIN
    assert node.engine.deadline() == ends
    node.engine.tick(ends)
    assert state(node) is TunnelState.WARMING
    assert [s for s, text in logged(node, "bfd.down") if "proves otherwise" in text] == [T1]
    node.engine.tick(ends + 5)
    assert state(node) is TunnelState.LIVE
    # It says the same again, as after the guard's worker ended: that is no news.
    say(node, T1, False, ends + 6)
    assert state(node) is TunnelState.LIVE
    say(node, T1, True, ends + 7)
    say(node, T1, False, ends + 8)
    assert state(node) is TunnelState.DOWN


def test_a_session_that_is_established_anew_contradicts_too() -> None:
    node = both_up()
    say(node, T1, False, 5)
    down(node.engine, T1, 6)
    up(node.engine, T1, 8, A)
    assert state(node) is TunnelState.WARMING
    assert [s for s, text in logged(node, "bfd.down") if "proves otherwise" in text] == [T1]


def test_a_peer_that_restarts_gracefully_may_take_bfd_with_it() -> None:
    """RFC 5882 4.3.2.1: BFD that shares its fate says nothing of its forwarding; the probe does."""
    node = Node(engine(**WATCHED))
    up(
        node.engine,
        T1,
        1,
        A,
        graceful_restart_time=120,
        graceful_restart_families=(negotiated().families[0],),
    )
    down(node.engine, T1, 5, graceful=True)
    say(node, T1, False, 5)
    assert state(node) is TunnelState.STALE
    say(node, T1, False, 6, "probe")
    assert state(node) is TunnelState.DOWN


@pytest.mark.parametrize(
    ("told_at", "expected"),
    [(99.9, TunnelState.DOWN), (100 - 30 - MARGIN, TunnelState.LIVE)],
)
def test_a_restarted_daemon_hears_of_an_old_failure(told_at: float, expected: TunnelState) -> None:
    """One that the session outlived is none; a fresh one counts, and nothing is taken away before."""
    for told_first in (True, False):
        node = Node(engine(now=100.0, **WATCHED))
        if told_first:
            say(node, T1, False, 100, at=told_at)
        node.engine.handle(SessionResync(T1, negotiated()), 100)
        if not told_first:
            assert state(node) is TunnelState.LIVE
            say(node, T1, False, 100, at=told_at)
        node.engine.tick(100 + LAST_ONE_STAYS)
        assert state(node) is expected
        assert len(node.engine.tunnels[T1].failures) == (not told_first and expected is TunnelState.DOWN)


def test_static_routes_without_a_session_are_guarded_too() -> None:
    made = intent(connection={"enable_bgp": False}, **WATCHED)
    node = Node(engine())
    node.engine.reconfigure(made, 1)
    say(node, T1, False, 5)
    assert state(node) is TunnelState.DOWN
    say(node, T1, True, 1000)
    assert state(node) is TunnelState.WARMING


def test_settings_that_no_longer_ask_for_it_forget_what_it_said() -> None:
    node = both_up()
    say(node, T1, False, 5)
    node.engine.reconfigure(intent(), 6)
    assert state(node) is TunnelState.LIVE


def test_a_view_says_how_long_the_hold_down_takes() -> None:
    node = both_up()
    say(node, T1, False, 5)
    say(node, T1, True, 6)

    def unasked(tunnel: str, interface: str) -> NoReturn:
        raise AssertionError(f"{tunnel} over {interface} is external")

    view = tunnel_view(node.engine, node.engine.tunnels[T1], Beside(8.2, 0, unasked, GuardSeen(running=True)))
    assert (view.state, view.state_reason) == (
        "warming",
        "waits for the failback hold-down of 5 s, 3 s to go",
    )
    assert (view.hold_down, view.flapping) == (5, False)


def seen(node: Node, guard: GuardSeen | None = None, tunnel: SessionId = T1) -> list[tuple[object, ...]]:
    views = detections(node.engine, node.engine.tunnels[tunnel], guard or GuardSeen(running=True))
    return [(v.method, v.in_force, v.worst_case_ms, v.state) for v in views]


LINK = ("link", True, 1000, "up")


def test_the_fastest_detection_in_force_comes_first() -> None:
    node = both_up()
    hold_time = ("hold_time", True, 30000, "up")
    assert seen(node) == [("bfd", True, 150, "up"), hold_time, ("probe", False, None, "waiting"), LINK]
    say(node, T1, None, 2)
    say(node, T1, True, 2, "probe")
    assert seen(node) == [("probe", True, 150, "up"), hold_time, ("bfd", False, None, "waiting"), LINK]
    say(node, T1, False, 3)
    assert seen(node)[1] == ("bfd", True, 900, "down")  # as it is configured: 3 x 300 ms
    node.engine.tick(3 + 30 + MARGIN)
    assert seen(node)[2] == ("bfd", False, None, "waiting")
    down(node.engine, T1, 40)
    assert ("hold_time", False, None, "down") in seen(node)


def test_without_the_guard_only_what_others_do_is_in_force() -> None:
    node = both_up()
    assert seen(node, GuardSeen()) == [
        ("hold_time", True, 30000, "up"),
        ("bfd", False, None, "waiting"),
        ("probe", False, None, "waiting"),
        LINK,
    ]


def test_dead_peer_detection_and_health_checks_are_shown() -> None:
    made = made_intent(with_bgp=False, tunnels=(Tunnel(customer_gateway="c1", dpd=DpdSettings(timeout=9)),))
    check = HealthCheck(source=IPv4Address("10.0.0.1"), destination=IPv4Address("192.168.0.1"))
    connection = made.vpn_connections[0].model_copy(update={"health_check": check})
    node = made_node(Engine(made.model_copy(update={"vpn_connections": (connection,)}), 0))
    assert seen(node)[:2] == [("dpd", False, None, "down"), ("health_check", False, None, "waiting")]
    node.engine.handle(IpsecChanged(T1, True, "established"), 1)
    node.engine.handle(HealthChanged(T1, True, "answered"), 1)
    assert seen(node) == [("dpd", True, 9000, "up"), ("health_check", True, 12000, "up"), LINK]


def test_bfd_is_shown_as_it_is() -> None:
    status = BfdStatus(T1, "AdminDown", "Up", "none", "path down", 1, 2, 50, 60, 150, 9, 8, 7, "TTL", 6, 5)
    view = bfd_view(status, 1000)
    assert view is not None
    assert (view.state, view.remote_state, view.since, view.flaps) == ("admin_down", "up", 1006, 5)
    assert (view.detection_ms, view.sent, view.received, view.rejected) == (150, 9, 8, 7)


# Damping


@pytest.mark.parametrize(
    ("configured", "maximum", "failures", "now", "seconds"),
    [
        (5, 300, [], 0, 5),
        (5, 300, [1], 1, 5),
        (5, 300, [1, 2], 2, 5),
        (5, 300, [1, 2, 3], 3, 10),
        (5, 300, [1, 2, 3, 4], 4, 20),
        (5, 300, range(100), 100, 300),
        (5, 300, range(5000), 5000, 300),
        # It is trusted again, failure by failure.
        (5, 300, [1, 2, 3, 4], 601, 10),
        (5, 300, [1, 2, 3, 4], 604, 5),
        # Doubling needs something to begin with.
        (0, 300, [1, 2, 3], 3, 2),
        # No damping.
        (5, 5, range(9), 9, 5),
        (5, 0, range(9), 9, 5),
    ],
)
def test_hold_down(
    configured: float, maximum: float, failures: list[float], now: float, seconds: float
) -> None:
    assert damping.hold_down(configured, maximum, failures, now) == seconds


def flap(node: Node, times: int, now: float) -> float:
    """Fails that often, each time when it is live again; returns the time of the last return."""
    for _ in range(times):
        now += 1
        say(node, T1, False, now)
        now += 1
        say(node, T1, True, now)
        node.engine.tick(now + node.engine.tunnels[T1].hold_down(now))
        now += node.engine.tunnels[T1].hold_down(now)
    return now


def test_a_tunnel_that_keeps_failing_is_held_down_for_longer_and_longer() -> None:
    node = both_up()
    now = flap(node, 2, 10)
    assert logged(node, "tunnel.flapping") == []
    say(node, T1, False, now)
    assert logged(node, "tunnel.flapping") == [
        (T1, "it failed 3 times within 10 minutes: its hold-down is 10 s now")
    ]
    say(node, T1, True, now)
    assert node.engine.tunnels[T1].reason == (
        "waits for the failback hold-down of 10 s, as it failed 3 times lately"
    )
    node.engine.tick(now + 9.9)
    assert state(node) is TunnelState.WARMING
    # An operator does not have to wait.
    node.settle()
    assert node.routes() == {A: "t2"}
    node.engine.handle(OperatorSwitch("conn1", SwitchMode.ACTIVE), now + 9.9)
    node.settle()
    assert node.routes() == {A: "t1"}


def test_damping_keeps_no_tunnel_down_that_is_the_only_one() -> None:
    node = both_up()
    now = flap(node, 6, 10)
    say(node, T1, False, now)
    say(node, T2, False, now)
    say(node, T1, True, now + 1)
    assert state(node) is TunnelState.LIVE


def test_only_failures_of_a_live_tunnel_count() -> None:
    node = both_up()
    for now in range(10, 20, 2):
        say(node, T1, False, now)
        say(node, T1, True, now + 1)  # it fails anew during the hold-down
    assert len(node.engine.tunnels[T1].failures) == 1


def test_flaps_of_the_link_count_as_well() -> None:
    node = both_up(failback_hold_down=0.0)
    for now in range(10, 16, 2):
        node.engine.handle(LinkChanged("t1", None, False), now)
        node.engine.handle(LinkChanged("t1", 2, True), now + 1)
    assert node.engine.tunnels[T1].hold_down(15) == 2
    assert [e.subject for e in node.engine.outbox if isinstance(e, Log) and e.kind == "tunnel.flapping"]


@pytest.mark.parametrize("first", [T1, T2])
def test_both_dead_and_back_in_either_order(first: SessionId) -> None:
    second = T2 if first == T1 else T1
    node = both_up()
    for tunnel in (T1, T2):
        say(node, tunnel, False, 5)
        down(node.engine, tunnel, 30)
    node.settle()
    assert node.routes() == {}
    up(node.engine, first, 40, A)
    say(node, first, True, 41)
    node.settle()
    assert node.routes() == {A: "t1" if first == T1 else "t2"}
    up(node.engine, second, 50, A)
    say(node, second, True, 51)
    node.engine.tick(56)
    node.settle()
    assert node.routes() == {A: "t1"}
    assert (state(node, T1), state(node, T2)) == (TunnelState.LIVE, TunnelState.LIVE)
