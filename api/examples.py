"""Examples of the OpenAPI document: the reference scenario as gateway 1 sees it.

Tests check each against its schema, so that they cannot drift from what the API answers.
"""

from __future__ import annotations

from typing import Any

from api.examples_detection import BFD, DETECTION
from api.examples_documents import COMMON, DOCUMENTS
from api.examples_ipsec import IPSEC, IPSEC_2

Json = dict[str, Any]

NEGOTIATED: Json = {
    "hold_time": 30,
    "families": ["ipv4", "ipv6"],
    "asn4": True,
    "route_refresh": True,
    "enhanced_refresh": False,
    "message_size": 4096,
    "graceful_restart_time": 120,
    "graceful_restart_families": ["ipv4"],
    "peer_router_id": "198.51.100.2",
    "peer_asn": 65500,
    "peer_capabilities": ["multiprotocol", "route-refresh", "asn4", "graceful-restart"],
}
PREFIX_COUNTS: Json = {"received": 4, "accepted": 3, "rejected": 1, "shed": 0, "stale": 0, "advertised": 1}
MESSAGE_COUNTS: Json = {
    "updates_received": 5,
    "prefixes_announced": 6,
    "prefixes_withdrawn": 2,
    "end_of_rib_received": 2,
    "notifications_sent": 1,
    "notifications_received": 0,
    "treated_as_withdraw": 0,
    "lost": 0,
}
SESSION_ERROR: Json = {
    "time": "2025-10-09T08:41:07.120Z",
    "text": "Hold Timer Expired",
    "code": 4,
    "subcode": 0,
    "direction": "sent",
}
SESSION: Json = {
    "id": "conn1-tunnel1",
    "connection": "conn1",
    "gateway": "gw1",
    "tunnel": 1,
    "role": "active",
    "interface": "conn1-tunnel1",
    "local_address": "169.254.10.1",
    "peer_address": "169.254.10.2",
    "local_asn": 65530,
    "peer_asn": 65500,
    "state": "established",
    "since": "2025-10-09T08:41:12.004Z",
    "established_count": 2,
    "flap_count": 1,
    "hold_time_configured": 30,
    "negotiated": NEGOTIATED,
    "prefixes": PREFIX_COUNTS,
    "messages": MESSAGE_COUNTS,
    "last_error": SESSION_ERROR,
    "end_of_rib": True,
}
TUNNEL: Json = {
    "id": "conn1-tunnel1",
    "connection": "conn1",
    "gateway": "gw1",
    "tunnel": 1,
    "role": "active",
    "interface": "conn1-tunnel1",
    "link_up": True,
    "session_state": "established",
    "state": "live",
    "state_reason": "the session is established and sent End-of-RIB",
    "since": "2025-10-09T08:41:22.010Z",
    "carrying": True,
    "local_address": "169.254.10.1",
    "peer_address": "169.254.10.2",
    "remote_address": "198.51.100.2",
    "health": None,
    "health_reason": None,
    "ipsec": IPSEC,
    "detection": DETECTION,
    "bfd": BFD,
    "hold_down": 5.0,
    "flapping": False,
}
TUNNEL_2: Json = TUNNEL | {
    "id": "conn1-tunnel2",
    "tunnel": 2,
    "role": "standby",
    "interface": "conn1-tunnel2",
    "carrying": False,
    "local_address": "169.254.20.1",
    "peer_address": "169.254.20.2",
    "remote_address": "198.51.100.4",
    "ipsec": IPSEC_2,
}
CONNECTION: Json = COMMON | {
    "config": DOCUMENTS["vpn_connections"][0],
    "name": "conn1",
    "gateway": "gw1",
    "local_asn": 65530,
    "mode": "auto",
    "choice": None,
    "carrying": "conn1-tunnel1",
    "switchovers": 2,
    "last_switchover": "2025-10-09T08:41:22.011Z",
    "last_switchover_reason": "conn1-tunnel1 is live again",
    "tunnels": [TUNNEL, TUNNEL_2],
}
GATEWAY: Json = COMMON | {
    "config": DOCUMENTS["vpn_gateways"][0],
    "name": "gw1",
    "vpc": "vpc1",
    "addresses": ["198.51.100.1", "198.51.100.3"],
    "auto_propagate": True,
    "connections": ["conn1"],
    "routes_learned": 3,
    "routes_installed": 3,
    "advertised": ["10.0.0.0/16"],
}
VPC: Json = COMMON | {
    "config": DOCUMENTS["vpcs"][0],
    "name": "vpc1",
    "cidrs": ["10.0.0.0/16"],
    "route_table": 1001,
    "gateway": "gw1",
    "routes_installed": 3,
}
CANDIDATE: Json = {
    "rank": 1,
    "session": "conn1-tunnel1",
    "role": "active",
    "next_hop": "169.254.10.2",
    "as_path": "65500",
    "origin": "igp",
    "med": None,
    "local_pref": 200,
    "communities": ["65500:100"],
    "large_communities": [],
    "extended_communities": [],
    "stale": False,
    "in_use": True,
    "reason": None,
    "reason_text": None,
}
CANDIDATE_2: Json = CANDIDATE | {
    "rank": 2,
    "session": "conn1-tunnel2",
    "role": "standby",
    "next_hop": "169.254.20.2",
    "local_pref": 100,
    "in_use": False,
    "reason": "lower_local_preference",
    "reason_text": "another path has a higher local preference",
}
ROUTE: Json = {
    "prefix": "192.168.0.0/16",
    "family": "ipv4",
    "gateway": "gw1",
    "vpc": "vpc1",
    "state": "installed",
    "reason": None,
    "reason_text": None,
    "session": "conn1-tunnel1",
    "interface": "conn1-tunnel1",
    "nexthop_group": 536870914,
    "candidates": [CANDIDATE, CANDIDATE_2],
}
TABLE_ROUTE: Json = {
    "prefix": "192.168.0.0/16",
    "family": "ipv4",
    "vpc": "vpc1",
    "table": 1001,
    "metric": 100,
    "nexthop_group": 536870914,
    "connection": "conn1",
    "session": "conn1-tunnel1",
    "interface": "conn1-tunnel1",
    "next_hop": "169.254.10.2",
    "backup_session": "conn1-tunnel2",
    "source": "bgp",
}
EVENT: Json = {
    "id": 42,
    "time": "2025-10-09T08:41:07.121Z",
    "kind": "connection.switchover",
    "severity": "warning",
    "subject": "conn1",
    "message": "traffic moved from conn1-tunnel1 to conn1-tunnel2: Hold Timer Expired",
    "data": {"from": "conn1-tunnel1", "to": "conn1-tunnel2", "prefixes": 3},
}
CHOICE: Json = {
    "by": "token 4f7c2a (ann)",
    "at": "2025-10-09T08:41:22.010Z",
    "reason": "provider replaces the router of tunnel 1",
}
SWITCH_REQUEST: Json = {"mode": "standby", "reason": "provider replaces the router of tunnel 1"}
SWITCH_PLAN: Json = {
    "connection": "conn1",
    "mode": "standby",
    "from_tunnel": "conn1-tunnel1",
    "to_tunnel": "conn1-tunnel2",
    "prefixes_moved": 3,
    "groups_replaced": 1,
    "changed": True,
    "note": "traffic moves from conn1-tunnel1 to conn1-tunnel2",
    "drained": "conn1-tunnel1",
}
RESTART_PLAN: Json = {
    "tunnel": "conn1-tunnel1",
    "connection": "conn1",
    "carrying": True,
    "to_tunnel": "conn1-tunnel2",
    "prefixes_moved": 3,
    "prefixes_lost": 0,
    "note": "traffic moves to conn1-tunnel2, and back when conn1-tunnel1 is live again",
}
HEALTH: Json = {"status": "ok", "version": "0.1.0"}
CHECK: Json = {"ok": True, "detail": "running for 512 s"}
READY: Json = {"ready": True, "checks": {"speaker.active": CHECK, "speaker.standby": CHECK}}


def listing(item: Json) -> Json:
    """A last page with one item."""
    return {"items": [item], "next_cursor": None}
