"""The text that AWS's console gives for the vendor *Generic*: numbered sections of lines `- Name : value`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bgpsvc.importing.algorithms import Chooser
from bgpsvc.importing.model import Bgp, FoundConnection, FoundTunnel, Inside, Phase
from bgpsvc.importing.nodes import Node
from bgpsvc.importing.notes import Notes, refused

_TUNNEL = re.compile(r"^\s*IPSec Tunnel #(\d+)\s*$", re.IGNORECASE | re.MULTILINE)
_SECTION = re.compile(r"^\s*#(\d): ")
_LINE = re.compile(r"^\s*(?:-\s*)?([A-Za-z][A-Za-z0-9' /()-]*?)\s*:\s+(\S.*?)\s*$")
_IKE, _IPSEC, _INTERFACE, _ROUTING = "1", "2", "3", "4"
_OURS, _THEIRS = "Customer Gateway", "Virtual Private Gateway"


def is_one(text: str) -> bool:
    """True for such a text."""
    return "Amazon Web Services" in text and "Outside IP Addresses" in text and bool(_TUNNEL.search(text))


def read(text: str, notes: Notes) -> FoundConnection:
    """The connection that the text describes. Raises Refused."""
    starts = [match.start() for match in _TUNNEL.finditer(text)]
    parts = [text[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]
    name = re.search(r"VPN Connection ID\s*:\s*(\S+)", text[: starts[0]])
    if name is None:
        raise refused("", "has no line `Your VPN Connection ID`: its beginning is missing", "the whole file")
    tunnels = tuple(_tunnel(Node(_lines(part), f"tunnel {n}"), notes) for n, part in enumerate(parts, 1))
    return FoundConnection(
        name=name[1],
        where=name[1],
        tunnels=tunnels,
        bgp=any(tunnel.bgp is not None for tunnel in tunnels),
    )


def _lines(part: str) -> dict[str, object]:
    """The lines of a tunnel by section; outside and inside addresses stand in sections of their own."""
    found: dict[str, dict[str, object]] = {}
    for section, key, value in _numbered(part):
        of = found.setdefault(section, {})
        if key in of:
            raise refused(f"section {section}", f"{key} is there twice", "once in each tunnel")
        of[key] = value
    return dict(found)


def _numbered(part: str) -> Iterator[tuple[str, str, str]]:
    section, addresses = "", ""
    for line in part.splitlines():
        begins = _SECTION.match(line)
        if begins:
            section, addresses = f"#{begins[1]}", ""
            continue
        if re.match(r"^\s*(Outside|Inside) IP Addresses", line):
            addresses = " outside" if "Outside" in line else " inside"
            continue
        match = _LINE.match(line)
        # Sentences that end in a colon, or have one, are no settings: these begin with a dash.
        if match and section and line.lstrip().startswith("-"):
            key = re.sub(r"\s+", " ", match[1])
            yield section + (addresses if key in (_OURS, _THEIRS) else ""), key, match[2]


def _tunnel(node: Node, notes: Notes) -> FoundTunnel:
    ike, ipsec = node.need(f"#{_IKE}"), node.need(f"#{_IPSEC}")
    outside = node.need(f"#{_INTERFACE} outside")
    key, version = ike.get("Pre-Shared Key"), ike.get("IKE version")
    gateway = outside.need(_THEIRS).address()
    if version is None:
        notes.warn(ike.where, "does not say the IKE version: ikev1 is taken, which such texts were made for")
    return FoundTunnel(
        name=str(gateway),
        where=node.where,
        gateway=gateway,
        device=outside.need(_OURS).address(),
        version="ikev1" if version is None else version.text().lower(),
        mode=_word(ike, "Phase 1 Negotiation Mode") or "main",
        ike=_phase(ike, "Diffie-Hellman", notes),
        ipsec=_phase(ipsec, "Perfect Forward Secrecy", notes),
        key=None if key is None else key.text(),
        dpd=_dpd(ipsec),
        inside=_inside(node),
        bgp=_bgp(node),
    )


def _word(node: Node, key: str) -> str | None:
    found = node.get(key)
    return None if found is None else found.text().lower()


def _phase(node: Node, group: str, notes: Notes) -> Phase:
    choose = Chooser(notes, node.where)
    named = [node.need(group).text()]
    seconds = node.need("Lifetime")
    return Phase(
        choose.encryption([node.need("Encryption Algorithm").text()]),
        choose.authentication([node.need("Authentication Algorithm").text()]),
        choose.group(named) if group == "Diffie-Hellman" else choose.pfs(named),
        Node(seconds.text().removesuffix("seconds"), seconds.where).whole(),
    )


def _dpd(ipsec: Node) -> int | None:
    interval, retries = ipsec.get("DPD Interval"), ipsec.get("DPD Retries")
    return None if interval is None or retries is None else interval.whole() * retries.whole()


def _inside(node: Node) -> Inside | None:
    inside = node.get(f"#{_INTERFACE} inside")
    if inside is None:
        return None
    device, gateway = inside.need(_OURS).interface(), inside.need(_THEIRS).interface()
    return Inside(device.network, device.ip, gateway.ip)


def _bgp(node: Node) -> Bgp | None:
    section = node.get(f"#{_ROUTING}")
    ours = None if section is None else section.get(f"{_OURS} ASN")
    if section is None or ours is None:
        return None
    hold = section.get("Neighbor Hold Time")
    asn = section.need(f"{_THEIRS} ASN").whole()
    return Bgp(ours.whole(), asn, None if hold is None else hold.whole())
