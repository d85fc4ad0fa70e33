"""A session with a table is removed in one small step, and its paths are cleared out piece by piece."""

from __future__ import annotations

from itertools import pairwise

from bgpsvc.bulk import LARGE
from bgpsvc.events import Announced, SessionUp
from bgpsvc.explaining import explain
from bgpsvc.jobs import PIECE
from bgpsvc.model import Prefix, format_prefix, pack_prefix
from tests.unit.core.harness import Node
from tests.unit.support import T1, T2, engine, intent, negotiated, path, run, up

TABLE_SIZE = 3 * PIECE + 1


def table(count: int = TABLE_SIZE) -> tuple[Prefix, ...]:
    return tuple(pack_prefix(bytes((20, n >> 8, n & 255, 0)), 24) for n in range(count))


def full_node(*sessions: str) -> Node:
    node = Node(engine(max_prefixes=LARGE))
    for session in (T1, T2):
        up(node.engine, session, 1.0)
        if session in sessions:
            node.engine.handle(Announced(session, path(session), table()), 1.0)
    node.engine.tick(100.0)
    node.settle()
    assert len(node.routes()) == TABLE_SIZE
    return node


def test_a_removed_session_leaves_piece_by_piece_and_is_gone_at_once() -> None:
    node = full_node(T1, T2)
    e = node.engine
    rib = e.gateways["gw1"].rib
    e.reconfigure(intent().model_copy(update={"vpn_connections": ()}), 101.0)
    prefix = table()[-1]
    assert rib.get(prefix) is None, "no path is left"
    assert explain(e, "gw1", format_prefix(prefix)).decision == ()
    assert e.gateways["gw1"].desired(prefix) == (None, None)
    left = [len(rib.routes)]
    while e.work():
        left.append(len(rib.routes))
    assert left[-1] == 0
    assert all(before - after <= PIECE for before, after in pairwise(left))
    node.settle()
    assert node.routes() == {}
    assert rib.every_class() == []


def test_traffic_leaves_a_removed_tunnel_before_its_prefixes_do() -> None:
    node = full_node(T1, T2)
    e = node.engine
    assert set(node.routes().values()) == {"t1"}
    everything = intent(max_prefixes=LARGE)
    customers = tuple(
        c.model_copy(update={"asn": 65009}) if c.name == "c1" else c for c in everything.customer_gateways
    )
    e.reconfigure(everything.model_copy(update={"customer_gateways": customers}), 101.0)
    ids = e.fib.plan_ids()
    e.fib.applied(ids, node.kernel.apply(ids))
    assert set(node.routes().values()) == {"t2"}, "one group, and no route was touched"
    # The new session announces a part before the old one's is cleared out: that part is its own.
    e.handle(SessionUp(T1, negotiated()), 102.0)
    e.handle(Announced(T1, path(T1), table()[:5]), 102.0)
    run(e)
    rib = e.gateways["gw1"].rib
    assert [p for p in table() if T1 in rib.routes[p].paths] == [*table()[:5]]
    # Its class has the hops of the one that is gone by now, and a group of its own.
    assert {e.gateways["gw1"].desired(p)[0] for p in table()} <= e.fib.wanted_groups.keys()
    node.settle()
    assert set(node.routes().values()) == {"t2"}
    assert {*rib.every_class()} == {*rib.classes.values()}
