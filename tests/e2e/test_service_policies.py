"""Routing policies in the running daemon: a reload with others moves routes and costs no session."""

from __future__ import annotations

import struct
from typing import Any

from bgpsvc.model import Reason
from tests.e2e.service import END, LOCAL_ASN, LONG, PEER_ASN, configuration, prefixes, running, table_of
from tests.fakes.bgp_peer import BgpPeer
from tests.netns.namespaces import wait_until

FIRST, SECOND = prefixes(2)
MARKED = (PEER_ASN, 200)
AS_PATH, MED, COMMUNITIES = 2, 4, 8
FROM_PEER: dict[str, Any] = {
    "name": "from-peer",
    "rules": [
        {"match": {"prefixes": [{"prefix": "0.0.0.0/0"}]}},
        {"match": {"prefixes": [{"prefix": SECOND}]}, "action": "reject"},
        {"match": {"sessions": ["conn1-tunnel2"], "communities": ["65500:200"]}, "local_preference": 300},
    ],
}
TO_PEER: dict[str, Any] = {
    "name": "to-peer",
    "rules": [
        {"match": {"sessions": ["conn1-tunnel2"]}, "prepend": 2, "med": 7, "add_communities": ["no-export"]}
    ],
}


def policed(*policies: dict[str, Any]) -> dict[str, Any]:
    """The usual configuration with these policies."""
    made = configuration()
    made["routing_policies"] = list(policies)
    for key, policy in (("import_policy", FROM_PEER), ("export_policy", TO_PEER)):
        if policy in policies:
            made["vpn_connections"][0][key] = policy["name"]
    return made


def as_path(peer: BgpPeer) -> tuple[int, ...]:
    """The AS path with which the VPC's network is advertised to a peer."""
    value = peer.log.routes.get("10.0.0.0/16", {}).get(AS_PATH, b"")
    return struct.unpack(f"!{len(value[2:]) // 4}I", value[2:])


def test_a_reload_with_policies_moves_routes_and_costs_no_session() -> None:
    with running(configuration()) as site, site.peer(1) as one, site.peer(2) as two:
        for peer in (one, two):
            peer.wait_established()
        one.send(table_of(1, [FIRST, SECOND, "0.0.0.0/0"]) + END)
        two.send(table_of(2, [FIRST, SECOND], communities=[MARKED]) + END)
        site.until_routes({FIRST, SECOND})
        wait_until(lambda: site.rest.route(FIRST)["session"] == "conn1-tunnel1", "the active tunnel", LONG)
        wait_until(lambda: as_path(one) == as_path(two) == (LOCAL_ASN,), "our network at the peers", LONG)

        assert site.reload(policed(FROM_PEER, TO_PEER))["kind"] == "config.reloaded"
        site.until_routes({FIRST, "default"})
        wait_until(lambda: site.rest.route(FIRST)["session"] == "conn1-tunnel2", "the preferred peer", LONG)
        best, _ = site.rest.route(FIRST)["candidates"]
        assert (best["session"], best["local_pref"]) == ("conn1-tunnel2", 300)
        refused = site.rest.route(SECOND)
        assert refused["reason"] == Reason.REJECTED_BY_POLICY
        assert refused["reason_text"] == "rejected by rule 2 of import policy from-peer"
        wait_until(lambda: as_path(two) == (LOCAL_ASN,) * 3, "the prepended path at the standby's peer", LONG)
        told = two.log.routes["10.0.0.0/16"]
        assert (told[MED], told[COMMUNITIES]) == (b"\0\0\0\x07", b"\xff\xff\xff\x01")
        assert as_path(one) == (LOCAL_ASN,)

        assert site.reload(configuration())["kind"] == "config.reloaded"
        site.until_routes({FIRST, SECOND})
        wait_until(
            lambda: site.rest.route(FIRST)["session"] == "conn1-tunnel1", "the active tunnel again", LONG
        )
        wait_until(lambda: as_path(two) == (LOCAL_ASN,), "the plain path again", LONG)
        assert site.rest.route("0.0.0.0/0")["reason"] == Reason.DEFAULT_ROUTE
        assert (one.log.established, two.log.established) == (1, 1)
