"""For how long each tunnel of a connection carried its traffic."""

from __future__ import annotations

from bgpsvc.events import LinkChanged, OperatorSwitch
from bgpsvc.model import SwitchMode
from tests.unit.core.harness import Node
from tests.unit.support import T1, T2, engine, up


def carried(node: Node, now: float) -> tuple[float, float]:
    switch = node.engine.switchboard.switches["conn1"]
    return switch.carried(T1, now), switch.carried(T2, now)


def test_seconds_are_counted_for_the_tunnel_that_carries() -> None:
    node = Node(engine())
    assert carried(node, 5) == (0, 0)
    up(node.engine, T1, 10, "192.168.0.0/16")
    up(node.engine, T2, 11, "192.168.0.0/16")
    assert carried(node, 30) == (20, 0)
    node.engine.handle(OperatorSwitch("conn1", SwitchMode.STANDBY), 40)
    assert carried(node, 45) == (30, 5)
    node.engine.handle(OperatorSwitch("conn1", SwitchMode.AUTO), 50)
    assert carried(node, 50.5) == (30.5, 10)
    node.engine.handle(LinkChanged("t1", 11, False), 60)
    node.engine.handle(LinkChanged("t2", 12, False), 62)
    assert carried(node, 100) == (40, 12), "no tunnel is live"
    assert carried(node, 61) == (40, 12), "a clock that was read a moment before"
