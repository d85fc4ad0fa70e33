"""Examples of what is written: the documents of the reference scenario as gateway 1 has them, and answers.

Tests load them together as one configuration, so that they are accepted as they stand.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

IKE: Json = {
    "version": "ikev2",
    "mode": "main",
    "encryption": "aes256",
    "authentication": "sha256",
    "pfs": "group14",
    "lifetime": 86400,
    "local_id": "198.51.100.1",
    "remote_id": "198.51.100.2",
}
IPSEC: Json = {"encryption": "aes256", "authentication": "sha256", "pfs": "group14", "lifetime": 86400}
DPD: Json = {"enabled": True, "timeout": 30}
IPV6: Json = {"tunnel_cidr": "fd00:10::/126", "local_ip": "fd00:10::1"}
BGP: Json = {
    "tunnel_cidr": "169.254.10.0/30",
    "local_ip": "169.254.10.1",
    "hold_time": 30,
    "ttl_security": 1,
    "graceful_restart": 120,
    "max_prefixes": 1000000,
    "max_prefixes_action": "shed",
    "passive": False,
    "bfd": {"interval_ms": 50, "multiplier": 3, "multihop": False, "key_id": 1, "key": "of-both-sides"},
    "probe": {"interval_ms": 1000, "multiplier": 3},
    "ipv6": IPV6,
}
TUNNEL: Json = {
    "customer_gateway": "cgw1",
    "mtu": 1400,
    "bgp": BGP,
    "ike": IKE,
    "ipsec": IPSEC,
    "dpd": DPD,
    "nat_traversal": True,
}
TUNNEL_2: Json = {
    "customer_gateway": "cgw2",
    "bgp": {"tunnel_cidr": "169.254.20.0/30", "local_ip": "169.254.20.1"},
}
HEALTH_CHECK: Json = {
    "source": "10.0.0.10",
    "destination": "192.168.0.10",
    "interval": 3,
    "retries": 3,
    "on_failure": "revoke_route",
}
CONNECTION: Json = {
    "name": "conn1",
    "vpn_gateway": "gw1",
    "enable_bgp": True,
    "local_asn": 65530,
    "prefer_active_tunnel": True,
    "failback_hold_down": 5.0,
    "failback_hold_down_max": 300.0,
    "import_policy": "from-peers",
    "tunnels": [TUNNEL, TUNNEL_2],
}
LEGACY_CONNECTION: Json = {
    "name": "conn2",
    "vpn_gateway": "gw1",
    "health_check": HEALTH_CHECK,
    "tunnels": [{"customer_gateway": "cgw1", "interface": "t3"}],
}
PREFIX_MATCH: Json = {"prefix": "192.168.0.0/16", "le": 24}
POLICY_MATCH: Json = {
    "prefixes": [PREFIX_MATCH],
    "as_path": "^65500",
    "communities": ["65500:100"],
    "sessions": ["conn1-tunnel1"],
}
POLICY_RULE: Json = {
    "match": POLICY_MATCH,
    "action": "accept",
    "local_preference": 200,
    "add_communities": ["65530:1"],
}
DOCUMENTS: dict[str, list[Json]] = {
    "vpcs": [{"name": "vpc1", "cidrs": ["10.0.0.0/16"], "route_table": 1001}],
    "routing_policies": [{"name": "from-peers", "rules": [POLICY_RULE], "default_action": "accept"}],
    "vpn_gateways": [
        {
            "name": "gw1",
            "vpc": "vpc1",
            "addresses": ["198.51.100.1", "198.51.100.3"],
            "auto_propagate": True,
        }
    ],
    "customer_gateways": [
        {"name": "cgw1", "address": "198.51.100.2", "asn": 65500},
        {"name": "cgw2", "address": "198.51.100.4", "asn": 65500},
    ],
    "vpn_connections": [CONNECTION, LEGACY_CONNECTION],
    "destination_routes": [
        {
            "name": "branch",
            "vpn_gateway": "gw1",
            "destination": "172.20.0.0/16",
            "vpn_connection": "conn2",
            "publish": True,
        }
    ],
    "policy_routes": [
        {
            "name": "office",
            "vpn_gateway": "gw1",
            "source": "10.0.0.0/24",
            "destination": "172.21.0.0/16",
            "vpn_connection": "conn2",
            "priority": 10,
        }
    ],
    "vpc_routes": [{"name": "sink", "vpc": "vpc1", "destination": "172.22.0.0/16", "blackhole": True}],
}
CONFIGURATION: Json = {
    "vpcs": DOCUMENTS["vpcs"],
    "vpn_gateways": DOCUMENTS["vpn_gateways"],
}
PATCHES: dict[str, Json] = {
    "vpcs": {"cidrs": ["10.0.0.0/16", "10.1.0.0/16"]},
    "routing_policies": {"default_action": "reject"},
    "vpn_gateways": {"auto_propagate": False},
    "customer_gateways": {"address": "198.51.100.6"},
    "vpn_connections": {"failback_hold_down": 10.0, "import_policy": None},
    "destination_routes": {"publish": False},
    "policy_routes": {"priority": 5},
    "vpc_routes": {"advertise": True},
}
COMMON: Json = {
    "status": "active",
    "status_reason": None,
    "created_at": "2025-10-09T08:40:00.000Z",
    "updated_at": "2025-10-09T08:41:07.120Z",
    "warnings": [],
    "etag": "3",
}
FIELD_CHANGE: Json = {"pointer": "/auto_propagate", "old": False, "new": True}
PLANNED_RESOURCE: Json = {
    "action": "update",
    "kind": "vpn_gateways",
    "name": "gw1",
    "fields": [FIELD_CHANGE],
}
PLANNED_EFFECT: Json = {
    "action": "announce",
    "subject": "conn1-tunnel1",
    "detail": "10.0.0.0/16",
    "count": 1,
}
PLAN: Json = {
    "resources": [PLANNED_RESOURCE],
    "tunnels": [],
    "sessions": [],
    "kernel": [{"action": "add", "subject": "table 1001", "detail": "learned prefixes", "count": 3}],
    "peers": [PLANNED_EFFECT],
    "warnings": [],
}
PLANNED: Json = {"dry_run": True, "plan": PLAN}
TOKEN: Json = {
    "id": "4f7c2a",
    "name": "dashboard",
    "scope": "read",
    "created_at": "2025-10-09T08:40:00.000Z",
    "expires_at": "2026-10-09T00:00:00.000Z",
    "last_used_at": "2025-10-09T08:41:07.120Z",
    "revoked_at": None,
}
NEW_TOKEN: Json = TOKEN | {
    "last_used_at": None,
    "token": "bgpsvc_4f7c2a.Zx0mBWv3yQnF5dTq8rKc1LsPjH7gUeAo2iX9tY6wR4k",
}
TOKEN_REQUEST: Json = {"name": "dashboard", "scope": "read", "expires_at": "2126-10-09T00:00:00.000Z"}
AUDIT: Json = {
    "id": 17,
    "time": "2025-10-09T08:41:07.120Z",
    "actor": "token 4f7c2a (automation)",
    "source": "192.0.2.10",
    "action": "update",
    "kind": "vpn_gateways",
    "name": "gw1",
    "old": {"auto_propagate": False},
    "new": {"auto_propagate": True},
}
SECRETS: Json = {"secrets": {"/tunnels/0/ike/pre_shared_key": "Jb2kR9vXw7Lq4TzN"}}
ROTATED: Json = {"rotated": 4, "dry_run": False}
