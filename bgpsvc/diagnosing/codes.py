"""Every code that a check may have: its layer and what it means. What the documentation lists.

A code is stable: programs act on it. `ok` and the codes of layers that were not examined belong to all
layers.
"""

from __future__ import annotations

from bgpsvc.diagnosis import Check, Fact, Layer, Outcome

OK = "ok"
EXTERNAL = "external_tunnel"
BELOW_FAILED = "layer_below_failed"
WAITS = "waits_for_traffic"
COMMON: dict[str, str] = {
    OK: "Nothing is wrong at this layer.",
    EXTERNAL: "The tunnel is an external one: this layer is somebody else's.",
    BELOW_FAILED: "Not examined, because a layer that this one stands on failed.",
    WAITS: "Not examined, because the tunnel waits for traffic.",
}

FAULTS: dict[Layer, dict[str, str]] = {
    "address": {
        "local_address_missing": (
            "The gateway's public address is not on this machine; a warning where a NAT may be."
        ),
        "no_route_to_peer": "The machine has no route to the peer's public address.",
        "peer_unreachable": "The peer's public address is reported to be unreachable.",
    },
    "udp": {
        "udp_port_unreachable": "The peer's machine answers that nobody listens on UDP 500 or 4500.",
        "udp_no_answer": (
            "Nobody answers IKE on UDP 500 and 4500: packets are dropped on the way, or at the peer."
        ),
        "udp_4500_no_answer": "IKE is answered on UDP 500, but not on 4500.",
        "udp_500_no_answer": "IKE is answered on UDP 4500, but not on 500, where every negotiation begins.",
        "udp_not_probed": "The probe could not be sent.",
    },
    "phase1": {
        "authentication_failed": "The pre-shared keys differ.",
        "id_mismatch": "One side expects another identity.",
        "ike_proposal_mismatch": "The IKE algorithms of both sides have nothing in common.",
        "ike_version_mismatch": "The sides use different versions of IKE.",
        "unknown_peer": "The peer has no connection for our address or identity, or we have none for its.",
        "peer_not_responding": "The peer does not answer the negotiation.",
        "dpd_timeout": "The peer stopped answering (dead peer detection).",
        "deleted_by_peer": "The peer ended the IKE SA.",
        "unsupported_algorithm": "This machine's charon has no such algorithm.",
        "no_pre_shared_key": "The tunnel has no pre-shared key.",
        "charon_down": "strongSwan's charon does not run or does not answer.",
        "interface_failed": "The tunnel's interface could not be made.",
        "no_driver": "This daemon makes no tunnels.",
        "ike_failed": "The negotiation of phase 1 failed for another reason.",
        "ike_negotiating": "The negotiation of phase 1 is under way.",
        "ike_waits_for_traffic": "The tunnel negotiates when there is traffic for it, and there was none.",
        "ipsec_unknown": "Nothing is known of the tunnel's IPsec.",
    },
    "phase2": {
        "esp_proposal_mismatch": "The ESP algorithms of both sides have nothing in common.",
        "pfs_mismatch": "The groups for perfect forward secrecy differ.",
        "selector_mismatch": "The traffic selectors of both sides do not match.",
        "esp_failed": "The negotiation of phase 2 failed for another reason.",
        "esp_negotiating": "The negotiation of phase 2 is under way.",
        "esp_waits_for_traffic": "Phase 2 begins when there is traffic for it, and there was none.",
    },
    "interface": {
        "interface_missing": "The tunnel's interface does not exist.",
        "interface_down": "The tunnel's interface is down.",
        "interface_address_missing": "The interface lacks an address that it must have.",
        "interface_address_elsewhere": "Another interface has the tunnel's address.",
        "interface_mtu_differs": "The interface has another MTU than it should.",
    },
    "bgp": {
        "bgp_off": "The connection does not use BGP.",
        "speaker_down": "The BGP speaker of this machine does not run.",
        "bgp_port_taken": "Another program here has TCP port 179, so the BGP speaker cannot run.",
        "bgp_refused": "The peer refuses TCP connections to port 179.",
        "bgp_filtered": "The peer answers through the tunnel, but not on TCP port 179.",
        "bgp_no_path": "Nothing returns through the tunnel, neither TCP nor echo replies.",
        "bgp_unreachable": "The peer's inside address is reported to be unreachable.",
        "bgp_md5_mismatch": "TCP MD5 signatures do not fit: the passwords differ, or one side has none.",
        "bgp_ttl_security": "The peer's packets come from further away than TTL security allows.",
        "bgp_wrong_asn": "The peer has another ASN than the customer gateway says.",
        "bgp_wrong_local_asn": "The peer expects another ASN of us.",
        "bgp_open_refused": "One side refused the other's OPEN for another reason.",
        "bgp_hold_timer_expired": "No message came for the whole hold time.",
        "bgp_closed_by_peer": "The peer ended the session (Cease).",
        "bgp_notification": "The session ended with another error.",
        "bgp_peer_silent": "The peer takes TCP connections and says nothing.",
        "bgp_passive": "This side waits for the peer to connect, and the peer does not.",
        "bgp_not_established": "The session is not established, for no reason that is known here.",
    },
    "routes": {
        "propagation_off": "Automatic propagation of the VPN gateway is off.",
        "nothing_learned": "The peer announces nothing.",
        "waits_for_end_of_rib": "The peer has not sent all its routes yet.",
        "all_filtered": "Import refuses everything that the peer announces.",
        "some_filtered": "Import refuses a part of what the peer announces.",
        "prefix_limit": "The peer announces more prefixes than the session may have; some are shed.",
        "not_installed": "The kernel refused learned routes.",
        "routes_pending": "Learned routes are on their way to the kernel.",
        "nothing_advertised": "Nothing is advertised to the peer, so it has no route to the VPC.",
        "no_static_routes": "The connection uses no BGP and has no static routes.",
        "routes_by_hand": "Automatic propagation is off, and the connection has static routes.",
    },
    "data_path": {
        "no_reply": "Requests leave through the tunnel, and nothing returns.",
        "echo_filtered": "The peer does not answer echo requests, but other packets of it arrive.",
        "some_lost": "Some echo requests were not answered.",
        "echo_not_sent": "Echo requests could not be sent.",
        "no_inside_addresses": "The tunnel has no inside addresses to ask.",
        "inside_not_selected": "The traffic selectors do not let the inside addresses through.",
    },
    "mtu": {
        "mtu_too_large": "Packets as large as the interface allows do not arrive.",
        "mtu_unknown": "No packet size was answered.",
    },
    "detection": {
        "detection_off": "Neither BFD nor a probe of the peer is configured.",
        "guard_down": "The guard does not run, so nobody speaks BFD or probes.",
        "detection_unknown": "The guard has not told anything yet.",
        "bfd_port_taken": "Another process here has the UDP port of BFD.",
        "bfd_authentication_failed": "The authentication of the peer's BFD packets does not fit.",
        "bfd_refused": "The peer's BFD packets are refused for another reason.",
        "bfd_admin_down": "The peer has switched BFD off.",
        "bfd_not_taken": "The peer's BFD packets arrive, and ours are not taken there.",
        "bfd_no_answer": "The peer does not answer BFD: no session there, or UDP 3784 or 4784 is filtered.",
        "bfd_disbelieved": "BFD is down while the session shows that the path is not: a warning.",
        "bfd_down": "BFD says that the path is dead.",
        "probe_no_reply": "The peer has not replied to any probe: the probe is not in force.",
        "probe_disbelieved": "The probe is down while the session shows that the path is not: a warning.",
        "probe_down": "The probe says that the path is dead.",
    },
}


def check(
    layer: Layer,
    outcome: Outcome,
    code: str,
    summary: str,
    remedy: str | None = None,
    *facts: Fact | None,
) -> Check:
    """A check with a code of its layer. KeyError if the layer has no such code: a defect that tests find."""
    _ = COMMON.get(code) or FAULTS[layer][code]
    return Check(layer, outcome, code, summary, tuple(fact for fact in facts if fact is not None), remedy)


def ok(layer: Layer, summary: str, *facts: Fact | None) -> Check:
    """Nothing is wrong."""
    return check(layer, "ok", OK, summary, None, *facts)
