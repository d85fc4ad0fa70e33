"""Layers `interface`, `data_path` and `mtu`: the tunnel's interface, and what passes through it. Pure."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from bgpsvc.diagnosing.codes import check, ok
from bgpsvc.diagnosing.evidence import Echoes, Evidence
from bgpsvc.diagnosis import Check, Fact


def interface(e: Evidence) -> Check:
    """The interface, its addresses and its MTU."""
    link = e.link
    if link is None:
        remedy = (
            "Whoever makes the interface must make it, or the tunnel's `interface` be corrected."
            if not e.made
            else "The daemon makes it again by itself; if it does not, its log says why."
        )
        return check(
            "interface", "failed", "interface_missing", f"there is no interface {e.interface}", remedy
        )
    if not link.up:
        return check(
            "interface",
            "failed",
            "interface_down",
            f"the interface {e.interface} is down",
            f"`ip link set {e.interface} up`; if it has no carrier, look at the other end.",
        )
    missing = [text for text in e.inside_addresses if text not in link.addresses]
    if missing:
        return _missing(e, missing)
    if e.mtu is not None and link.mtu != e.mtu:
        return check(
            "interface",
            "warning",
            "interface_mtu_differs",
            f"the interface {e.interface} has an MTU of {link.mtu} bytes instead of {e.mtu}",
            f"`ip link set {e.interface} mtu {e.mtu}`, or set the tunnel's `mtu`.",
            Fact("MTU", f"{link.mtu} instead of {e.mtu}"),
        )
    return ok("interface", f"{e.interface} is up, MTU {link.mtu}", *_addresses(e))


def _missing(e: Evidence, missing: list[str]) -> Check:
    hosts = {text.partition("/")[0]: text for text in missing}
    for address, other in e.elsewhere:
        if address in hosts:
            return check(
                "interface",
                "failed",
                "interface_address_elsewhere",
                f"{other} has the tunnel's address {address}, not {e.interface}",
                f"Remove {address} from {other} (`ip address del {hosts[address]} dev {other}`) and give it "
                f"to {e.interface}.",
                *_addresses(e),
                Fact("interface with the address", other),
            )
    return check(
        "interface",
        "failed",
        "interface_address_missing",
        f"the interface {e.interface} lacks {', '.join(missing)}",
        f"`ip address add {missing[0]} dev {e.interface}`",
        *_addresses(e),
    )


def _addresses(e: Evidence) -> tuple[Fact, ...]:
    assert e.link is not None
    return (
        Fact("addresses it must have", ", ".join(e.inside_addresses) or "none"),
        Fact("addresses it has", ", ".join(e.link.addresses) or "none"),
    )


def data_path(e: Evidence) -> Check:
    """Echo requests through the tunnel."""
    if e.inside_peer is None or e.inside_local is None:
        return check(
            "data_path", "skipped", "no_inside_addresses", "the tunnel has no inside addresses to ask"
        )
    if not inside_selected(e):
        return check(
            "data_path",
            "skipped",
            "inside_not_selected",
            f"the traffic selectors do not let {e.inside_local} and {e.inside_peer} through",
        )
    echoes = e.echoes
    if echoes is None or echoes.error is not None:
        why = "" if echoes is None else f": {echoes.error}"
        text = f"no echo request could be sent over {e.interface}{why}"
        return check("data_path", "unknown", "echo_not_sent", text)
    facts = (*_counted(e, echoes),)
    if echoes.replies == echoes.requests:
        took = "" if echoes.seconds is None else f" in {echoes.seconds * 1000:.2f} ms"
        return ok("data_path", f"{e.inside_peer} replies{took}", *facts)
    if echoes.replies:
        return check(
            "data_path",
            "warning",
            "some_lost",
            f"{echoes.requests - echoes.replies} of {echoes.requests} echo requests were not answered",
            "Look for loss between the public addresses, and for a limit on ICMP at the peer.",
            *facts,
        )
    if e.bgp is not None and e.bgp.established:
        return check(
            "data_path",
            "warning",
            "echo_filtered",
            f"{e.inside_peer} does not answer echo requests, though its BGP messages arrive",
            "Let the peer answer ICMP echo requests inside the tunnel, if you want it to be watched so; look "
            "at its firewall if other traffic does not pass either.",
            *facts,
        )
    if e.bgp is None and e.made and _arrived(echoes):
        return check(
            "data_path",
            "warning",
            "echo_filtered",
            f"{e.inside_peer} does not answer echo requests, though packets arrive through the tunnel",
            f"Does the peer have the address {e.inside_peer}, and answer echo requests inside the tunnel? "
            "Without both only traffic tells whether both directions pass.",
            *facts,
        )
    return check(
        "data_path",
        "failed",
        "no_reply",
        f"requests leave over {e.interface} and nothing returns from {e.inside_peer}",
        f"At the peer: do packets arrive in the tunnel (its SA's counters), does it have the address "
        f"{e.inside_peer}, a route back to {e.inside_local} through this tunnel, and no firewall between? "
        "ESP or UDP 4500 may be blocked in one direction.",
        *facts,
    )


def inside_selected(e: Evidence) -> bool:
    """Whether packets between the inside addresses may pass; without BGP interesting traffic has others."""
    if e.ike is None or e.inside_local is None or e.inside_peer is None:
        return True
    local, peer = ip_address(e.inside_local), ip_address(e.inside_peer)
    return any(local in ip_network(ours) and peer in ip_network(theirs) for ours, theirs in e.ike.pairs)


def _arrived(echoes: Echoes) -> bool:
    before, after = echoes.before, echoes.after
    return before is not None and after is not None and after.received > before.received


def _counted(e: Evidence, echoes: Echoes) -> tuple[Fact, ...]:
    facts = [Fact("echo requests", f"{echoes.requests} sent, {echoes.replies} answered")]
    if echoes.before is not None and echoes.after is not None:
        sent = echoes.after.sent - echoes.before.sent
        received = echoes.after.received - echoes.before.received
        facts.append(Fact(f"packets on {e.interface} meanwhile", f"{sent} out, {received} in"))
    ike = None if e.ipsec is None else e.ipsec.ike
    for child in () if ike is None else ike.children:
        facts.append(Fact("packets of the SA so far", f"{child.packets_out} out, {child.packets_in} in"))
    return tuple(facts)


def mtu(e: Evidence) -> Check:
    """The largest packet that passes; asked for where echo requests are answered."""
    largest, link = e.largest, e.link
    if largest is None or link is None or largest.size is None:
        return check("mtu", "unknown", "mtu_unknown", "the largest packet is not known: none was answered")
    facts = (Fact("MTU of the interface", str(link.mtu)), Fact("largest packet answered", str(largest.size)))
    if largest.size >= link.mtu:
        return ok("mtu", f"packets of {link.mtu} bytes pass", *facts)
    return check(
        "mtu",
        "failed",
        "mtu_too_large",
        f"packets of more than {largest.size} bytes do not pass, though {e.interface} takes {link.mtu}",
        f"Set the tunnel's `mtu` to {largest.size}, or raise the MTU of the path between the public "
        "addresses; a firewall that drops ICMP `fragmentation needed` or fragments may be the cause.",
        *facts,
    )
