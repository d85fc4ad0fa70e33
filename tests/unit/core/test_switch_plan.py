"""The plan that the guard follows: what the engine would do, told only when it became different."""

from __future__ import annotations

from ipaddress import IPv4Network
from types import SimpleNamespace

import pytest

from bgpsvc.events import Announced, HealthChanged, LinkChanged, OperatorSwitch, Withdrawn
from bgpsvc.guard.messages import pack, unpack
from bgpsvc.guard.model import Method, Plan, Watched
from bgpsvc.guard.switch import Switch
from bgpsvc.guard.watching import Tunnel as WatchedTunnel
from bgpsvc.guardian import watch_of
from bgpsvc.model import SessionId, SwitchMode
from bgpsvc.resources.models import DestinationRoute
from bgpsvc.switch_plan import SwitchPlans
from tests.unit.core.harness import Node
from tests.unit.core.test_detection import both_up, say
from tests.unit.support import T1, T2, down, intent, path, prefixes, up

A, B = "192.168.0.0/16", "172.16.0.0/12"


def places(plan: Plan | None) -> list[list[tuple[SessionId, bool]]]:
    """Tunnels of each group with whether they are usable."""
    assert plan is not None
    return [[(c.tunnel, c.usable) for c in group.candidates] for group in plan.groups]


def test_the_present_choice_first_then_what_would_be_chosen_then_what_is_dead() -> None:
    node, plans = both_up(), SwitchPlans()
    assert places(plans.changes(node.engine)) == [[(T1, True), (T2, True)]]
    assert plans.changes(node.engine) is None
    down(node.engine, T2, 5)
    assert places(plans.changes(node.engine)) == [[(T1, True), (T2, False)]]
    up(node.engine, T2, 6, A)
    assert places(plans.changes(node.engine)) == [[(T1, True), (T2, True)]]
    node.engine.handle(OperatorSwitch("conn1", SwitchMode.STANDBY), 7)
    assert places(plans.changes(node.engine)) == [[(T2, True), (T1, True)]]
    say(node, T2, False, 8)
    assert places(plans.changes(node.engine)) == [[(T1, True), (T2, False)]]


def test_candidates_are_the_nexthops_of_the_kernel() -> None:
    node, plans = both_up(), SwitchPlans()
    plan = plans.changes(node.engine)
    assert plan is not None
    nexthops = {n.id: n for n in node.kernel.nexthops()}
    (group,) = plan.groups
    assert nexthops[group.group].members == (group.candidates[0].nexthop,)
    assert [nexthops[c.nexthop].ifindex for c in group.candidates] == [2, 3]


def test_a_group_with_nowhere_to_go_has_no_plan_and_one_that_goes_is_forgotten() -> None:
    node, plans = both_up(), SwitchPlans()
    (group,) = (plans.changes(node.engine) or Plan(())).groups
    node.engine.handle(Announced(T1, path(T1), prefixes(B)), 2)
    assert plans.changes(node.engine) is None  # over one tunnel alone
    for tunnel in (T1, T2):
        node.engine.handle(Withdrawn(tunnel, prefixes(A)), 3)
    assert plans.changes(node.engine) == Plan((), (group.group,))
    assert plans.whole == Plan((), whole=True)


def test_more_prefixes_change_no_plan() -> None:
    node, plans = both_up(), SwitchPlans()
    plans.changes(node.engine)
    up(node.engine, T1, 2, *(f"20.{n}.0.0/16" for n in range(50)), A)
    up(node.engine, T2, 2, *(f"20.{n}.0.0/16" for n in range(50)), A)
    changed = plans.changes(node.engine)
    assert changed is None or len(changed.groups) <= 1


def static() -> Node:
    route = DestinationRoute(
        name="r", vpn_gateway="gw1", destination=IPv4Network(B), vpn_connection="conn1", publish=True
    )
    node = both_up()
    node.engine.reconfigure(
        intent(connection={"enable_bgp": False}).model_copy(update={"destination_routes": (route,)}), 1
    )
    return node


def test_static_routes_have_plans_too_and_a_removed_gateway_none() -> None:
    node, plans = static(), SwitchPlans()
    (candidates,) = places(plans.changes(node.engine))
    assert candidates == [(T1, True), (T2, True)]
    node.engine.handle(LinkChanged("t1", None, False), 2)
    assert places(plans.changes(node.engine)) == [[(T2, True), (T1, False)]]
    (group,) = plans.whole.groups
    empty = intent().model_copy(update={"vpn_gateways": (), "vpn_connections": ()})
    node.engine.reconfigure(empty, 3)
    assert plans.changes(node.engine) == Plan((), (group.group,))


def test_the_guard_does_what_the_engine_does() -> None:
    """Whichever tunnel dies: the guard's move and the engine's choice are the same."""
    for dead, other in ((T1, T2), (T2, T1)):
        for mode in SwitchMode:
            node, plans, switch = both_up(), SwitchPlans(), Switch()
            node.engine.handle(OperatorSwitch("conn1", mode), 2)
            node.settle()
            plan = plans.changes(node.engine)
            assert plan is not None
            switch.plan(plan)
            switch.judge(dead, dead=True, alive=False)
            moves = {move.group: move.nexthop for move in switch.moves()}
            before = node.engine.fib.groups.copy()
            say(node, dead, False, 5)
            node.settle()
            moved = {g: members[0] for g, members in node.engine.fib.groups.items() if before[g] != members}
            assert moves == moved
            assert set(node.routes().values()) == {"t1" if other == T1 else "t2"}


def test_what_is_watched_follows_the_configuration_and_the_engines_disbelief() -> None:
    node = both_up()
    watch = watch_of(node.engine)
    assert [one.tunnel for one in watch.tunnels] == [T1, T2]
    assert watch.tunnels[0].bfd is not None
    assert (watch.tunnels[0].bfd.local, watch.tunnels[0].bfd.peer) == ("169.254.10.1", "169.254.10.2")
    before = node.engine.switchboard.disbeliefs
    say(node, T1, False, 5)
    node.engine.tick(1000)
    assert node.engine.switchboard.disbeliefs > before
    watch = watch_of(node.engine)
    assert watch.tunnels[0].disbelieved == (Method.BFD,)
    assert unpack(pack(watch)) == watch


@pytest.mark.parametrize(
    ("disbelieved", "says", "dead"),
    [
        ((), False, True),
        ((Method.BFD,), False, False),
        ((Method.BFD,), True, False),
        ((Method.PROBE,), False, True),
    ],
)
def test_the_guard_moves_nothing_for_a_death_that_is_not_believed(
    disbelieved: tuple[Method, ...], says: bool, dead: bool
) -> None:
    tunnel = WatchedTunnel(Watched(T1, "t1", disbelieved=disbelieved), 0)
    tunnel.link_up = True
    tunnel.bfd = SimpleNamespace(up=says)  # type: ignore[assignment]
    assert (tunnel.dead, tunnel.alive) == (dead, says)


def test_a_route_that_the_health_check_revokes_has_no_place_there() -> None:
    node = both_up()
    check = {"source": "10.0.0.1", "destination": "192.168.0.1"}
    one = intent().vpn_connections[0].tunnels[:1]
    route = DestinationRoute(
        name="r", vpn_gateway="gw1", destination=IPv4Network(B), vpn_connection="conn1", publish=True
    )
    made = intent(connection={"tunnels": one, "health_check": check}).model_copy(
        update={"destination_routes": (route,)}
    )
    node.engine.reconfigure(made, 2)
    (static_class,) = node.engine.gateways["gw1"].statics.classes
    forwarding = node.engine.gateways["gw1"].forwarding
    assert len(forwarding.candidates(static_class)) == 1
    node.engine.handle(HealthChanged(T1, False, "no reply"), 3)
    assert forwarding.candidates(static_class) == ()
