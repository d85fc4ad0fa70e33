"""The story of one prefix: what it names for each way that a prefix can go."""

from __future__ import annotations

from typing import Any

import pytest

from bgpsvc.events import Announced, ConnectedChanged, OperatorSwitch, PropagationSet
from bgpsvc.explaining import explain
from bgpsvc.fib.ops import METRIC_PRIMARY, OpError, SetRoutes
from bgpsvc.insight import Explanation
from bgpsvc.model import Origin, Reason, SwitchMode, parse_prefix
from bgpsvc.port import InvalidQuery, NotFound
from bgpsvc.resources import Intent
from bgpsvc.resources.models import DestinationRoute, PolicyRoute, Vpc, VpcRoute
from tests.unit.core.answers import snapshot
from tests.unit.core.harness import TABLE, Node
from tests.unit.core.policies import policed, policy, prefixes, rule
from tests.unit.core.test_statics import begin
from tests.unit.support import T1, T2, down, engine, intent, path, run, up

A, C = "192.168.0.0/16", "192.168.7.0/24"


def both_up(wanted: Intent | None = None, *texts: str) -> Node:
    node = begin(wanted or intent())
    for session in (T1, T2):
        up(node.engine, session, 1, *(texts or (A,)))
    node.settle()
    return node


def story(node: Node, asked: str) -> Explanation:
    """The explanation; it must change nothing."""
    before = snapshot(node.engine)
    found = explain(node.engine, "gw1", asked)
    assert snapshot(node.engine) == before
    return found


def changed(**lists: tuple[Any, ...]) -> Intent:
    return intent().model_copy(update=lists)


def static(destination: str, **more: Any) -> Intent:
    fields = {"name": "office", "vpn_gateway": "gw1", "vpn_connection": "conn1", "destination": destination}
    return changed(destination_routes=(DestinationRoute.model_validate(fields | more),))


def by_policy(source: str, destination: str, **more: Any) -> Intent:
    fields = {"name": "office", "vpn_gateway": "gw1", "vpn_connection": "conn1", "source": source}
    return changed(policy_routes=(PolicyRoute.model_validate(fields | {"destination": destination} | more),))


def custom(destination: str, **more: Any) -> Intent:
    fields = {"name": "lan", "vpc": "vpc1", "destination": destination, "next_hop": "10.0.0.9"}
    return changed(vpc_routes=(VpcRoute.model_validate(fields | more),))


def test_the_best_path_and_the_step_at_which_it_won() -> None:
    found = story(both_up(), A)
    assert [p.session for p in found.paths] == [T1, T2]
    assert found.paths[0].received["next_hop"] == "169.254.10.2"
    assert [v.stage for v in found.paths[0].verdicts] == ["built_in", "maximum_prefixes"]
    (step,) = found.decision
    assert (step.number, step.eliminated, step.remaining) == (3, (T2,), (T1,))
    assert step.compared == {T1: "200", T2: "100"}
    assert [(h.session, h.interface, h.tunnel_state, h.chosen) for h in found.hops] == [
        (T1, "t1", "live", True),
        (T2, "t2", "live", False),
    ]
    assert (found.state, found.interface, found.less_specific) == ("installed", "t1", None)
    assert found.kernel == f"in table {TABLE} over nexthop group {found.nexthop_group}, metric 100"
    assert found.summary == (
        f"Packets to {A} leave over conn1-tunnel1 (t1): highest local preference decided (step 3), "
        "200 against 100 of conn1-tunnel2."
    )


@pytest.mark.parametrize(
    ("number", "first", "second", "values"),
    [
        (4, {}, {"asns": (65500, 65501)}, ("1", "2")),
        (5, {}, {"origin": 2}, ("igp", "incomplete")),
        (6, {"med": 5}, {"med": 9}, ("5 (neighbour AS 65500)", "9 (neighbour AS 65500)")),
        (8, {}, {}, ("active", "standby")),
    ],
)
def test_every_step_has_the_number_of_the_documentation(
    number: int, first: dict[str, Any], second: dict[str, Any], values: tuple[str, str]
) -> None:
    node = both_up(intent(connection={"prefer_active_tunnel": False}))
    for session, more in ((T1, first), (T2, second)):
        fields = {**more}
        asns = fields.pop("asns", (65500,))
        if "origin" in fields:
            fields["origin"] = Origin(fields["origin"])
        node.engine.handle(Announced(session, path(session, *asns, **fields), (parse_prefix(A),)), 2)
    run(node.engine)
    last = story(node, A).decision[-1]
    assert (last.number, last.compared) == (number, {T1: values[0], T2: values[1]})
    assert [s.number for s in story(node, A).decision] == list(range(3, number + 1))


def test_a_refused_path_shows_the_network_that_it_lies_in() -> None:
    node = both_up(None, A, "10.0.3.0/24")
    found = story(node, "10.0.3.0/24")
    assert found.paths[0].candidate is None
    (verdict,) = found.paths[0].verdicts
    assert (verdict.stage, verdict.accepted) == ("built_in", False)
    assert verdict.text == "refused: the prefix lies inside the VPC's own CIDRs (10.0.0.0/16)"
    assert "import refused it" in found.summary


def test_the_rule_of_a_policy_and_its_changes_are_named() -> None:
    imports = policy(
        rule("reject", match={"prefixes": prefixes(C)}), rule(local_preference=50, match={"sessions": (T1,)})
    )
    node = both_up(policed(imports), A, C)
    verdict = story(node, A).paths[1].verdicts[1]
    assert (verdict.stage, verdict.policy, verdict.rule) == ("import_policy", "from-dc", 2)
    assert (verdict.accepted, verdict.changes) == (True, ("local_preference 50",))
    refused = story(node, C)
    assert [(v.stage, v.accepted) for v in refused.paths[0].verdicts] == [
        ("built_in", True),
        ("import_policy", False),
    ]
    assert refused.paths[0].verdicts[1].rule == 1
    assert refused.less_specific == A
    assert refused.summary.endswith(f"its packets follow {A} instead.")


def test_a_shed_path_says_the_limit() -> None:
    node = both_up(intent(max_prefixes=1), A, C)
    verdict = story(node, C).paths[0].verdicts[-1]
    assert (verdict.stage, verdict.accepted) == ("maximum_prefixes", False)
    assert verdict.text == "shed: the session is over its maximum of 1 prefixes"


def test_a_dead_tunnel_is_named_where_the_standby_carries() -> None:
    node = both_up()
    down(node.engine, T1, 5)
    node.settle()
    found = story(node, A)
    assert [h.chosen for h in found.hops] == [False, True]
    assert found.hops[0].tunnel_state == "down"
    assert "although conn1-tunnel1 has the better path: the session is not established" in found.summary
    stale = found.paths[0]
    assert stale.candidate is not None
    assert stale.candidate.stale
    assert "stale" in stale.verdicts[-1].text


def test_the_operators_switch_is_named() -> None:
    node = both_up()
    node.engine.handle(OperatorSwitch("conn1", SwitchMode.STANDBY), 3)
    node.settle()
    found = story(node, A)
    assert [h.chosen for h in found.hops] == [False, True]
    assert all("the operator chose the standby tunnel" in hop.tunnel_reason for hop in found.hops)
    assert "the operator chose the standby tunnel" in found.summary


def test_why_a_learned_prefix_is_not_in_the_table() -> None:
    node = both_up()
    node.engine.handle(PropagationSet("gw1", False), 3)
    node.settle()
    found = story(node, A)
    assert (found.state, found.reason) == ("not_installed", Reason.PROPAGATION_OFF)
    assert "automatic propagation of gw1 is off" in found.summary
    node.engine.handle(PropagationSet("gw1", True), 4)
    node.link("t1", up=False)
    node.link("t2", up=False)
    node.settle()
    found = story(node, A)
    assert (found.reason, found.nexthop_group, found.interface) == (Reason.NO_LIVE_TUNNEL, None, None)
    assert "no tunnel that announces it is usable" in found.summary


def test_what_the_kernel_says() -> None:
    node = both_up()
    up(node.engine, T1, 2, A, C)
    assert "on its way to the kernel" in story(node, C).kernel
    table, group = node.engine.gateways["gw1"].table, story(node, C).nexthop_group
    assert group is not None
    op = SetRoutes(TABLE, METRIC_PRIMARY, group, (parse_prefix(C),))
    table.failed[parse_prefix(C), METRIC_PRIMARY] = OpError(op, 22, "Invalid argument", parse_prefix(C))
    found = story(node, C)
    assert (found.state, found.reason) == ("failed", Reason.KERNEL_ERROR)
    assert found.kernel.endswith("the kernel refused it: Invalid argument")
    assert "the kernel refused it: Invalid argument" in found.summary


def test_a_route_of_a_former_life_is_held() -> None:
    node = both_up()
    fresh = node.restarted(engine(), 10)
    fresh.engine.gateways["gw1"].table.held = True
    table = fresh.engine.gateways["gw1"].table
    up(fresh.engine, T2, 11, A)
    table.primary[parse_prefix(A)] = 5
    table.waiting[parse_prefix(A)] = None
    assert story(fresh, A).kernel.startswith("group 5 carries it, held as it was found at the start")


def test_an_address_is_its_longest_match() -> None:
    node = both_up(None, A, C)
    assert story(node, "192.168.7.7").prefix == C
    found = story(node, "192.168.8.8")
    assert (found.prefix, found.asked) == (A, "192.168.8.8")
    assert found.summary.startswith("Packets to 192.168.8.8 leave over conn1-tunnel1 (t1)")
    assert [(s.stage, s.wins) for s in found.lookup][-1] == ("vpc_table", True)


def test_an_address_that_only_refused_paths_cover() -> None:
    assert story(both_up(None, "10.0.3.0/24"), "10.0.3.4").prefix == "10.0.3.0/24"


def test_what_nobody_announces_still_has_a_story() -> None:
    node = both_up()
    found = story(node, C)
    assert (found.paths, found.state, found.less_specific) == ((), "not_installed", A)
    assert found.summary == f"{C} is announced by nobody; its packets follow {A} instead."
    assert found.lookup[-1].text == f"a less specific route of table {TABLE} takes the packets"
    assert story(node, "203.0.113.9").summary == (
        "203.0.113.9/32 is announced by nobody, and nothing else carries its packets."
    )


def test_questions_that_make_no_sense() -> None:
    node = both_up()
    with pytest.raises(NotFound, match="there is no VPN gateway 'gw9'; there is gw1"):
        explain(node.engine, "gw9", A)
    with pytest.raises(InvalidQuery, match="host bits are set"):
        explain(node.engine, "gw1", "192.168.7.7/16")
    with pytest.raises(InvalidQuery, match="'nowhere' is not an IP address"):
        explain(node.engine, "gw1", "nowhere")


# The order of the lookup ---------------------------------------------------------------------------


def winner(found: Explanation) -> tuple[str, str | None]:
    (step,) = [s for s in found.lookup if s.wins]
    return step.stage, step.route


def test_connected_networks_come_first() -> None:
    node = both_up()
    node.engine.handle(ConnectedChanged((parse_prefix("192.168.0.0/15"),)), 2)
    run(node.engine)
    assert winner(story(node, A)) == ("connected_or_system", "connected network 192.168.0.0/15")
    node.engine.handle(ConnectedChanged((parse_prefix(C),)), 3)
    run(node.engine)
    node.settle()
    found = story(node, A)
    assert winner(found) == ("vpc_table", f"learned route {A}")
    assert f"but for packets of connected networks {C}" in found.summary
    assert winner(story(node, "192.168.7.1"))[0] == "connected_or_system"


def test_the_networks_of_other_vpcs_are_unreachable_where_interfaces_keep_them_apart() -> None:
    wanted = intent()
    (mine,) = wanted.vpcs
    other = Vpc.model_validate({"name": "vpc2", "cidrs": [A], "route_table": 202, "interfaces": ["lan2"]})
    apart = wanted.model_copy(update={"vpcs": (mine.model_copy(update={"interfaces": ("lan1",)}), other)})
    found = story(both_up(apart), A)
    assert winner(found) == ("connected_or_system", f"the unreachable route to {A}")
    assert "it is a network of VPC vpc2" in found.summary
    together = wanted.model_copy(update={"vpcs": (mine, other)})
    assert winner(story(both_up(together), A)) == ("vpc_table", f"learned route {A}")


def test_a_policy_based_route_comes_before_destination_based_ones() -> None:
    found = story(both_up(by_policy("10.0.0.0/8", A)), A)
    assert winner(found) == (
        "policy_based",
        f"policy-based route office (priority 10, from 10.0.0.0/8 to {A})",
    )
    assert "before any learned route: packets of the VPC leave over conn1-tunnel1" in found.summary
    assert found.lookup[-1].text.endswith("packets do not get here")


def test_a_policy_based_route_for_some_sources_leaves_the_rest() -> None:
    found = story(both_up(by_policy("10.0.1.0/24", A)), A)
    assert winner(found)[0] == "vpc_table"
    assert found.lookup[1].text.startswith("only packets that fit policy-based route office")


def test_interesting_traffic_is_a_policy_based_route() -> None:
    wanted = intent(
        connection={
            "routing_mode": "interesting_traffic",
            "local_cidrs": ("10.0.0.0/16",),
            "remote_cidrs": (A,),
        }
    )
    assert winner(story(both_up(wanted), A))[0] == "policy_based"


def test_a_destination_based_route_wins_while_its_connection_has_a_tunnel() -> None:
    node = both_up(static("192.0.0.0/8"))
    stage, route = winner(story(node, A))
    assert (stage, route) == ("destination_based", "destination-based route office (192.0.0.0/8)")
    node.link("t1", up=False)
    node.link("t2", up=False)
    node.settle()
    found = story(node, A)
    assert not any(step.wins for step in found.lookup)
    assert found.lookup[2].text.endswith("is passed over, no tunnel of conn1 is usable")


def test_a_destination_based_route_inside_takes_some_packets() -> None:
    found = story(both_up(static(C)), A)
    assert winner(found)[0] == "vpc_table"
    assert found.lookup[2].text == f"only packets to {C} follow destination-based route office ({C})"


def test_published_and_custom_routes_come_before_a_learned_one_of_the_same_prefix() -> None:
    node = both_up(custom(A))
    assert winner(story(node, A)) == ("vpc_table", f"custom route lan ({A})")
    assert "follow custom route lan" in story(node, A).summary
    assert winner(story(both_up(custom("192.0.0.0/8")), A)) == ("vpc_table", f"learned route {A}")
    published = both_up(static(A, publish=True))
    step = story(published, A).lookup[-1]
    assert step.route == f"published destination-based route office ({A})"
    assert step.text == f"it is in table {TABLE}; packets do not get here"


def test_the_vpcs_own_addresses_are_guarded() -> None:
    node = both_up(static("10.0.0.0/8"), "10.0.0.0/8")
    found = story(node, "10.0.5.5")
    assert not any(step.wins for step in found.lookup)
    assert "is not used for 10.0.0.0/16, the VPC's own" in found.lookup[2].text
    assert "10.0.0.0/16 is the VPC's own" in found.lookup[3].text
