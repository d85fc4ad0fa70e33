"""A plan in words."""

from __future__ import annotations

from typing import Any

from bgpsvc.cli import plan

EMPTY: dict[str, Any] = {
    part: [] for part in ("resources", "tunnels", "sessions", "kernel", "peers", "warnings")
}
NEW = {"pointer": "/local_asn", "old": None, "new": 65530}
"""Of what is new, the whole document changes: that is not worth listing."""
FULL: dict[str, Any] = {
    "resources": [
        {"action": "create", "kind": "vpn_connections", "name": "conn1", "fields": [NEW]},
        {
            "action": "update",
            "kind": "vpn_gateways",
            "name": "gw1",
            "fields": [
                {"pointer": "/auto_propagate", "old": False, "new": True},
                {"pointer": "/advertise", "old": [], "new": ["20.0.0.0/24"]},
                {"pointer": "/import_policy", "old": "strict", "new": None},
            ],
        },
        {"action": "delete", "kind": "customer_gateways", "name": "cgw9", "fields": []},
    ],
    "tunnels": [{"action": "reset", "subject": "conn1-tunnel1", "detail": "the key", "count": 1}],
    "sessions": [
        {"action": "add", "subject": "conn1-tunnel1", "detail": "169.254.10.2, AS 65500", "count": 1},
        {"action": "reset", "subject": "conn1-tunnel2", "detail": "hold time", "count": 1},
    ],
    "kernel": [{"action": "remove", "subject": "table 201", "detail": "", "count": 3}],
    "peers": [],
    "warnings": ["vpn_connections conn1: des is legacy"],
}


def test_a_plan_without_colour() -> None:
    assert list(plan.lines(FULL, colour=False)) == [
        "+ VPN connection conn1",
        "~ VPN gateway gw1",
        "    auto_propagate: false -> true",
        '    advertise: [] -> ["20.0.0.0/24"]',
        "    import_policy: strict -> (none)",
        "- customer gateway cgw9",
        "Tunnels:",
        "  reset  conn1-tunnel1: the key",
        "BGP sessions:",
        "  add    conn1-tunnel1: 169.254.10.2, AS 65500",
        "  reset  conn1-tunnel2: hold time",
        "Kernel:",
        "  remove  table 201 (3)",
        "warning: vpn_connections conn1: des is legacy",
    ]
    assert plan.summary(FULL) == "1 to create, 1 to update, 1 to delete"
    assert not plan.is_empty(FULL)


def test_colours_are_around_what_happens_only() -> None:
    first, second = list(plan.lines(FULL, colour=True))[:2]
    assert first == "\x1b[32m+ VPN connection conn1\x1b[0m"
    assert second == "\x1b[33m~ VPN gateway gw1\x1b[0m"


def test_a_plan_that_only_warns_changes_nothing() -> None:
    assert plan.is_empty({**EMPTY, "warnings": ["x"]})
    assert list(plan.lines(EMPTY, colour=False)) == []
