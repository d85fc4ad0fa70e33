"""The story of a prefix, as text."""

from __future__ import annotations

from typing import Any

from bgpsvc.cli.explain import story

STORY: dict[str, Any] = {
    "prefix": "192.168.0.0/16",
    "family": "ipv4",
    "gateway": "gw1",
    "vpc": "vpc1",
    "asked": "192.168.10.7",
    "state": "installed",
    "reason": None,
    "summary": "Packets go over conn1-tunnel1, whose local preference is higher.",
    "paths": [
        {
            "session": "conn1-tunnel1",
            "role": "active",
            "received": {"next_hop": "169.254.10.2", "as_path": "65500", "med": None, "communities": []},
            "verdicts": [
                {
                    "stage": "built_in",
                    "policy": None,
                    "rule": None,
                    "accepted": True,
                    "changes": [],
                    "text": "nothing speaks against it",
                },
                {
                    "stage": "import_policy",
                    "policy": "strict",
                    "rule": 2,
                    "accepted": True,
                    "changes": ["local_preference 200"],
                    "text": "accepted by rule 2",
                },
            ],
            "candidate": {},
        },
        {
            "session": "conn1-tunnel2",
            "role": "standby",
            "received": {"next_hop": "169.254.20.2", "as_path": "65500", "med": 0},
            "verdicts": [],
            "candidate": {},
        },
    ],
    "decision": [
        {
            "number": 1,
            "name": "valid next hop",
            "compared": {"conn1-tunnel1": "valid", "conn1-tunnel2": "valid"},
            "eliminated": [],
            "remaining": ["conn1-tunnel1", "conn1-tunnel2"],
        },
        {
            "number": 3,
            "name": "local preference",
            "compared": {"conn1-tunnel1": "200", "conn1-tunnel2": "100"},
            "eliminated": ["conn1-tunnel2"],
            "remaining": ["conn1-tunnel1"],
        },
    ],
    "hops": [
        {
            "session": "conn1-tunnel1",
            "interface": "t1",
            "next_hop": "169.254.10.2",
            "tunnel_state": "live",
            "tunnel_reason": "established",
            "chosen": True,
        },
        {
            "session": "conn1-tunnel2",
            "interface": "t2",
            "next_hop": "169.254.20.2",
            "tunnel_state": "live",
            "tunnel_reason": "established",
            "chosen": False,
        },
    ],
    "nexthop_group": 7,
    "interface": "t1",
    "lookup": [
        {"stage": "connected_or_system", "route": None, "wins": False, "text": "no route"},
        {"stage": "vpc_table", "route": "192.168.0.0/16 over group 7", "wins": True, "text": "learned"},
    ],
    "less_specific": None,
    "kernel": "the group's nexthop is t1",
}


def test_a_route_that_is_used() -> None:
    assert [line.rstrip() for line in story(STORY, colour=False)] == [
        "192.168.0.0/16 (longest match of 192.168.10.7) at VPN gateway gw1, VPC vpc1",
        "  Packets go over conn1-tunnel1, whose local preference is higher.",
        "  State: installed",
        "",
        "Announced by 2 sessions",
        "  conn1-tunnel1 (active)",
        "    received: next hop 169.254.10.2, as path 65500",
        "    built in: accepted: nothing speaks against it",
        "    strict rule 2: accepted by rule 2 (local_preference 200)",
        "  conn1-tunnel2 (standby)",
        "    received: next hop 169.254.20.2, as path 65500, med 0",
        "",
        "Decision (* out at this step)",
        "     STEP              conn1-tunnel1  conn1-tunnel2",
        "  1  valid next hop    valid          valid",
        "  3  local preference  200            100 *          conn1-tunnel1 wins",
        "",
        "Forwarding over t1, nexthop group 7",
        "  Kernel: the group's nexthop is t1",
        "     SESSION        INTERFACE  NEXT HOP      TUNNEL  WHY",
        "  >  conn1-tunnel1  t1         169.254.10.2  live    established",
        "     conn1-tunnel2  t2         169.254.20.2  live    established",
        "",
        "Lookup in the kernel, in this order",
        "    connected and system routes: none",
        "      no route",
        "  > VPC table (BGP, published, custom): 192.168.0.0/16 over group 7",
        "      learned",
    ]


def test_a_route_that_nobody_announces() -> None:
    nobody = {
        **STORY,
        "asked": STORY["prefix"],
        "state": "not_installed",
        "reason": "no_path",
        "paths": [],
        "decision": [],
        "hops": [],
        "nexthop_group": None,
        "interface": None,
        "less_specific": "192.168.0.0/15",
        "kernel": "",
    }
    lines = list(story(nobody, colour=False))
    assert lines[0] == "192.168.0.0/16 at VPN gateway gw1, VPC vpc1"
    assert "  State: not_installed (no_path)" in lines
    assert "Announced by nobody" in lines
    assert not any("Decision" in line for line in lines)
    assert "Forwarding over nothing" in lines
    assert "  Meanwhile packets use 192.168.0.0/15" in lines
