"""Layer `detection`: do BFD and the probe of the peer, where configured, watch the tunnel? Pure.

What does not watch takes nothing away: traffic flows, and a death is noticed later than it was meant to be.
So only a method that is believed to say that the path is dead is a fault; everything else is a warning.
"""

from __future__ import annotations

from bgpsvc.diagnosing.codes import check, ok
from bgpsvc.diagnosing.evidence import BfdSeen, Evidence, ProbeSeen
from bgpsvc.diagnosis import Check, Fact, Outcome

SINGLE_HOP_PORT, MULTIHOP_PORT = 3784, 4784
"""UDP (RFC 5881 4, RFC 5883 5)."""
_WORST = ("failed", "warning", "unknown", "ok")


def detection(e: Evidence) -> Check:
    """BFD and the probe; the worse of both."""
    seen = e.detection
    if seen is None:
        text = "neither BFD nor a probe watches the tunnel: a silent death is noticed by hold time and DPD"
        return check("detection", "skipped", "detection_off", text)
    if seen.guard is not None:
        return check(
            "detection",
            "warning",
            "guard_down",
            f"the guard, which watches by BFD and probes, does not run: {seen.guard}",
            "The daemon starts it again by itself; if it does not, its log says why.",
        )
    found = [_bfd(e, seen.bfd)] if seen.bfd is not None else []
    if seen.probe is not None:
        found.append(_probe(seen.probe))
    return min(found, key=lambda one: _WORST.index(one.outcome))


# BFD ----------------------------------------------------------------------------------------------


def _bfd(e: Evidence, bfd: BfdSeen) -> Check:
    facts = _bfd_facts(bfd)
    if bfd.up:
        within = "" if bfd.detection_ms is None else f": a death is noticed within {bfd.detection_ms:g} ms"
        return ok("detection", f"BFD is up{within}", *facts)
    if bfd.port_taken_by is not None:
        return check(
            "detection",
            _weight(bfd),
            "bfd_port_taken",
            f"UDP port {_port(bfd)}, on which BFD packets arrive, belongs to {bfd.port_taken_by} here",
            f"End BFD in {bfd.port_taken_by}, or run it in another network namespace: one process of a "
            "namespace can speak BFD.",
            *facts,
        )
    if bfd.status is None:
        return check("detection", "unknown", "detection_unknown", "nothing is known of BFD yet", None, *facts)
    if bfd.refused_lately and bfd.status.last_rejected is not None:
        return _refused(bfd, bfd.status.last_rejected, facts)
    if bfd.status.remote_state == "AdminDown":
        return check(
            "detection",
            "warning",
            "bfd_admin_down",
            f"{bfd.peer} has switched BFD off (AdminDown)",
            "Switch the BFD session on at the peer.",
            *facts,
        )
    if bfd.heard_lately and bfd.up is None:
        return check(
            "detection",
            "warning",
            "bfd_not_taken",
            f"the BFD packets of {bfd.peer} arrive, and ours are not taken there",
            f"At the peer: does a firewall let UDP {_port(bfd)} from {bfd.local} in, does it refuse our "
            "packets (authentication), and is its session for this address?",
            *facts,
        )
    return _silent(e, bfd, facts)


def _refused(bfd: BfdSeen, why: str, facts: tuple[Fact, ...]) -> Check:
    if "authentic" in why:
        ours = "none" if bfd.key_id is None else f"keyed SHA1, key id {bfd.key_id}"
        return check(
            "detection",
            _weight(bfd),
            "bfd_authentication_failed",
            f"the authentication of the BFD packets of {bfd.peer} does not fit: {why}",
            f"Give both sides the same: here it is {ours} (`key_id` and `key` of the tunnel's `bfd`; keyed "
            "SHA1 of RFC 5880 is the only type).",
            *facts,
        )
    return check(
        "detection",
        _weight(bfd),
        "bfd_refused",
        f"the BFD packets of {bfd.peer} are refused: {why}",
        "Have the peer use the same kind of session: over one hop (TTL 255), or `multihop` on both sides; "
        "if it restarted, its session comes up by itself.",
        *facts,
    )


def _silent(e: Evidence, bfd: BfdSeen, facts: tuple[Fact, ...]) -> Check:
    """BFD was up and is not, or never was: what that means depends on whether the engine believes it."""
    kind = "several hops" if bfd.multihop else "one hop"
    remedy = (
        f"Does the peer have a BFD session to {bfd.local} over {kind}, and do firewalls let UDP {_port(bfd)} "
        "through in both directions?"
    )
    if bfd.up is None:
        return check(
            "detection",
            "warning",
            "bfd_no_answer",
            f"{bfd.peer} does not answer BFD: it has none, or UDP port {_port(bfd)} is filtered",
            remedy,
            *facts,
        )
    if bfd.disbelieved is not None:
        return check(
            "detection",
            "warning",
            "bfd_disbelieved",
            f"BFD is down ({bfd.reason}), and is not believed: {bfd.disbelieved}",
            remedy,
            *facts,
        )
    session = (
        "" if e.bgp is None or not e.bgp.established else ", though the BGP session is still established"
    )
    return check(
        "detection",
        "failed",
        "bfd_down",
        f"BFD says that the path to {bfd.peer} is dead: {bfd.reason}{session}",
        f"Look for loss in the tunnel, and whether the peer still runs BFD. {remedy}",
        *facts,
    )


def _weight(bfd: BfdSeen) -> Outcome:
    """Whatever its cause: a BFD session that is down and believed takes the tunnel down."""
    return "failed" if bfd.up is False and bfd.disbelieved is None else "warning"


def _port(bfd: BfdSeen) -> int:
    return MULTIHOP_PORT if bfd.multihop else SINGLE_HOP_PORT


def _bfd_facts(bfd: BfdSeen) -> tuple[Fact, ...]:
    status = bfd.status
    if status is None:
        return ()
    counted = f"{status.sent} sent, {status.received} received, {status.rejected} refused"
    facts = [
        Fact("BFD state", None, status.state, status.remote_state),
        Fact("BFD diagnostic", None, status.diagnostic, status.remote_diagnostic),
        Fact("BFD packets", counted),
    ]
    if status.last_rejected is not None:
        facts.append(Fact("last BFD packet refused", status.last_rejected))
    return tuple(facts)


# The probe ----------------------------------------------------------------------------------------


def _probe(probe: ProbeSeen) -> Check:
    facts = _probe_facts(probe)
    if probe.up:
        within = (
            "" if probe.detection_ms is None else f": a death is noticed within {probe.detection_ms:g} ms"
        )
        return ok("detection", f"{probe.peer} replies to the probe{within}", *facts)
    if probe.status is None:
        return check(
            "detection", "unknown", "detection_unknown", "nothing is known of the probe yet", None, *facts
        )
    remedy = (
        f"Let {probe.peer} answer ICMP echo requests from {probe.local} inside the tunnel, one every "
        f"{probe.interval_ms} ms; a limit on ICMP at the peer, or a firewall, may be the cause."
    )
    if probe.up is None:
        return check(
            "detection",
            "warning",
            "probe_no_reply",
            f"{probe.peer} has not replied to any of {probe.status.sent} probes",
            remedy,
            *facts,
        )
    if probe.disbelieved is not None:
        return check(
            "detection",
            "warning",
            "probe_disbelieved",
            f"the probe is down ({probe.reason}), and is not believed: {probe.disbelieved}",
            remedy,
            *facts,
        )
    return check(
        "detection",
        "failed",
        "probe_down",
        f"the probe says that the path to {probe.peer} is dead: {probe.reason}",
        remedy,
        *facts,
    )


def _probe_facts(probe: ProbeSeen) -> tuple[Fact, ...]:
    status = probe.status
    if status is None:
        return ()
    return (Fact("probes", f"{status.sent} sent, {status.lost} lost, {status.lost_in_a_row} in a row"),)
