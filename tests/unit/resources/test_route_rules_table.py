"""The same for routing policies, static and custom routes, single tunnels, interesting traffic."""

from __future__ import annotations

import pytest

from bgpsvc.resources import load
from tests.unit.resources.base import ROUTES, line_of, replaced
from tests.unit.resources.test_rules_table import only_problem

VPC = "vpcs[0]"
CONN2 = "vpn_connections[1]"
LEGACY = "vpn_connections[2]"
RULE = "routing_policies[0].rules[0]"
MATCH = f"{RULE}.match"
PREFIX = f"{MATCH}.prefixes[0]"
STATIC = "destination_routes[0]"
STATIC2 = "destination_routes[1]"
POLICY = "policy_routes[0]"
CUSTOM = "vpc_routes[0]"
HEALTH = f"{LEGACY}.health_check"
TO_STATIC = "destination: 172.24.0.0/16"
TO_POLICY = "destination: 172.25.0.0/16"
TO_CUSTOM = "destination: 172.26.0.0/16"
FROM = "source: 10.0.1.0/24"
PING = "source: 10.0.0.1"
HOP = "next_hop: 10.0.0.9"
AS_PATH = "as_path: ^65500_"
REJECT = "- action: reject"
LAST_TUNNEL = "interface: t4\n"
REMOTE = "      - 172.20.0.0/16\n      - 172.21.0.0/16\n"

# (old, new, path of the problem, part of its message). The problem is on the line of `old`.
SINGLE_VALUES = [
    # Interfaces of VPCs
    ("- veth9", "- a/b", f"{VPC}.interfaces[1]", "is not an interface name"),
    ("- veth9", "- br1", f"{VPC}.interfaces[1]", "is listed already"),
    ("- veth9", "- t2", f"{VPC}.interfaces[1]", "is used by tunnel 2 of conn1"),
    ("interfaces: [br2]", "interfaces: [br1]", "vpcs[1].interfaces[0]", "is used by VPC vpc1"),
    # Health checks
    (PING, "source: 0.0.0.0", f"{HEALTH}.source", "is not the address of a host"),
    (PING, "source: 127.0.0.1", f"{HEALTH}.source", "is not the address of a host"),
    (PING, "source: 224.0.0.1", f"{HEALTH}.source", "is not the address of a host"),
    (PING, "source: 255.255.255.255", f"{HEALTH}.source", "is not the address of a host"),
    (PING, "source: '2001:db8::1'", f"{HEALTH}.source", "is not an IPv4 address"),
    ("destination: 172.22.0.1", "destination: 10.0.0.1", f"{HEALTH}.destination", "is the source too"),
    ("interval: 3", "interval: 0", f"{HEALTH}.interval", "out of range"),
    ("interval: 3", "interval: 3601", f"{HEALTH}.interval", "out of range"),
    ("retries: 4", "retries: 0", f"{HEALTH}.retries", "out of range"),
    ("retries: 4", "retries: 101", f"{HEALTH}.retries", "out of range"),
    ("on_failure: reserve_route", "on_failure: ignore", f"{HEALTH}.on_failure", "is not known"),
    # Matches
    ("prefix: 172.16.0.0/12", "prefix: 172.16.0.1/12", f"{PREFIX}.prefix", "host bits are set"),
    ("ge: 16", "ge: 11", f"{PREFIX}.ge", "is shorter than the prefix, which has 12"),
    ("ge: 16", "ge: 33", f"{PREFIX}.ge", "more bits than the family has"),
    ("ge: 16", "ge: 129", f"{PREFIX}.ge", "out of range"),
    ("ge: 16", "ge: -1", f"{PREFIX}.ge", "out of range"),
    ("le: 24", "le: 11", f"{PREFIX}.le", "is shorter than the prefix"),
    ("le: 24", "le: 33", f"{PREFIX}.le", "more bits than the family has"),
    ("le: 24", "le: 15", f"{PREFIX}.le", "is less than ge, which is 16"),
    (AS_PATH, "as_path: '('", f"{MATCH}.as_path", "an opening parenthesis without a closing one"),
    (AS_PATH, "as_path: '*'", f"{MATCH}.as_path", "nothing before * that could be repeated"),
    (AS_PATH, "as_path: AS65500", f"{MATCH}.as_path", "has a character that no pattern"),
    (AS_PATH, "as_path: ''", f"{MATCH}.as_path", "is empty"),
    (AS_PATH, f"as_path: '{'1' * 201}'", f"{MATCH}.as_path", "is too long"),
    ("- 65000:100", "- 65536:1", f"{MATCH}.communities[0]", "is not a community"),
    ("- 65000:100", "- '1:2:4294967296'", f"{MATCH}.communities[0]", "is not a community"),
    ("- 65000:100", "- '1:2:3:4'", f"{MATCH}.communities[0]", "is not a community"),
    ("- 65000:100", "- internet", f"{MATCH}.communities[0]", "is not a community"),
    ("- conn1-tunnel2", "- conn1", f"{MATCH}.sessions[0]", "is not the id of a session"),
    ("- conn1-tunnel2", "- conn1-tunnel3", f"{MATCH}.sessions[0]", "is not the id of a session"),
    ("- conn1-tunnel2", "- conn9-tunnel1", f"{MATCH}.sessions[0]", "there is no conn9"),
    ("- conn1-tunnel2", "- legacy1-tunnel2", f"{MATCH}.sessions[0]", "legacy1 has no tunnel 2"),
    # Actions
    (REJECT, "- action: drop", "routing_policies[0].rules[1].action", "is not known"),
    ("local_preference: 300", "local_preference: -1", f"{RULE}.local_preference", "out of range"),
    ("local_preference: 300", "local_preference: 4294967296", f"{RULE}.local_preference", "out of range"),
    ("med: 20", "med: 4294967296", f"{RULE}.med", "out of range"),
    ("prepend: 3", "prepend: 11", f"{RULE}.prepend", "out of range"),
    ("- no-export", "- noexport", f"{RULE}.add_communities[0]", "is not a community"),
    ("default_action: reject", "default_action: deny", "routing_policies[0].default_action", "is not known"),
    # Destination-based routes
    (TO_STATIC, "destination: 0.0.0.0/0", f"{STATIC}.destination", "is the default route"),
    (TO_STATIC, "destination: ::/0", f"{STATIC}.destination", "is the default route"),
    (TO_STATIC, "destination: 100.64.0.0/10", f"{STATIC}.destination", "100.64.0.0/10"),
    (TO_STATIC, "destination: 100.64.7.0/24", f"{STATIC}.destination", "is inside 100.64.0.0/10"),
    (TO_STATIC, "destination: 100.0.0.0/8", f"{STATIC}.destination", "overlaps 100.64.0.0/10"),
    (TO_STATIC, "destination: 169.254.10.0/30", f"{STATIC}.destination", "is inside 169.254.0.0/16"),
    (TO_STATIC, "destination: 172.24.0.1/16", f"{STATIC}.destination", "host bits are set"),
    (TO_STATIC, "destination: 10.0.0.0/16", f"{STATIC}.destination", "is the network 10.0.0.0/16 of"),
    (TO_STATIC, "destination: 10.0.9.0/24", f"{STATIC}.destination", "is inside the network 10.0.0.0/16"),
    (TO_STATIC, "destination: 2001:db8:1:9::/64", f"{STATIC}.destination", "is inside the network 2001:db8"),
    # Policy-based routes
    (FROM, "source: 10.0.1.1/24", f"{POLICY}.source", "host bits are set"),
    (TO_POLICY, "destination: 2001:db8:25::/48", f"{POLICY}.destination", "is IPv6, and the source is IPv4"),
    (TO_POLICY, "destination: 0.0.0.0/0", f"{POLICY}.destination", "is the default route"),
    (TO_POLICY, "destination: 10.0.0.0/16", f"{POLICY}.destination", "is the network 10.0.0.0/16 of"),
    ("priority: 5", "priority: 0", f"{POLICY}.priority", "out of range"),
    ("priority: 5", "priority: 101", f"{POLICY}.priority", "out of range"),
    ("name: prefer1", "name: conn2-auto-1", f"{POLICY}.name", "is kept for the routes"),
    # Custom routes
    (TO_CUSTOM, "destination: 0.0.0.0/0", f"{CUSTOM}.destination", "is the default route"),
    (HOP, "next_hop: 2001:db8::9", f"{CUSTOM}.next_hop", "is IPv6, and the destination is IPv4"),
    (HOP, "next_hop: 0.0.0.0", f"{CUSTOM}.next_hop", "is not the address of a host"),
    (HOP, "next_hop: 239.0.0.1", f"{CUSTOM}.next_hop", "is not the address of a host"),
    (HOP, "next_hop: gateway", f"{CUSTOM}.next_hop", "is not an IP address"),
    ("blackhole: true", "blackhole: 1", "vpc_routes[1].blackhole", "is neither true nor false"),
    # References
    ("import_policy: policy1", "import_policy: policy9", f"{LEGACY}.import_policy", "among routing_policies"),
    (
        "auto_propagate: true",
        "export_policy: policy9",
        "vpn_gateways[0].export_policy",
        "is not among routing_policies",
    ),
    # Interesting traffic
    ("- 172.20.0.0/16", "- 0.0.0.0/0", f"{CONN2}.remote_cidrs[0]", "is the default route"),
    ("- 172.20.0.0/16", "- 192.168.8.0/24", f"{CONN2}.remote_cidrs[0]", "is inside the network 192.168.0.0"),
    ("- 172.20.0.0/16", "- 2001:db8::/48", f"{CONN2}.remote_cidrs[0]", "local_cidrs has no IPv6 network"),
]

# (old, new, path of the problem, part of its message, text whose line has the problem)
SEVERAL_VALUES = [
    (
        LAST_TUNNEL,
        f"{LAST_TUNNEL}    health_check: {{source: 192.168.0.1, destination: 172.20.0.1}}\n",
        f"{CONN2}.health_check",
        "a connection of two tunnels is checked automatically",
        "health_check: {",
    ),
    (
        REJECT,
        f"{REJECT}\n        med: 0",
        "routing_policies[0].rules[1].med",
        "the action is reject",
        "med: 0",
    ),
    (
        REJECT,
        f"{REJECT}\n        local_preference: 0",
        "routing_policies[0].rules[1].local_preference",
        "the action is reject",
        "local_preference: 0",
    ),
    (
        REJECT,
        f"{REJECT}\n        prepend: 1",
        "routing_policies[0].rules[1].prepend",
        "the action is reject",
        "prepend: 1",
    ),
    (
        REJECT,
        f"{REJECT}\n        remove_communities: [no-peer]",
        "routing_policies[0].rules[1].remove_communities",
        "the action is reject",
        "[no-peer]",
    ),
    (
        "destination_routes:\n",
        "  - name: policy1 #\ndestination_routes:\n",
        "routing_policies[1].name",
        "of routing_policies already",
        "policy1 #",
    ),
    ("name: route2", "name: route1 #", f"{STATIC2}.name", "of destination_routes already", "route1 #"),
    ("name: prefer2", "name: prefer1 #", "policy_routes[1].name", "of policy_routes already", "prefer1 #"),
    ("name: custom2", "name: custom1 #", "vpc_routes[1].name", "of vpc_routes already", "custom1 #"),
    (
        "name: route1\n    vpn_gateway: gw1",
        "name: route1\n    vpn_gateway: gw9",
        f"{STATIC}.vpn_gateway",
        "is not among vpn_gateways",
        "gw9",
    ),
    (
        f"{TO_STATIC}\n    vpn_connection: conn1",
        f"{TO_STATIC}\n    vpn_connection: conn9",
        f"{STATIC}.vpn_connection",
        "is not among vpn_connections",
        "conn9",
    ),
    (
        f"{TO_STATIC}\n    vpn_connection: conn1",
        f"{TO_STATIC}\n    vpn_connection: conn2 #",
        f"{STATIC}.vpn_connection",
        "belongs to VPN gateway gw2, the route to gw1",
        "conn2 #",
    ),
    (
        "vpn_connection: legacy1",
        "vpn_connection: conn2 #",
        f"{POLICY}.vpn_connection",
        "belongs to VPN gateway gw2, the route to gw1",
        "conn2 #",
    ),
    (
        "name: custom1\n    vpc: vpc1",
        "name: custom1\n    vpc: vpc9",
        f"{CUSTOM}.vpc",
        "is not among vpcs",
        "vpc9",
    ),
    (
        "policy_routes:\n",
        "  - {name: again, vpn_gateway: gw1, destination: 172.24.0.0/16, vpn_connection: legacy1}\n"
        "policy_routes:\n",
        "destination_routes[2].destination",
        "is the destination of route route1 of gw1 already",
        "name: again",
    ),
    (
        "name: custom2\n    vpc: vpc2",
        "name: custom2\n    vpc: vpc1",
        "vpc_routes[1].destination",
        "is the destination of route custom1 of vpc1 already",
        "destination: 172.26.0.0/16\n    blackhole",
    ),
    (
        "vpc_routes:\n",
        "  - {name: again, vpn_gateway: gw1, source: 10.0.1.0/24, destination: 172.25.0.0/16, "
        "vpn_connection: conn1, priority: 5}\nvpc_routes:\n",
        "policy_routes[2].destination",
        "from 10.0.1.0/24 with priority 5 is policy-based route prefer1 already",
        "name: again",
    ),
    (
        "source: 192.168.4.0/24\n    destination: 172.25.0.0/16\n    vpn_connection: conn2\n    priority: 5",
        "source: 192.168.0.0/24\n    destination: 172.21.0.0/16\n    vpn_connection: conn2",
        "policy_routes[1].destination",
        "with priority 10 is interesting traffic of connection conn2 already",
        "172.21.0.0/16\n    vpn_connection",
    ),
    (
        "  - name: legacy1\n",
        "  - {name: conn3, vpn_gateway: gw2, routing_mode: interesting_traffic, "
        "local_cidrs: [192.168.0.0/24], remote_cidrs: [172.20.0.0/16], "
        "tunnels: [{customer_gateway: customer3, interface: t7}]}\n  - name: legacy1\n",
        "vpn_connections[2].remote_cidrs",
        "192.168.0.0/24 to 172.20.0.0/16 is interesting traffic of connection conn2 already",
        "name: conn3",
    ),
    (HOP, f"{HOP}\n    blackhole: true", f"{CUSTOM}.blackhole", "next_hop is given too", "blackhole: true"),
    (
        HOP,
        "interface: br1\n    blackhole: true #",
        f"{CUSTOM}.blackhole",
        "interface is given too",
        "blackhole: true #",
    ),
    (f"    {HOP}\n", "", f"{CUSTOM}.next_hop", "nothing else says where", "name: custom1"),
    (
        f"{TO_CUSTOM}\n    {HOP}",
        "destination: 2001:db8:26::/48\n    next_hop: fe80::1",
        f"{CUSTOM}.next_hop",
        "is link-local, and no interface is given",
        "fe80::1",
    ),
    (
        LAST_TUNNEL,
        f"{LAST_TUNNEL}        ike: {{version: ikev1}}\n",
        f"{CONN2}.tunnels[1].ike.version",
        "several CIDR pairs need IKEv2",
        "ikev1}",
    ),
]


def test_the_base_is_valid() -> None:
    intent = load(ROUTES, "gw.yaml").intent
    assert all(getattr(intent, key) for key in type(intent).model_fields)


@pytest.mark.parametrize(("old", "new", "path", "message"), SINGLE_VALUES)
def test_single_value(old: str, new: str, path: str, message: str) -> None:
    found_path, line, found_message = only_problem(replaced(old, new, ROUTES))
    assert (found_path, line) == (path, line_of(ROUTES, old))
    assert message in found_message


@pytest.mark.parametrize(("old", "new", "path", "message", "where"), SEVERAL_VALUES)
def test_several_values(old: str, new: str, path: str, message: str, where: str) -> None:
    text = replaced(old, new, ROUTES)
    found_path, line, found_message = only_problem(text)
    assert (found_path, line) == (path, line_of(text, where))
    assert message in found_message


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    import_policy: policy1\n", ""),
        ("auto_propagate: true", "import_policy: policy1\n    export_policy: policy1"),
        ("ge: 16", "ge: 12"),
        ("ge: 16", "ge: 24"),
        ("              le: 24\n", "              le: 32\n"),
        ("              ge: 16\n", ""),
        ("              le: 24\n", ""),
        ("prefix: 2001:db8:8::/48", "prefix: 2001:db8:8::/48\n              ge: 128"),
        ("prefix: 172.16.0.0/12\n              ge: 16", "prefix: 0.0.0.0/0\n              ge: 0"),
        (AS_PATH, f"as_path: '{'1' * 200}'"),
        ("- 65000:100", "- 65535:65535"),
        ("- 65000:100", "- '4294967295:0:4294967295'"),
        ("- conn1-tunnel2", "- legacy1-tunnel1"),
        ("local_preference: 300", "local_preference: 4294967295"),
        ("med: 20", "med: 0"),
        ("prepend: 3", "prepend: 10"),
        (REJECT, f"{REJECT}\n        prepend: 0\n        add_communities: []"),
        ("interval: 3\n      retries: 4", "interval: 3600\n      retries: 100"),
        ("on_failure: reserve_route", "on_failure: revoke_route"),
        (TO_STATIC, "destination: 10.0.0.0/8"),  # contains the VPC; its own networks are connected
        (TO_STATIC, "destination: 192.168.0.0/16"),  # the network of another VPC
        (TO_STATIC, "destination: 100.128.0.0/9"),
        (FROM, "source: 0.0.0.0/0"),
        ("priority: 5", "priority: 1"),
        ("priority: 5", "priority: 100"),
        ("name: prefer1", "name: auto-1"),
        ("name: prefer1", "name: conn2-auto-1a"),
        (HOP, f"{HOP}\n    interface: br1"),
        (HOP, "interface: br1"),
        (HOP, "blackhole: true"),
        (TO_CUSTOM, "destination: 10.0.5.0/24"),  # a part of the VPC that is not connected here
        (
            f"{TO_CUSTOM}\n    {HOP}",
            "destination: 2001:db8:26::/48\n    next_hop: fe80::1\n    interface: br1",
        ),
        ("    interfaces: [br2]\n", ""),
        (REMOTE, "      - 172.20.0.0/16\n"),
        (
            f"      - 192.168.0.0/24\n    remote_cidrs:\n{REMOTE}",
            "      - 192.168.0.0/24\n      - fd00:2::/48\n"
            "    remote_cidrs:\n      - 172.20.0.0/16\n      - fd00:3::/48\n",
        ),
        (
            f"{REMOTE}    tunnels:\n      - customer_gateway: customer3\n",
            "      - 172.20.0.0/16\n    tunnels:\n      - ike: {version: ikev1}\n"
            "        customer_gateway: customer3\n",
        ),
        ("    failback_hold_down: 2.5\n", "    effect_immediately: false\n"),
    ],
)
def test_at_the_edge_and_allowed(old: str, new: str) -> None:
    load(replaced(old, new, ROUTES), "gw.yaml")
