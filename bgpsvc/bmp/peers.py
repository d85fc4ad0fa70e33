"""Who is told of: sessions and Loc-RIBs as BMP presents them, and why a session went down.

Every peer belongs to an instance, its VPN gateway, and is a Local Instance Peer (RFC 7854 4.2) whose
distinguisher is the number of the VPC's route table: unique in a daemon, the same after a restart, and what
`ip route show table` takes. So addresses that several gateways have in common stay apart.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from bgpsvc.bgp_message import MessageType, message
from bgpsvc.bmp.wire import TCP_CONNECTION_FAILS, DownReason, Opened, Peer, PeerType, open_message
from bgpsvc.events import Negotiated, OpenMessages, SessionDown
from bgpsvc.gateway import Gateway
from bgpsvc.model import Family, parse_address
from bgpsvc.session import Session, SessionSettings
from bgpsvc.tap import REMOVED

_IDENTIFIER = slice(24, 28)
"""Where an OPEN has the BGP Identifier (RFC 4271 4.1, 4.2)."""
BGP_PORT = 179
_NOBODY = bytes(4)


def peer_of(session: Session, gateway: Gateway) -> Peer:
    """The peer of a session that is Established."""
    settings, negotiated = session.settings, session.negotiated
    asn = settings.peer_asn
    if negotiated is not None and negotiated.peer_asn is not None:
        asn = negotiated.peer_asn
    return Peer(
        PeerType.LOCAL,
        gateway.vpc.route_table,
        settings.peer_address,
        asn,
        opens_of(session, gateway).received[_IDENTIFIER],
        negotiated is None or negotiated.asn4,
    )


def opened_of(session: Session, gateway: Gateway) -> Opened:
    """What Peer Up says of a session."""
    opens = opens_of(session, gateway)
    return Opened(
        session.settings.local_address,
        opens.local_port,
        opens.peer_port,
        opens.sent,
        opens.received,
        name=session.id,
    )


def opens_of(session: Session, gateway: Gateway) -> OpenMessages:
    """Both OPENs as they were on the wire.

    Of a speaker that an earlier version of the daemon started, which does not tell them, what was negotiated:
    the families, AS numbers of four octets and the hold time, and nothing else. Its ports are 0.
    """
    if session.opens is not None:
        return session.opens
    settings = session.settings
    negotiated = session.negotiated or Negotiated(settings.hold_time, settings.families)
    identifier = _NOBODY if negotiated.peer_router_id is None else parse_address(negotiated.peer_router_id)
    own = parse_address(str(gateway.config.bgp_identifier))
    return OpenMessages(
        open_message(settings.local_asn, own, settings.hold_time, negotiated.families),
        open_message(settings.peer_asn, identifier, negotiated.hold_time, negotiated.families),
        0,
        0,
    )


def families_of(settings: Iterable[SessionSettings]) -> frozenset[Family]:
    """The families that routes of a gateway can have."""
    return frozenset(family for setting in settings for family in setting.families)


def loc_rib_of(gateway: Gateway, asn: int) -> Peer:
    """The Loc-RIB of a gateway (RFC 9069 4.1)."""
    identifier = parse_address(str(gateway.config.bgp_identifier))
    return Peer(PeerType.LOC_RIB, gateway.vpc.route_table, _NOBODY, asn, identifier)


def loc_rib_opened(gateway: Gateway, peer: Peer, families: Iterable[Family]) -> Opened:
    """What Peer Up says of a Loc-RIB: OPENs made up to name capabilities, as RFC 9069 5.2 has it."""
    made = open_message(peer.asn, peer.bgp_identifier, 0, families)
    return Opened(_NOBODY, 0, 0, made, made, table=gateway.name)


def why_down(event: SessionDown) -> tuple[DownReason, bytes]:
    """The reason of a Peer Down and the data behind it (RFC 7854 4.9)."""
    note = event.notification
    if note is not None:
        told = note.message or message(MessageType.NOTIFICATION, bytes((note.code, note.subcode)))
        return DownReason.LOCAL_NOTIFICATION if note.sent else DownReason.REMOTE_NOTIFICATION, told
    if event.reason == REMOVED:
        return DownReason.DECONFIGURED, b""
    if event.reason.endswith("closed by the remote end"):
        return DownReason.REMOTE, b""
    # The connection broke, or we or our speaker ended it without a word; the latter is no event of the FSM.
    broke = event.reason.startswith("closing connection")
    return DownReason.LOCAL, struct.pack("!H", TCP_CONNECTION_FAILS if broke else 0)
