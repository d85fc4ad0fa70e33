"""Why a route that is configured is not in force: in the words of its status."""

from __future__ import annotations

import errno

from bgpsvc.events import HealthChanged
from bgpsvc.fib.ops import OpError, SetGroup, SetNexthop, SetRoutes
from bgpsvc.resources.models import PolicyRoute
from bgpsvc.standing import why_not
from tests.unit.core.test_statics import CHECK, STATIC4, begin, policy, single, static_intent
from tests.unit.support import T1, up


def test_a_route_in_the_kernel_has_nothing_to_say() -> None:
    by: tuple[PolicyRoute, ...] = (policy("by", "10.0.0.0/16", STATIC4),)
    node = begin(single().model_copy(update={"policy_routes": by}))
    assert why_not(node.engine, {}, "destination_routes", "four") is None
    assert why_not(node.engine, {}, "destination_routes", "six") is None
    assert why_not(node.engine, {}, "policy_routes", "by") is None
    assert why_not(node.engine, {}, "vpcs", "vpc1") is None


def test_a_failing_health_check_takes_static_routes_away_under_a_session() -> None:
    node = begin(single(CHECK, bgp=True))
    assert why_not(node.engine, {}, "destination_routes", "four") == (
        "not in the kernel: no tunnel of conn1 is usable"
    )
    up(node.engine, T1, 1, "172.16.0.0/12")
    node.settle()
    assert why_not(node.engine, {}, "destination_routes", "four") is None
    node.engine.handle(HealthChanged(T1, False, "no reply"), 9)
    node.settle()
    assert why_not(node.engine, {}, "destination_routes", "four") == (
        "not in the kernel: no tunnel of conn1 is usable"
    )


def test_what_the_kernel_refuses_is_told() -> None:
    node = begin(static_intent())
    node.engine.reconfigure(single(), 1)
    ops, text = node.engine.fib.plan(), "Nexthop has invalid gateway"
    errors = [OpError(op, errno.EINVAL, text) for op in ops if isinstance(op, SetNexthop | SetGroup)]
    for op in ops:
        if isinstance(op, SetRoutes):
            errors += [OpError(op, errno.EINVAL, text, prefix) for prefix in op.prefixes]
    assert isinstance(errors[0].op, SetNexthop)
    node.engine.fib.applied(ops, errors)
    assert why_not(node.engine, {}, "destination_routes", "four") == (
        "not in the kernel, which refused it over t1: Nexthop has invalid gateway"
    )
    node.engine.fib.retry()
    assert why_not(node.engine, {}, "destination_routes", "four") == "not in the kernel: it is on its way"
    node.settle()
    assert why_not(node.engine, {}, "destination_routes", "four") is None
