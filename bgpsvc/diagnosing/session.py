"""Layer `bgp`: why a session is not established. Pure.

What both sides said last (NOTIFICATION, RFC 4271 4.5 and 6) is better evidence than any probe as long as it
is about OPEN: then TCP works. Otherwise the answer to a SYN decides: a reset, silence, or an open port
behind which nobody speaks. Silence has four causes, told apart by what else is known: nothing passes the
tunnel at all, TCP MD5 signatures do not fit (RFC 2385: the kernel drops such segments without a word, and
counts them), TTL security, or a filter.
"""

from __future__ import annotations

import re

from bgpsvc.diagnosing.codes import check, ok
from bgpsvc.diagnosing.evidence import Bgp, BgpError, Evidence
from bgpsvc.diagnosis import Check, Fact

HEADER_ERROR, OPEN_ERROR, HOLD_TIMER, FSM_ERROR, CEASE = 1, 2, 4, 5, 6
NOT_SYNCHRONIZED = 1
BAD_PEER_AS = 2
MAXIMUM_PREFIXES = 1
LASTING = 600.0
"""Seconds for which an error about OPEN explains a session that is down: peers wait minutes before the
next."""
CEASES = {
    1: "maximum number of prefixes reached",
    2: "administrative shutdown",
    3: "peer de-configured",
    4: "administrative reset",
    5: "connection rejected",
    6: "other configuration change",
    7: "connection collision resolution",
    8: "out of resources",
    9: "hard reset",
    10: "BFD down",
}
"""RFC 4486 4, RFC 8538 3, RFC 9384 3."""
_NO_OPEN = "waited for open too long"
"""ExaBGP's words to a peer that took its connection and sent no OPEN. They go out as the header error
"connection not synchronized", which alone would mean a broken marker (RFC 4271 6.1)."""
_RECEIVED_ASN = re.compile(r"ASN in OPEN \((\d+)\)")


def bgp(e: Evidence) -> Check:
    """The BGP session."""
    session = e.bgp
    if session is None:
        return check("bgp", "skipped", "bgp_off", "the connection does not use BGP")
    if session.established:
        age = f" for {_age(e.now - session.since)}"
        return ok("bgp", f"the session with AS {session.peer_asn} is established{age}", *_facts(e, session))
    if session.port_taken_by is not None:
        return check(
            "bgp",
            "failed",
            "bgp_port_taken",
            f"TCP port 179 at {e.inside_local} is held by another program ({session.port_taken_by}), so the "
            "BGP speaker of this machine cannot run",
            f"Stop it, or have it listen at other addresses than {e.inside_local} and 0.0.0.0 (FRR: `bgpd "
            "-l ADDRESS`, BIRD: `strict bind yes`). The speaker is started again by itself.",
            *_facts(e, session),
        )
    if session.speaker is not None:
        return check(
            "bgp",
            "failed",
            "speaker_down",
            f"the BGP speaker of this machine does not run: {session.speaker}",
            "It is started again by itself; the daemon's log says why it ended.",
            *_facts(e, session),
        )
    note = session.notification
    if note is not None and note.code == OPEN_ERROR and e.now - note.time < LASTING:
        return _about_open(e, session, note)
    if note is not None and _ceased(note) and e.now - note.time < LASTING and _answers(session):
        return _conversation(e, session)  # a peer that switches a session off may stop listening, too
    return _transport(e, session) or _conversation(e, session)


def _ceased(note: BgpError) -> bool:
    return note.code == CEASE and note.sent is False


def _answers(session: Bgp) -> bool:
    return session.tcp is not None and session.tcp.answer in ("open", "refused")


def _about_open(e: Evidence, session: Bgp, note: BgpError) -> Check:
    if note.subcode != BAD_PEER_AS:
        who = "this side refused the peer's OPEN" if note.sent else "the peer refused our OPEN"
        return check(
            "bgp",
            "failed",
            "bgp_open_refused",
            f"{who}: {note.text}",
            "Compare hold time, router id and capabilities of both sides; the peer's log has the details.",
            *_facts(e, session),
        )
    if not note.sent:
        return check(
            "bgp",
            "failed",
            "bgp_wrong_local_asn",
            f"the peer expects another ASN than {session.local_asn} of us",
            f"Set the peer's remote ASN for {e.inside_local} to {session.local_asn}, or the connection's "
            "`local_asn` to what the peer expects.",
            Fact("our ASN", local=str(session.local_asn), remote="expects another one"),
            *_facts(e, session),
        )
    found = _RECEIVED_ASN.search(note.text)
    received = None if found is None else found[1]
    return check(
        "bgp",
        "failed",
        "bgp_wrong_asn",
        f"the peer has ASN {received or 'unknown'}, the customer gateway says {session.peer_asn}",
        f"Set the ASN of the customer gateway to {received or 'that of the peer'}, or the peer's own ASN to "
        f"{session.peer_asn}.",
        Fact("ASN of the peer", local=f"{session.peer_asn} (configured)", remote=received),
        *_facts(e, session),
    )


# The transport --------------------------------------------------------------------------------


def _transport(e: Evidence, session: Bgp) -> Check | None:
    """What the answer to a SYN says; None if the port is open."""
    tcp = session.tcp
    if _too_far(session) is not None:
        return _ttl(e, session)
    if tcp is None or tcp.answer in ("open", "failed"):
        return None
    if tcp.answer == "refused":
        return check(
            "bgp",
            "failed",
            "bgp_refused",
            f"{e.inside_peer} refuses TCP connections to port 179",
            f"Start BGP at the peer with {e.inside_local} as a neighbour; a firewall there may also reject "
            "it.",
            *_facts(e, session),
        )
    if tcp.answer == "unreachable":
        return check(
            "bgp",
            "failed",
            "bgp_unreachable",
            f"{e.inside_peer} cannot be reached: {tcp.detail}",
            f"Does the peer have the address {e.inside_peer} inside the tunnel, and no firewall that rejects "
            "TCP port 179?",
            *_facts(e, session),
        )
    return _silence(e, session)


def _silence(e: Evidence, session: Bgp) -> Check:
    plain_open = session.password and session.plain is not None and session.plain.answer == "open"
    if plain_open or session.calls == ("unsigned" if session.password else "signed"):
        return _md5(e, session)
    if session.password and session.calls == "signed":
        return _md5(e, session)
    if e.echoes is not None and e.echoes.error is None and not e.echoes.replies:
        return check(
            "bgp",
            "failed",
            "bgp_no_path",
            f"nothing returns from {e.inside_peer}: neither TCP port 179 nor echo requests are answered",
            f"Does the peer have {e.inside_peer} inside this tunnel and a route back to {e.inside_local}? "
            "ESP or UDP 4500 may be blocked in one direction, or a firewall at the peer drop what the tunnel "
            "brings.",
            *_facts(e, session),
        )
    password = (
        "A peer with another TCP MD5 password, or with one where the other side has none, does not answer "
        "either, and was not heard to call."
    )
    return check(
        "bgp",
        "failed",
        "bgp_filtered",
        f"{e.inside_peer} does not answer on TCP port 179",
        f"Let TCP port 179 from {e.inside_local} pass at the peer (firewall, control-plane policy). "
        f"{password}",
        *_facts(e, session),
    )


def _md5(e: Evidence, session: Bgp) -> Check:
    if not session.password:
        summary = "the peer signs with a TCP MD5 password, and this side has none"
        remedy = "Set `bgp.password` of the tunnel to the peer's, or remove it there."
    elif session.calls == "signed":
        summary = "the TCP MD5 passwords differ"
        remedy = "Give both sides the same `bgp.password`."
    else:
        summary = "this side signs with a TCP MD5 password, and the peer has none"
        remedy = "Give the peer's session the same password, or remove `bgp.password` here."
    theirs = {"unsigned": "none", "signed": "set"}.get(session.calls or "")
    counted = session.md5
    return check(
        "bgp",
        "failed",
        "bgp_md5_mismatch",
        summary,
        remedy,
        Fact("TCP MD5 password", local="set" if session.password else "none", remote=theirs),
        Fact(
            "segments that the kernel refused",
            f"{counted.wrong} wrongly signed, {counted.missing} not signed, {counted.unexpected} signed "
            "without need (all sessions of this machine)",
        ),
        *_facts(e, session),
    )


def _too_far(session: Bgp) -> int | None:
    """The TTL of the peer's packets, if TTL security drops them. A port may answer with another than its
    daemon."""
    if session.min_ttl is None:
        return None
    ttls = [session.calls_ttl, None if session.tcp is None else session.tcp.ttl]
    return next((ttl for ttl in ttls if ttl is not None and ttl < session.min_ttl), None)


def _ttl(e: Evidence, session: Bgp) -> Check:
    ttl = _too_far(session)
    return check(
        "bgp",
        "failed",
        "bgp_ttl_security",
        f"the peer's packets arrive with TTL {ttl}, TTL security wants {session.min_ttl} or more",
        "Set TTL security at the peer too, so that it sends with TTL 255, or remove `bgp.ttl_security` here.",
        Fact("TTL", local=f"{session.min_ttl} or more", remote=str(ttl)),
        *_facts(e, session),
    )


# The conversation -----------------------------------------------------------------------------


def _conversation(e: Evidence, session: Bgp) -> Check:
    """TCP works: what was said, or not."""
    note = session.notification
    if note is not None and note.code == CEASE and note.sent and note.subcode != MAXIMUM_PREFIXES:
        note = None  # our own doing, after which the session comes back
    if note is not None and note.code == HOLD_TIMER:
        who = "this side heard nothing" if note.sent else "the peer heard nothing from us"
        return check(
            "bgp",
            "failed",
            "bgp_hold_timer_expired",
            f"the hold timer expired: {who} for the whole hold time of {session.hold_time} s",
            "The peer's BGP process hangs or is overloaded, or large packets do not pass (see the layer "
            "mtu).",
            *_facts(e, session),
        )
    listens = session.tcp is not None and session.tcp.answer == "open"
    if note is not None and _ceased(note) and session.passive and listens:
        return _without_a_word(e, session)  # it is back since, and nobody calls
    if note is not None and _ceased(note):
        why = CEASES.get(note.subcode or 0, "without a reason")
        return check(
            "bgp",
            "failed",
            "bgp_closed_by_peer",
            f"the peer ended the session: {why}",
            _cease_remedy(note.subcode),
            *_facts(e, session),
        )
    if note is not None and not _about_silence(note):
        return check(
            "bgp",
            "failed",
            "bgp_notification",
            f"the session ended: {note.text}",
            "Read the logs of both sides at that time.",
            *_facts(e, session),
        )
    return _without_a_word(e, session)


def _about_silence(note: BgpError) -> bool:
    """It only says that the peer said nothing: what a probe finds now tells more."""
    if note.code == FSM_ERROR:
        return True
    unsynchronized = (note.code, note.subcode) == (HEADER_ERROR, NOT_SYNCHRONIZED)
    return unsynchronized and note.sent is True and _NO_OPEN in note.text


def _without_a_word(e: Evidence, session: Bgp) -> Check:
    if session.passive:
        return check(
            "bgp",
            "failed",
            "bgp_passive",
            "this side waits for the peer to connect (`bgp.passive`), and it does not",
            "Only one side may be passive: have the peer connect, or remove `bgp.passive` here.",
            *_facts(e, session),
        )
    tcp = session.tcp
    if tcp is not None and tcp.answer == "open":
        return check(
            "bgp",
            "failed",
            "bgp_peer_silent",
            f"{e.inside_peer} takes TCP connections to port 179, and no session comes of them",
            f"Is {e.inside_local} a neighbour at the peer, with source address {e.inside_peer}? A peer that "
            "just refused a session may wait minutes before the next attempt. Its log says more.",
            *_facts(e, session),
        )
    last = session.last_error
    return check(
        "bgp",
        "failed",
        "bgp_not_established",
        "the session is not established" + ("" if last is None else f": {last.text}"),
        "Read the logs of both sides.",
        *_facts(e, session),
    )


def _cease_remedy(subcode: int | None) -> str:
    if subcode == 1:
        return "The peer limits how many prefixes it takes from us: advertise less, or raise its limit."
    if subcode in (2, 3):
        return "The session is switched off or removed at the peer: switch it on there."
    return "The peer's log says why; it may take a moment until it lets the session come back."


def _facts(e: Evidence, session: Bgp) -> tuple[Fact | None, ...]:
    tcp = session.tcp
    note, last = session.notification, session.last_error
    if session.established:
        last = None  # of a former life
    return (
        Fact("address", local=e.inside_local, remote=e.inside_peer),
        Fact("state", session.state.value),
        None if tcp is None else Fact("SYN to TCP port 179", tcp.detail),
        None if note is None else Fact("last NOTIFICATION", f"{note.text}, {_age(e.now - note.time)} ago"),
        None
        if last is None or (note is not None and last.text == note.text)
        else Fact("last error", f"{last.text}, {_age(e.now - last.time)} ago"),
    )


def _age(seconds: float) -> str:
    whole = max(0, int(seconds))
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole // 3600} h"
