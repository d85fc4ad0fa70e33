"""Frozen values of the routing core.

A prefix is five bytes (IPv4) or seventeen (IPv6): the network address in network order, then the
length. The family follows from the size, byte order is address order, and a million of them cost
40 MB instead of the gigabyte that a million `ipaddress` objects would.

Attributes are interned: equal attribute sets are one object, so a table of a million prefixes
with a few thousand attribute sets compares them by identity.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum
from typing import NewType

Prefix = NewType("Prefix", bytes)
SessionId = NewType("SessionId", str)
"""Name of a tunnel and of its BGP session: `<connection>-tunnel1` or `<connection>-tunnel2`."""


class Family(IntEnum):
    """Address family; the unicast SAFI is implied. The values are the IP versions."""

    IPV4 = 4
    IPV6 = 6

    @property
    def label(self) -> str:
        """`ipv4` or `ipv6`, as the API spells it."""
        return f"ipv{int(self)}"


class Role(StrEnum):
    """Role of a tunnel within its connection; fixed for ever (tunnel 1 active, tunnel 2 standby)."""

    ACTIVE = "active"
    """Tunnel 1: carries the traffic while it is live."""
    STANDBY = "standby"
    """Tunnel 2: carries it while the active tunnel is not."""


class SwitchMode(StrEnum):
    """Which tunnel the operator wants a connection to use; `auto` leaves it to role and health."""

    AUTO = "auto"
    """The active tunnel while it is live, else the standby."""
    ACTIVE = "active"
    """The active tunnel; the standby only while the active one is down."""
    STANDBY = "standby"
    """The standby; the active tunnel only while the standby is down."""

    def avoids(self, role: Role) -> bool:
        """True if the operator wants tunnels of this role out of use: the other one was chosen."""
        return self is not SwitchMode.AUTO and self.value != role.value


class Origin(IntEnum):
    """ORIGIN (RFC 4271 5.1.1); lower is preferred."""

    IGP = 0
    EGP = 1
    INCOMPLETE = 2


class SegmentType(IntEnum):
    """AS_PATH segment types (RFC 4271 4.3, RFC 5065 3)."""

    SET = 1
    SEQUENCE = 2
    CONFED_SEQUENCE = 3
    CONFED_SET = 4


class Reason(StrEnum):
    """Why a path is not the one in use, or why a route is not in the table. Shown in API and CLI."""

    # Import policy: the path is kept in Adj-RIB-In and is no candidate.
    DEFAULT_ROUTE = "default_route_not_accepted"
    MARTIAN = "martian_prefix"
    SHARED_ADDRESS_SPACE = "shared_address_space"
    VPC_OVERLAP = "inside_vpc_cidr"
    TUNNEL_CIDR = "inside_tunnel_cidr"
    CONNECTED = "inside_connected_network"
    MAX_PREFIXES = "over_maximum_prefixes"
    AS_LOOP = "as_path_loop"
    INVALID_NEXT_HOP = "invalid_next_hop"
    REJECTED_BY_POLICY = "rejected_by_import_policy"
    # Decision process, in the order of its steps (DESIGN.md 6).
    OPERATOR_PREFERENCE = "operator_preference"
    LOCAL_PREF = "lower_local_preference"
    AS_PATH_LENGTH = "longer_as_path"
    ORIGIN = "worse_origin"
    MED = "higher_med"
    EBGP_OVER_IBGP = "ibgp_after_ebgp"
    TUNNEL_ROLE = "standby_after_active"
    CONNECTION_ID = "higher_connection_id"
    PEER_ADDRESS = "higher_peer_address"
    # Forwarding: liveness is not a path attribute, so these are not steps of the decision.
    TUNNEL_DOWN = "tunnel_down"
    TUNNEL_WARMING = "tunnel_waits_for_failback"
    NO_LIVE_TUNNEL = "no_live_tunnel"
    PROPAGATION_OFF = "propagation_off"
    PUBLISHED_STATIC = "published_static_route"
    PENDING = "waiting_for_kernel"
    KERNEL_ERROR = "refused_by_kernel"
    STALE = "stale"

    @property
    def text(self) -> str:
        """One sentence for people."""
        return _REASON_TEXT[self]


_REASON_TEXT: dict[Reason, str] = {
    Reason.DEFAULT_ROUTE: "a default route is only accepted where accept_default_route is set",
    Reason.MARTIAN: "the prefix is reserved and never valid on a VPN (martian)",
    Reason.SHARED_ADDRESS_SPACE: "100.64.0.0/10 is reserved for the provider",
    Reason.VPC_OVERLAP: "the prefix lies inside the VPC's own CIDRs",
    Reason.TUNNEL_CIDR: "the prefix lies inside a tunnel CIDR of this gateway",
    Reason.CONNECTED: "the prefix lies inside a network that is directly connected",
    Reason.MAX_PREFIXES: "the session is over its maximum number of prefixes",
    Reason.AS_LOOP: "the AS path contains the local ASN",
    Reason.INVALID_NEXT_HOP: "the next hop is not the peer's side of the tunnel",
    Reason.REJECTED_BY_POLICY: "the import policy of the connection rejects the path",
    Reason.OPERATOR_PREFERENCE: "the operator switched the connection to the other tunnel",
    Reason.LOCAL_PREF: "another path has a higher local preference",
    Reason.AS_PATH_LENGTH: "another path has a shorter AS path",
    Reason.ORIGIN: "another path has a better origin",
    Reason.MED: "another path of the same neighbour AS has a lower MED",
    Reason.EBGP_OVER_IBGP: "a path learned over eBGP is preferred to one learned over iBGP",
    Reason.TUNNEL_ROLE: "the active tunnel is preferred to the standby tunnel",
    Reason.CONNECTION_ID: "a connection with a lower name is preferred",
    Reason.PEER_ADDRESS: "a peer with a lower address is preferred",
    Reason.TUNNEL_DOWN: "the tunnel is down, traffic uses the next candidate",
    Reason.TUNNEL_WARMING: "the tunnel came back and waits for End-of-RIB and the failback hold-down",
    Reason.NO_LIVE_TUNNEL: "no tunnel that announces the prefix is alive",
    Reason.PROPAGATION_OFF: "automatic propagation of the VPN gateway is off",
    Reason.PUBLISHED_STATIC: "a published static route to the same prefix comes first",
    Reason.PENDING: "the route is on its way to the kernel",
    Reason.KERNEL_ERROR: "the kernel refused the route",
    Reason.STALE: "the session restarted and has not announced the path again yet",
}


@dataclass(frozen=True, slots=True)
class Segment:
    """One AS_PATH segment."""

    type: SegmentType
    asns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Attributes:
    """Path attributes of one or many prefixes (RFC 4271 5; next hop of RFC 4760 for IPv6).

    `next_hop` is packed: 4 or 16 bytes. Communities are kept as numbers: standard ones as 32 bits,
    large ones as triples (RFC 8092), extended ones as 64 bits (RFC 4360). `preference` is never
    received: it is the local preference that a routing policy gave the path on import.
    """

    next_hop: bytes
    origin: Origin = Origin.INCOMPLETE
    as_path: tuple[Segment, ...] = ()
    med: int | None = None
    local_pref: int | None = None
    atomic_aggregate: bool = False
    aggregator: tuple[int, str] | None = None
    communities: tuple[int, ...] = ()
    large_communities: tuple[tuple[int, int, int], ...] = ()
    extended_communities: tuple[int, ...] = ()
    preference: int | None = None

    @property
    def as_path_length(self) -> int:
        """Length for the decision: a set counts one (RFC 4271 9.1.2.2 a), confederations 0 (RFC 5065 5.3)."""
        length = 0
        for segment in self.as_path:
            if segment.type is SegmentType.SEQUENCE:
                length += len(segment.asns)
            elif segment.type is SegmentType.SET:
                length += 1
        return length

    @property
    def neighbour_asn(self) -> int | None:
        """The AS the path was received from: the first of a leading AS_SEQUENCE, else None."""
        for segment in self.as_path:
            if segment.type is SegmentType.SEQUENCE and segment.asns:
                return segment.asns[0]
            if segment.type is SegmentType.SET:
                return None
        return None

    def has_asn(self, asn: int) -> bool:
        """True if any segment contains the ASN (loop detection, RFC 4271 9.1.2)."""
        return any(asn in segment.asns for segment in self.as_path)


GRACEFUL_SHUTDOWN = 0xFFFF0000
"""Community (RFC 8326) of paths over a link that is about to be taken down: use others, if there are any."""
WELL_KNOWN_COMMUNITIES = {
    GRACEFUL_SHUTDOWN: "graceful-shutdown",
    0xFFFFFF01: "no-export",
    0xFFFFFF02: "no-advertise",
    0xFFFFFF03: "no-export-subconfed",
    0xFFFFFF04: "no-peer",
    0xFFFF029A: "blackhole",
}
_COMMUNITIES_BY_NAME = {name: value for value, name in WELL_KNOWN_COMMUNITIES.items()}

Community = int | tuple[int, int, int]
"""A standard community (RFC 1997) as 32 bits, or a large one (RFC 8092) as a triple."""


def format_as_path(path: tuple[Segment, ...]) -> str:
    """`65500 65501 {65502,65503}`; confederation segments in parentheses and brackets (RFC 5065)."""
    parts = []
    for segment in path:
        asns = [str(asn) for asn in segment.asns]
        if segment.type is SegmentType.SEQUENCE:
            parts.append(" ".join(asns))
        elif segment.type is SegmentType.SET:
            parts.append("{" + ",".join(asns) + "}")
        elif segment.type is SegmentType.CONFED_SEQUENCE:
            parts.append("(" + " ".join(asns) + ")")
        else:
            parts.append("[" + ",".join(asns) + "]")
    return " ".join(parts)


def format_community(value: Community) -> str:
    """`65000:100`, `65000:1:2`, or the name of a well-known community (RFC 1997, 7999, 8326)."""
    if isinstance(value, tuple):
        return ":".join(map(str, value))
    return WELL_KNOWN_COMMUNITIES.get(value, f"{value >> 16}:{value & 0xFFFF}")


def parse_community(text: str) -> Community:
    """The inverse of `format_community`; ValueError if the text is no community."""
    if text in _COMMUNITIES_BY_NAME:
        return _COMMUNITIES_BY_NAME[text]
    parts = text.split(":")
    if all(part.isascii() and part.isdigit() for part in parts):
        numbers = [int(part) for part in parts]
        if len(numbers) == 2 and max(numbers) <= 0xFFFF:
            return numbers[0] << 16 | numbers[1]
        if len(numbers) == 3 and max(numbers) <= 0xFFFFFFFF:
            return numbers[0], numbers[1], numbers[2]
    raise ValueError(f"{text!r} is not a community")


class SessionState(Enum):
    """State of the BGP finite state machine (RFC 4271 8.2.2)."""

    IDLE = "idle"
    """Nothing is tried."""
    CONNECT = "connect"
    """A TCP connection to the peer is being made."""
    ACTIVE = "active"
    """No TCP connection could be made: waits for the next try, or for the peer's."""
    OPENSENT = "opensent"
    """Our OPEN is sent, the peer's has not come."""
    OPENCONFIRM = "openconfirm"
    """The peer's OPEN is accepted, its first KEEPALIVE has not come."""
    ESTABLISHED = "established"
    """Routes are exchanged."""


def session_id(connection: str, tunnel: int) -> SessionId:
    """The id of a tunnel (1 or 2) of a connection and of its session."""
    return SessionId(f"{connection}-tunnel{tunnel}")


def pack_prefix(address: bytes, length: int) -> Prefix:
    """A prefix from a packed address and a length. Host bits must be clear; ValueError if not."""
    bits = len(address) * 8
    if not 0 <= length <= bits or len(address) not in (4, 16):
        raise ValueError(f"prefix length {length} is not allowed here, 0 to {bits} is")
    if int.from_bytes(address, "big") & ((1 << (bits - length)) - 1):
        raise ValueError("host bits are set")
    return Prefix(address + bytes((length,)))


def parse_prefix(text: str) -> Prefix:
    """`10.0.0.0/8` or `2001:db8::/32` to a prefix; ValueError with the reason otherwise."""
    address, slash, length = text.partition("/")
    if not slash or not (length.isascii() and length.isdigit()):
        raise ValueError(f"{text!r} is not a prefix: an address, a slash and a length are needed")
    try:
        packed = parse_address(address)
        return pack_prefix(packed, int(length))
    except ValueError as error:
        raise ValueError(f"{text!r} is not a prefix: {error}") from None


def parse_address(text: str) -> bytes:
    """A textual IPv4 or IPv6 address to 4 or 16 bytes; ValueError if it is neither."""
    try:
        return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except (OSError, UnicodeEncodeError):
        raise ValueError(f"{text!r} is not an IP address") from None


def format_address(packed: bytes) -> str:
    """4 or 16 bytes to text."""
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def format_prefix(prefix: Prefix) -> str:
    """A prefix to text, as in `10.0.0.0/8`."""
    return f"{format_address(prefix[:-1])}/{prefix[-1]}"


def prefix_family(prefix: Prefix) -> Family:
    """Family of a prefix, from its size."""
    return Family.IPV4 if len(prefix) == 5 else Family.IPV6


def covers(outer: Prefix, inner: Prefix) -> bool:
    """True if `inner` is equal to or inside `outer` (same family)."""
    if len(outer) != len(inner) or outer[-1] > inner[-1]:
        return False
    shift = (len(outer) - 1) * 8 - outer[-1]
    return int.from_bytes(outer[:-1], "big") >> shift == int.from_bytes(inner[:-1], "big") >> shift
