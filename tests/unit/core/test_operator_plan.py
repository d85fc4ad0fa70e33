"""What an operator's switch or restart moves, said before and true afterwards."""

from __future__ import annotations

from bgpsvc.effects import Advertise, Log
from bgpsvc.engine import Engine
from bgpsvc.events import Advertisement, OperatorSwitch
from bgpsvc.model import GRACEFUL_SHUTDOWN, SwitchMode
from bgpsvc.operator_plan import restart_plan, switch_plan
from tests.unit.core.harness import Node
from tests.unit.support import T1, T2, down, engine, up

A, B = "192.168.0.0/16", "172.16.0.0/12"


def both_up() -> Node:
    node = Node(engine())
    up(node.engine, T1, 0, A, B)
    up(node.engine, T2, 0, A)
    node.settle()
    node.engine.outbox.clear()
    return node


def announced(engine: Engine) -> dict[str, Advertisement]:
    """How the VPC's CIDR was last announced on each session."""
    said = [effect for effect in engine.outbox if isinstance(effect, Advertise)]
    return {effect.session: next(iter(effect.routes.values())) for effect in said}


def test_a_switch_says_which_tunnel_the_peer_is_asked_to_leave() -> None:
    node = both_up()
    plan = switch_plan(node.engine, "conn1", SwitchMode.STANDBY, same=False)
    assert (plan.from_tunnel, plan.to_tunnel, plan.drained) == (T1, T2, T1)
    assert (plan.changed, plan.note) == (True, f"traffic moves from {T1} to {T2}")
    assert switch_plan(node.engine, "conn1", SwitchMode.AUTO, same=True).drained is None
    assert not announced(node.engine), "a plan changes nothing"


def test_a_tunnel_out_of_use_is_announced_as_the_last_choice_until_it_is_given_back() -> None:
    node = both_up()
    node.engine.handle(OperatorSwitch("conn1", SwitchMode.STANDBY), 5)
    said = announced(node.engine)
    assert said[T1].communities == (GRACEFUL_SHUTDOWN,)
    assert said[T2] == Advertisement(med=200)
    assert (said[T1].med or 0) > 200
    node.engine.outbox.clear()
    down(node.engine, T1, 6)
    up(node.engine, T1, 7, A, B)
    assert announced(node.engine)[T1].communities == (GRACEFUL_SHUTDOWN,), "also on a new session"
    node.engine.outbox.clear()
    node.engine.handle(OperatorSwitch("conn1", SwitchMode.AUTO), 8)
    assert announced(node.engine) == {T1: Advertisement(med=100), T2: Advertisement(med=200)}


def test_the_event_says_who_chose_what_for() -> None:
    node = both_up()
    node.engine.handle(OperatorSwitch("conn1", SwitchMode.STANDBY, "new router", "token 1 (ann)"), 5)
    told = {e.kind: e for e in node.engine.outbox if isinstance(e, Log)}
    event = told["connection.operator_switch"]
    assert event.message == "token 1 (ann) chose standby: new router"
    assert event.data == {"mode": "standby", "reason": "new router", "by": "token 1 (ann)"}
    assert told["connection.switchover"].data["why"] == "operator: new router"


def test_what_a_restart_moves_and_what_it_loses() -> None:
    node = both_up()
    plan = restart_plan(node.engine, T1)
    assert (plan.carrying, plan.to_tunnel, plan.prefixes_moved, plan.prefixes_lost) == (True, T2, 1, 1)
    assert plan.note == f"traffic moves to {T2}, and back when {T1} is live again"
    other = restart_plan(node.engine, T2)
    assert (other.carrying, other.prefixes_moved, other.prefixes_lost) == (False, 0, 0)
    assert other.note == f"{T2} carries no traffic now: nothing moves"


def test_a_restart_of_the_only_live_tunnel_says_that_traffic_stops() -> None:
    node = both_up()
    down(node.engine, T2, 5)
    plan = restart_plan(node.engine, T1)
    assert (plan.to_tunnel, plan.prefixes_moved, plan.prefixes_lost) == (None, 0, 2)
    assert plan.note == f"no other tunnel is usable: traffic stops until {T1} is negotiated anew"


def test_a_restart_beside_a_tunnel_that_is_out_of_use() -> None:
    node = both_up()
    node.engine.handle(OperatorSwitch("conn1", SwitchMode.ACTIVE), 5)
    plan = restart_plan(node.engine, T1)
    assert plan.note == f"traffic moves to {T2}, which is out of use, until {T1} is negotiated anew"
