"""A tunnel that works, and everything that can be wrong with it: one case for each code."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from bgpsvc.diagnosing.evidence import (
    BfdSeen,
    Bgp,
    BgpError,
    Detection,
    Echoes,
    Evidence,
    Ike,
    Largest,
    Link,
    Md5Counters,
    Offer,
    ProbeSeen,
    Refusal,
    Reply,
    Routes,
    TcpAnswer,
    Way,
)
from bgpsvc.diagnosis import Layer, Outcome
from bgpsvc.guard.model import BfdStatus, ProbeStatus
from bgpsvc.ipsec.model import Cause, ChildSa, IkeSa, IpsecError, IpsecState, IpsecStatus
from bgpsvc.model import SessionId, SessionState

NOW = 1_000_000.0
OURS, THEIRS = "198.51.100.1", "198.51.100.2"
ANSWERED = Reply("answered", "IKEv2: NO_PROPOSAL_CHOSEN", 0.01)
SILENT = Reply("silent", "no answer within 3.5 s")
CLOSED = Reply("unreachable", "port unreachable", by=THEIRS)

CHILD = ChildSa(
    1, "INSTALLED", True, "c0000001", "c0000002", "aes256", "sha256", None, 10, 20, 1, 2, NOW - 90, None,
    None, ("0.0.0.0/0",), ("0.0.0.0/0",),
)  # fmt: skip
IKE_SA = IkeSa(
    1, "ikev2", "ESTABLISHED", True, OURS, 4500, OURS, THEIRS, 4500, THEIRS, "a" * 16, "b" * 16, False, False,
    "aes256", "sha256", "group14", NOW - 100, None, (CHILD,),
)  # fmt: skip
UP = IpsecState(
    SessionId("c-tunnel1"), "userspace", "c-tunnel1", IpsecStatus.IPSEC_SA_ESTABLISHED, "up", NOW - 90, NOW,
    IKE_SA,
)  # fmt: skip
SPEAKS = Bgp(SessionState.ESTABLISHED, NOW - 80, 65530, 65500, 30, False, False, None, None)
OPEN = TcpAnswer("open", "answered: the port is open", 64)
QUIET = TcpAnswer("silent", "no answer within 2 s")
DOWN = replace(SPEAKS, state=SessionState.ACTIVE, plain=OPEN)
LINK = Link(True, 1400, ("169.254.10.1/30",), 100, 200)
LEARNED = Routes(True, "gw", accepted=3, max_prefixes=1000, advertised=1, advertisable=1, end_of_rib=True)
BFD_STATUS = BfdStatus(
    SessionId("c-tunnel1"), "Up", "Up", "no diagnostic", "no diagnostic", 1, 2, 50, 50, 150, 900, 901, 0,
    None, NOW - 80, 0,
)  # fmt: skip
BFD = BfdSeen("169.254.10.1", "169.254.10.2", False, None, True, "Up", 150.0, None, BFD_STATUS)
NO_BFD = replace(
    BFD, up=None, reason="no BFD packet yet", detection_ms=None,
    status=replace(BFD_STATUS, state="Down", remote_state="Down", received=0),
)  # fmt: skip
PROBE = ProbeSeen(
    "169.254.10.1", "169.254.10.2", 100, True, "169.254.10.2 replies", 400.0, None,
    ProbeStatus(SessionId("c-tunnel1"), True, 900, 2, 0, 0.3),
)  # fmt: skip
WORKS = Evidence(
    tunnel="c-tunnel1",
    number=1,
    role="active",
    made=True,
    interface="c-tunnel1",
    local=OURS,
    remote=THEIRS,
    now=NOW,
    carrying=True,
    live=True,
    state_reason="the session is established",
    inside_local="169.254.10.1",
    inside_peer="169.254.10.2",
    inside_addresses=("169.254.10.1/30",),
    mtu=1400,
    way=Way(True, OURS, "wan0", "203.0.113.1"),
    ike=Ike(
        "ikev2",
        "main",
        "aes256-sha256-group14",
        "aes256-sha256-group14",
        OURS,
        THEIRS,
        True,
        True,
        True,
        (("0.0.0.0/0", "0.0.0.0/0"),),
    ),
    ipsec=UP,
    link=LINK,
    bgp=SPEAKS,
    routes=LEARNED,
    echoes=Echoes(3, 3, 0.001, LINK, replace(LINK, received=103, sent=203)),
    largest=Largest(1400, 1400),
    detection=Detection(None, BFD, PROBE),
)


@dataclass(frozen=True)
class Case:
    """Evidence, and the check that it leads to; `words` are in its summary."""

    code: str
    layer: Layer
    evidence: Evidence
    outcome: Outcome = "failed"
    words: str = ""


def bfd(base: BfdSeen = NO_BFD, rejected: str | None = None, **changes: Any) -> Evidence:
    """BFD is not up. `rejected`: why a packet was refused, lately."""
    assert base.status is not None
    status = replace(base.status, last_rejected=rejected, rejected=0 if rejected is None else 3)
    seen = replace(base, **{"status": status, "refused_lately": rejected is not None, **changes})
    return replace(WORKS, detection=Detection(None, seen, PROBE))


def probe(**changes: Any) -> Evidence:
    """The probe is not up."""
    seen = replace(PROBE, **{"up": False, "reason": "no reply to 3 in a row", **changes})
    return replace(WORKS, detection=Detection(None, BFD, seen))


def without_ike(error: Cause | None = None, **changes: Any) -> Evidence:
    """Phase 1 is not up; the probes are answered."""
    made = {"udp500": ANSWERED, "udp4500": ANSWERED, **changes}
    return replace(WORKS, ipsec=failed(error), **made)


def failed(
    cause: Cause | None,
    status: IpsecStatus = IpsecStatus.IKE_SA_NOT_ESTABLISHED,
    text: str = "what charon said",
    ike: IkeSa | None = None,
    **values: Any,
) -> IpsecState:
    error = None if cause is None else IpsecError(NOW - 1, cause, text, **values)
    return replace(UP, status=status, reason="not up", ike=ike, last_error=error)


def without_child(cause: Cause | None) -> Evidence:
    status = IpsecStatus.IKE_SA_ESTABLISHED if cause is None else IpsecStatus.IPSEC_SA_NOT_ESTABLISHED
    return replace(WORKS, ipsec=failed(cause, status, ike=replace(IKE_SA, children=())))


def session(**changes: Any) -> Evidence:
    """The session is down."""
    return replace(WORKS, bgp=replace(DOWN, **changes))


def said(code: int, subcode: int, text: str = "", sent: bool = True, age: float = 5.0) -> BgpError:
    return BgpError(NOW - age, text or f"notification ({code},{subcode})", code, subcode, sent)


def routes(**changes: Any) -> Evidence:
    return replace(WORKS, routes=replace(LEARNED, **changes))


NO_OPEN = "notification sent (1,1): waited for open too long, we do not like stuck in active"
REFUSED = Refusal(2, "10.9.0.0/16", "rejected by rule 3 of import policy strict", True, False)
LOOPS = Refusal(1, "10.0.0.0/16", "the AS path contains the local ASN", False, True)
SIGNED = {"password": True, "signed": QUIET, "plain": QUIET}
WAITING = replace(WORKS.ike, immediately=False) if WORKS.ike else None
KEYLESS = replace(WORKS.ike, has_key=False) if WORKS.ike else None
NO_PROPOSAL = failed(Cause.IKE_PROPOSAL_MISMATCH, local="aes256-sha256-group14")

NARROW = replace(
    WORKS,
    bgp=None,
    routes=replace(LEARNED, static_routes=1),
    ike=replace(WORKS.ike, pairs=(("10.0.0.0/16", "192.168.0.0/16"),)) if WORKS.ike else None,
)

WRONG_KEY = "authentication digest is wrong (another key?)"
NO_KEY = "no authentication, keyed SHA1 is configured"

CASES = (
    # address
    Case(
        "local_address_missing",
        "address",
        without_ike(way=Way(False, "203.0.113.7", "wan0", None)),
        words=OURS,
    ),
    Case(
        "local_address_missing",
        "address",
        without_ike(way=Way(False, None, None, None, "network is unreachable")),
        words=OURS,
    ),
    Case(
        "local_address_missing",
        "address",
        without_ike(way=Way(False, "10.1.1.1", "wan0", None)),
        "warning",
        "10.1.1.1",
    ),
    Case(
        "no_route_to_peer",
        "address",
        without_ike(way=Way(True, None, None, None, "network is unreachable")),
        words="network is unreachable",
    ),
    Case(
        "peer_unreachable",
        "address",
        without_ike(udp500=Reply("unreachable", "host unreachable", by="203.0.113.9"), udp4500=SILENT),
        words="203.0.113.9",
    ),
    # udp
    Case("udp_port_unreachable", "udp", without_ike(udp500=CLOSED, udp4500=CLOSED), words="UDP 500"),
    Case("udp_no_answer", "udp", without_ike(udp500=SILENT, udp4500=SILENT), words="500 and 4500"),
    Case("udp_4500_no_answer", "udp", without_ike(udp4500=SILENT)),
    Case("udp_500_no_answer", "udp", without_ike(udp500=SILENT)),
    Case("udp_not_probed", "udp", without_ike(udp500=Reply("failed", "Operation not permitted")), "unknown"),
    # phase 1
    *(
        Case(code, "phase1", without_ike(cause), words="what charon said")
        for code, cause in (
            ("authentication_failed", Cause.AUTHENTICATION_FAILED),
            ("id_mismatch", Cause.ID_MISMATCH),
            ("ike_proposal_mismatch", Cause.IKE_PROPOSAL_MISMATCH),
            ("ike_version_mismatch", Cause.IKE_VERSION_MISMATCH),
            ("unknown_peer", Cause.UNKNOWN_PEER),
            ("peer_not_responding", Cause.PEER_NOT_RESPONDING),
            ("dpd_timeout", Cause.DPD_TIMEOUT),
            ("deleted_by_peer", Cause.DELETED_BY_PEER),
            ("unsupported_algorithm", Cause.UNSUPPORTED_ALGORITHM),
            ("no_pre_shared_key", Cause.NO_PRE_SHARED_KEY),
            ("charon_down", Cause.CHARON_DOWN),
            ("interface_failed", Cause.INTERFACE_FAILED),
            ("no_driver", Cause.NO_DRIVER),
            ("ike_failed", Cause.OTHER),
            ("ike_negotiating", Cause.SETTINGS_CHANGED),
        )
    ),
    Case("no_pre_shared_key", "phase1", without_ike(ike=KEYLESS)),
    Case("ike_negotiating", "phase1", without_ike(), words="under way"),
    Case("ike_waits_for_traffic", "phase1", without_ike(ike=WAITING), "warning"),
    Case("ipsec_unknown", "phase1", replace(without_ike(), ipsec=None), "unknown"),
    Case(
        "ike_proposal_mismatch",
        "phase1",
        replace(
            without_ike(),
            ipsec=NO_PROPOSAL,
            offers=(Offer("ikev2", True, "aes128-sha1-group2"), Offer("ikev1", True)),
        ),
        words="the peer accepts aes128-sha1-group2",
    ),
    Case(
        "ike_version_mismatch",
        "phase1",
        replace(
            without_ike(),
            ipsec=NO_PROPOSAL,
            offers=(Offer("ikev2", True), Offer("ikev1", True, "aes256-sha1-group2")),
        ),
        words="the peer speaks ikev1 with us, and not ikev2",
    ),
    Case(
        "unknown_peer",
        "phase1",
        replace(without_ike(), ipsec=NO_PROPOSAL, offers=(Offer("ikev2", True), Offer("ikev1", True))),
        words=f"nothing configured for our address {OURS}",
    ),
    Case(
        "ike_proposal_mismatch",
        "phase1",
        replace(without_ike(), ipsec=NO_PROPOSAL, offers=(Offer("ikev2", True), Offer("ikev1", False))),
        words="what charon said",
    ),
    # phase 2
    Case("esp_proposal_mismatch", "phase2", without_child(Cause.ESP_PROPOSAL_MISMATCH)),
    Case("pfs_mismatch", "phase2", without_child(Cause.PFS_MISMATCH)),
    Case("selector_mismatch", "phase2", without_child(Cause.SELECTOR_MISMATCH)),
    Case("selector_mismatch", "phase2", without_ike(Cause.SELECTOR_MISMATCH)),
    Case("esp_failed", "phase2", without_child(Cause.OTHER)),
    Case("esp_negotiating", "phase2", without_child(None)),
    Case("esp_waits_for_traffic", "phase2", replace(without_child(None), ike=WAITING), "warning"),
    Case(
        "pfs_mismatch",
        "phase2",
        replace(
            WORKS, ipsec=replace(UP, last_error=IpsecError(NOW - 1, Cause.PFS_MISMATCH, "the groups differ"))
        ),
        "warning",
        "cannot be renewed: the groups differ",
    ),
    # interface
    Case("interface_missing", "interface", replace(WORKS, link=None)),
    Case("interface_down", "interface", replace(WORKS, link=replace(LINK, up=False))),
    Case("interface_address_missing", "interface", replace(WORKS, link=replace(LINK, addresses=()))),
    Case(
        "interface_address_elsewhere",
        "interface",
        replace(WORKS, link=replace(LINK, addresses=()), elsewhere=(("169.254.10.1", "eth9"),)),
        words="eth9 has the tunnel's address 169.254.10.1",
    ),
    Case("interface_mtu_differs", "interface", replace(WORKS, link=replace(LINK, mtu=1500)), "warning"),
    # bgp
    Case("bgp_off", "bgp", replace(WORKS, bgp=None, routes=replace(LEARNED, static_routes=1)), "skipped"),
    Case("speaker_down", "bgp", session(speaker="killed by signal 9"), words="killed by signal 9"),
    Case(
        "bgp_port_taken",
        "bgp",
        session(speaker="ended with status 1", port_taken_by="bgpd (pid 7)"),
        words="TCP port 179 at 169.254.10.1 is held by another program (bgpd (pid 7))",
    ),
    Case("bgp_refused", "bgp", session(plain=TcpAnswer("refused", "refused with a reset", 64))),
    Case("bgp_unreachable", "bgp", session(plain=TcpAnswer("unreachable", "port unreachable"))),
    Case("bgp_filtered", "bgp", session(plain=QUIET)),
    Case("bgp_filtered", "bgp", session(**SIGNED)),
    Case(
        "bgp_no_path",
        "bgp",
        replace(session(plain=QUIET), echoes=Echoes(3, 0, None, LINK, LINK), largest=None),
    ),
    Case("bgp_md5_mismatch", "bgp", session(plain=QUIET, calls="signed"), words="peer signs"),
    Case("bgp_md5_mismatch", "bgp", session(**SIGNED, calls="signed"), words="passwords differ"),
    Case("bgp_md5_mismatch", "bgp", session(**{**SIGNED, "plain": OPEN}), words="the peer has none"),
    Case("bgp_md5_mismatch", "bgp", session(**SIGNED, calls="unsigned"), words="the peer has none"),
    Case("bgp_filtered", "bgp", session(plain=QUIET, calls="unsigned", md5=Md5Counters(unexpected=4))),
    Case("bgp_filtered", "bgp", session(**SIGNED, calls="signed_with_our_key")),
    Case(
        "bgp_refused",
        "bgp",
        session(**{**SIGNED, "plain": TcpAnswer("refused", "refused with a reset", 64)}),
    ),
    Case("bgp_ttl_security", "bgp", session(min_ttl=255), words="TTL 64"),
    Case(
        "bgp_ttl_security",
        "bgp",
        session(min_ttl=255, plain=replace(OPEN, ttl=255), calls_ttl=1),
        words="TTL 1,",
    ),
    Case(
        "bgp_wrong_asn",
        "bgp",
        session(
            notification=said(2, 2, "ASN in OPEN (65501) did not match ASN expected (65500)"), plain=QUIET
        ),
        words="the peer has ASN 65501, the customer gateway says 65500",
    ),
    Case("bgp_wrong_local_asn", "bgp", session(notification=said(2, 2, sent=False)), words="65530"),
    Case("bgp_open_refused", "bgp", session(notification=said(2, 6)), words="this side refused"),
    Case("bgp_open_refused", "bgp", session(notification=said(2, 6, sent=False)), words="refused our OPEN"),
    Case("bgp_filtered", "bgp", session(notification=said(2, 2, age=9999), plain=QUIET)),
    Case("bgp_hold_timer_expired", "bgp", session(notification=said(4, 0)), words="hold time of 30 s"),
    Case(
        "bgp_hold_timer_expired", "bgp", session(notification=said(4, 0, sent=False)), words="nothing from us"
    ),
    Case("bgp_filtered", "bgp", session(notification=said(4, 0), plain=QUIET)),
    Case("bgp_closed_by_peer", "bgp", session(notification=said(6, 1, sent=False)), words="maximum number"),
    Case(
        "bgp_closed_by_peer",
        "bgp",
        session(notification=said(6, 3, sent=False), plain=TcpAnswer("refused", "reset", 64)),
        words="de-configured",
    ),
    Case(
        "bgp_refused",
        "bgp",
        session(notification=said(6, 2, sent=False, age=9999), plain=TcpAnswer("refused", "reset", 64)),
    ),
    Case("bgp_notification", "bgp", session(notification=said(3, 5)), words="(3,5)"),
    Case("bgp_peer_silent", "bgp", session(min_ttl=64)),
    Case("bgp_peer_silent", "bgp", session(notification=said(5, 1))),
    Case("bgp_peer_silent", "bgp", session()),
    Case("bgp_peer_silent", "bgp", session(notification=said(1, 1, NO_OPEN))),
    Case("bgp_notification", "bgp", session(notification=said(1, 1))),
    Case("bgp_notification", "bgp", session(notification=said(1, 1, NO_OPEN, sent=False))),
    Case("bgp_passive", "bgp", session(passive=True)),
    Case("bgp_passive", "bgp", session(passive=True, notification=said(1, 1, NO_OPEN, age=90))),
    Case("bgp_passive", "bgp", session(passive=True, notification=said(6, 3))),
    Case("bgp_notification", "bgp", session(notification=said(6, 1)), words="(6,1)"),
    Case("bgp_passive", "bgp", session(passive=True, notification=said(6, 2, sent=False))),
    Case(
        "bgp_not_established",
        "bgp",
        session(plain=TcpAnswer("failed", "no"), last_error=BgpError(NOW - 3, "lost")),
        words="lost",
    ),
    # routes
    Case("propagation_off", "routes", routes(propagate=False)),
    Case("routes_by_hand", "routes", routes(propagate=False, static_routes=2), "warning"),
    Case("nothing_learned", "routes", routes(accepted=0)),
    Case("waits_for_end_of_rib", "routes", routes(accepted=0, end_of_rib=False), "warning"),
    Case(
        "all_filtered",
        "routes",
        routes(accepted=0, refused=2, looked_at=2, refusals=(REFUSED,)),
        words="all 2 prefixes that the peer announces: rejected by rule 3 of import policy strict",
    ),
    Case(
        "some_filtered",
        "routes",
        routes(refused=3, looked_at=3, refusals=(LOOPS, REFUSED)),
        "warning",
        "rule 3 of import policy strict",
    ),
    Case("ok", "routes", routes(refused=1, looked_at=1, refusals=(LOOPS,)), "ok", "3 prefixes learned"),
    Case("prefix_limit", "routes", routes(shed=7, max_prefixes=3), words="more than 3 prefixes: 7 are shed"),
    Case("not_installed", "routes", routes(uninstalled=(("10.7.0.0/16", "exists"),)), words="10.7.0.0/16"),
    Case("routes_pending", "routes", routes(pending=9), "warning"),
    Case("nothing_advertised", "routes", routes(advertised=0, advertisable=0), words="no address ranges"),
    Case("nothing_advertised", "routes", routes(advertised=0, export_policy="mute"), words="policy mute"),
    Case("nothing_advertised", "routes", routes(advertised=0), words="families"),
    Case("no_static_routes", "routes", replace(WORKS, bgp=None, routes=Routes(True, "gw"))),
    # data path
    Case(
        "no_reply",
        "data_path",
        replace(session(), echoes=Echoes(3, 0, None, LINK, replace(LINK, sent=203)), largest=None),
    ),
    Case("echo_filtered", "data_path", replace(WORKS, echoes=Echoes(3, 0, None, LINK, LINK)), "warning"),
    Case(
        "echo_filtered",
        "data_path",
        replace(
            WORKS,
            bgp=None,
            routes=replace(LEARNED, static_routes=1),
            echoes=Echoes(3, 0, None, LINK, replace(LINK, received=101)),
        ),
        "warning",
        "packets arrive",
    ),
    Case("some_lost", "data_path", replace(WORKS, echoes=Echoes(3, 2, 0.1, LINK, LINK)), "warning"),
    Case(
        "echo_not_sent",
        "data_path",
        replace(WORKS, echoes=Echoes(0, 0, None, LINK, LINK, "Network is down")),
        "unknown",
        "Network is down",
    ),
    Case("no_inside_addresses", "data_path", replace(WORKS, inside_local=None, inside_peer=None), "skipped"),
    Case("inside_not_selected", "data_path", replace(NARROW, echoes=None, largest=None), "skipped"),
    # mtu
    Case("mtu_too_large", "mtu", replace(WORKS, largest=Largest(1300, 1400)), words="more than 1300 bytes"),
    Case("mtu_unknown", "mtu", replace(WORKS, largest=None), "unknown"),
    # detection
    Case("detection_off", "detection", replace(WORKS, detection=None), "skipped"),
    Case("guard_down", "detection", replace(WORKS, detection=Detection("killed")), "warning", "killed"),
    Case("detection_unknown", "detection", bfd(status=None), "unknown", "BFD"),
    Case("detection_unknown", "detection", probe(status=None), "unknown", "probe"),
    Case("bfd_port_taken", "detection", bfd(port_taken_by="bfdd (pid 7)"), "warning", "3784"),
    Case("bfd_port_taken", "detection", bfd(multihop=True, port_taken_by="bfdd (pid 7)"), "warning", "4784"),
    Case("bfd_authentication_failed", "detection", bfd(rejected=WRONG_KEY), "warning", "another key"),
    Case("bfd_authentication_failed", "detection", bfd(rejected=WRONG_KEY, up=False), words="another key"),
    Case("bfd_authentication_failed", "detection", bfd(rejected=NO_KEY, key_id=3), "warning", "configured"),
    Case("bfd_refused", "detection", bfd(rejected="TTL is not 255"), "warning", "TTL"),
    Case("bfd_admin_down", "detection", bfd(status=replace(BFD_STATUS, remote_state="AdminDown")), "warning"),
    Case("bfd_not_taken", "detection", bfd(heard_lately=True), "warning", "arrive"),
    Case("bfd_no_answer", "detection", bfd(), "warning", "3784"),
    Case("bfd_no_answer", "detection", bfd(rejected=WRONG_KEY, refused_lately=False), "warning"),
    Case(
        "bfd_disbelieved", "detection", bfd(up=False, disbelieved="its BGP session"), "warning", "BGP session"
    ),
    Case("bfd_down", "detection", bfd(up=False, reason="no packet for 150 ms"), words="150 ms, though"),
    Case("probe_no_reply", "detection", probe(up=None), "warning", "900 probes"),
    Case("probe_disbelieved", "detection", probe(disbelieved="its BGP session"), "warning", "in a row"),
    Case("probe_down", "detection", probe(), words="in a row"),
)
