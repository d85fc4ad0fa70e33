"""Layers `address` and `udp`: do packets reach the peer's public address, and does it speak IKE. Pure.

An established IKE SA proves both. Without one the probes speak: a router's ICMP error (RFC 792) is evidence,
silence of an echo request is none, as many firewalls drop them. Any answer to an IKE message counts, a
refusal too (RFC 7296 2.21.1): whoever refuses is there.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from bgpsvc.diagnosing.codes import check, ok
from bgpsvc.diagnosing.evidence import Evidence, Reply, Way
from bgpsvc.diagnosis import Check, Fact
from bgpsvc.ipsec.model import Cause

HEARD = frozenset(
    {
        Cause.AUTHENTICATION_FAILED,
        Cause.ID_MISMATCH,
        Cause.IKE_PROPOSAL_MISMATCH,
        Cause.ESP_PROPOSAL_MISMATCH,
        Cause.PFS_MISMATCH,
        Cause.SELECTOR_MISMATCH,
    }
)
"""Errors that only an answer of the peer can lead to."""
_INSIDE = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")))
"""Addresses that a NAT translates (RFC 1918, RFC 6598)."""
RECENT = 60.0
"""Seconds for which such an answer says something about now; a failed attempt is repeated more often."""


def ike_established(e: Evidence) -> bool:
    """Both sides have authenticated each other."""
    return e.ipsec is not None and e.ipsec.ike is not None and e.ipsec.ike.established


def esp_established(e: Evidence) -> bool:
    """An SA pair carries packets."""
    ike = None if e.ipsec is None else e.ipsec.ike
    return ike is not None and any(child.established for child in ike.children)


def _heard(e: Evidence) -> bool:
    """The peer answered a negotiation lately."""
    error = None if e.ipsec is None else e.ipsec.last_error
    return error is not None and error.cause in HEARD and e.now - error.time < RECENT


def address(e: Evidence) -> Check:
    """Our public address, the route to the peer, and what is said about its address."""
    way = e.way
    if ike_established(e):
        return ok("address", f"{e.local} reaches {e.remote}: the IKE SA is up", *_way_facts(e, way))
    if way is None:
        return check("address", "unknown", "ok", "the address was not examined")
    if not way.local_present and not behind_nat(e.local, way):
        return _local_missing(e, way)
    if way.error is not None:
        return check(
            "address",
            "failed",
            "no_route_to_peer",
            f"there is no route from {e.local} to {e.remote}: {way.error}",
            f"Add a route to {e.remote} (`ip route get {e.remote} from {e.local}` must name one), or correct "
            "the address of the customer gateway.",
            *_way_facts(e, way),
        )
    said = None if _heard(e) else _unreachable(e.udp500, e.udp4500, way.echo)
    if said is not None and said.detail != "port unreachable":
        by = f" ({said.by} says so)" if said.by else ""
        return check(
            "address",
            "failed",
            "peer_unreachable",
            f"{e.remote} cannot be reached: {said.detail}{by}",
            f"Look at the route to {e.remote} and at the machine that reports it; is {e.remote} up, and the "
            "address of the customer gateway right?",
            *_way_facts(e, way),
        )
    if not way.local_present:
        return _translated(e, way)
    return ok("address", f"{e.local} has a route to {e.remote}", *_way_facts(e, way))


def _local_missing(e: Evidence, way: Way) -> Check:
    return check(
        "address",
        "failed",
        "local_address_missing",
        f"the gateway's public address {e.local} is not on this machine",
        f"Put {e.local} on an interface (`ip address add {e.local}/32 dev …`), or correct the addresses of "
        "the VPN gateway.",
        *_way_facts(e, way),
    )


def _translated(e: Evidence, way: Way) -> Check:
    return check(
        "address",
        "warning",
        "local_address_missing",
        f"the gateway's public address {e.local} is not on this machine, {way.source} takes its place",
        f"That is right if a NAT on the way translates {way.source} to {e.local}. If there is none, put "
        f"{e.local} on an interface (`ip address add {e.local}/32 dev …`), or correct the addresses of "
        "the VPN gateway.",
        *_way_facts(e, way),
    )


def behind_nat(local: str, way: Way) -> bool:
    """Whether it looks as if a NAT translated the address that this machine has to our public one."""
    if way.local_present or way.source is None or way.error is not None:
        return False
    return _is_inside(way.source) and not _is_inside(local)


def _is_inside(address: str) -> bool:
    return any(ip_address(address) in network for network in _INSIDE)


def _way_facts(e: Evidence, way: Way | None) -> tuple[Fact | None, ...]:
    facts: list[Fact | None] = [Fact("public address", local=e.local, remote=e.remote)]
    if way is None:
        return tuple(facts)
    if not way.local_present:
        facts.append(Fact("public address on this machine", "no"))
    if way.interface is not None:
        via = f" via {way.gateway}" if way.gateway else ""
        facts.append(Fact("route to the peer", f"{way.interface}{via}, source {way.source or 'unknown'}"))
    if way.echo is not None:
        words = _echo_words(way.echo)
        facts.append(Fact("echo request to the public address", words))
    return tuple(facts)


def _echo_words(echo: Reply) -> str:
    if echo.answer == "silent":
        return "not answered, which alone means nothing: many peers drop them"
    return echo.detail


def _unreachable(*replies: Reply | None) -> Reply | None:
    """An ICMP error, unless the peer answered another probe."""
    if any(reply is not None and reply.answer == "answered" for reply in replies):
        return None
    return next((r for r in replies if r is not None and r.answer == "unreachable"), None)


def udp(e: Evidence) -> Check:
    """UDP 500 and 4500 of the peer."""
    if ike_established(e):
        assert e.ipsec is not None
        assert e.ipsec.ike is not None
        port = e.ipsec.ike.remote_port
        return ok("udp", f"IKE passes on UDP {port}: the IKE SA is up")
    facts = (*_ports(e), _last_ike_error(e))
    if _heard(e):
        return ok("udp", "the peer answered the last negotiation", *facts)
    probes = [(500, e.udp500), (4500, e.udp4500)]
    asked = [(port, reply) for port, reply in probes if reply is not None]
    if not asked:
        return check("udp", "unknown", "udp_not_probed", "UDP 500 and 4500 were not probed", None, *facts)
    if all(reply.answer == "answered" for _, reply in asked):
        return ok("udp", f"IKE is answered on UDP {' and '.join(str(port) for port, _ in asked)}", *facts)
    for port, reply in asked:
        if reply.answer == "unreachable" and reply.detail == "port unreachable":
            return _nobody_listens(e, port, facts)
    return _silent(e, facts)


def _nobody_listens(e: Evidence, port: int, facts: tuple[Fact | None, ...]) -> Check:
    return check(
        "udp",
        "failed",
        "udp_port_unreachable",
        f"{e.remote} answers that nobody listens on UDP {port}",
        f"Start the IKE daemon of {e.remote}, or let a firewall there that rejects UDP {port} from {e.local} "
        "pass it; is the address that of the VPN device?",
        *facts,
    )


def _silent(e: Evidence, facts: tuple[Fact | None, ...]) -> Check:
    heard500 = e.udp500 is not None and e.udp500.answer == "answered"
    heard4500 = e.udp4500 is not None and e.udp4500.answer == "answered"
    failed = next((r for r in (e.udp500, e.udp4500) if r is not None and r.answer == "failed"), None)
    if failed is not None:
        return check("udp", "unknown", "udp_not_probed", f"the probe failed: {failed.detail}", None, *facts)
    if heard500:
        code, summary, port = "udp_4500_no_answer", "IKE is answered on UDP 500, but not on 4500", "4500"
    elif heard4500:
        code, summary, port = "udp_500_no_answer", "IKE is answered on UDP 4500, but not on 500", "500"
    else:
        ports = "500 and 4500" if e.udp4500 is not None else "500"
        code, summary, port = "udp_no_answer", f"{e.remote} does not answer IKE on UDP {ports}", ports
    return check(
        "udp",
        "failed",
        code,
        summary,
        f"Let UDP {port} pass in both directions between {e.local} and {e.remote} on every firewall and "
        f"security group between them; the peer must accept IKE from {e.local}.",
        *facts,
    )


def _ports(e: Evidence) -> tuple[Fact | None, ...]:
    return tuple(
        None if reply is None else Fact(f"IKE probe to UDP {port}", reply.detail)
        for port, reply in ((500, e.udp500), (4500, e.udp4500))
    )


def _last_ike_error(e: Evidence) -> Fact | None:
    error = None if e.ipsec is None else e.ipsec.last_error
    return None if error is None else Fact("last error of the negotiation", error.text)
