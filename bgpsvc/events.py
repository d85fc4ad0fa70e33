"""What can happen to the engine. Frozen values; one event per message, never one per prefix.

The ExaBGP codec makes the session events, the netlink shell the link events, the API the operator
events. Time is not part of an event: the shell hands `now` to the engine beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bgpsvc.model import Attributes, Family, Prefix, Role, SessionId, SessionState, SwitchMode


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What both sides of a session agreed on in OPEN (RFC 4271 4.2, RFC 5492)."""

    hold_time: int
    families: tuple[Family, ...]
    asn4: bool = True
    route_refresh: bool = False
    enhanced_refresh: bool = False
    message_size: int = 4096
    peer_router_id: str | None = None
    peer_asn: int | None = None
    graceful_restart_time: int | None = None
    """Restart Time that the peer announced (RFC 4724 3), None without the capability."""
    graceful_restart_families: tuple[Family, ...] = ()
    """Families that the peer listed: it can keep their forwarding state over a restart (RFC 4724 3)."""
    forwarding_preserved: tuple[Family, ...] = ()
    """Those of them for which it did keep it, this time (the F bit)."""
    peer_capabilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Notification:
    """A NOTIFICATION (RFC 4271 4.5), `sent` by us or received."""

    sent: bool
    code: int
    subcode: int
    text: str
    message: bytes = b""
    """The whole message as it was on the wire, with its header; empty if it is not known."""


@dataclass(frozen=True, slots=True)
class OpenMessages:
    """Both OPENs of a session as on the wire, with their headers, and the ports of its connection."""

    sent: bytes
    received: bytes
    local_port: int
    peer_port: int


@dataclass(frozen=True, slots=True)
class SessionUp:
    """The session reached Established."""

    session: SessionId
    negotiated: Negotiated
    opens: OpenMessages | None = None
    """None if the speaker did not tell: one of a version that does not, or the line was lost."""


@dataclass(frozen=True, slots=True)
class SessionDown:
    """The session left Established, or an attempt to establish it failed.

    `graceful` is True if forwarding state may be kept: the transport was lost without a
    NOTIFICATION in either direction (RFC 4724 4.2; after a NOTIFICATION it may not, RFC 8538 is
    not implemented by the speaker).
    """

    session: SessionId
    reason: str
    notification: Notification | None = None
    graceful: bool = False


@dataclass(frozen=True, slots=True)
class SessionStateChanged:
    """The session moved between states below Established; for display only."""

    session: SessionId
    state: SessionState


@dataclass(frozen=True, slots=True)
class Announced:
    """Reachable prefixes of an UPDATE, or of several in a row that share the (interned) attributes."""

    session: SessionId
    attributes: Attributes
    prefixes: tuple[Prefix, ...]


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Withdrawn prefixes of an UPDATE or several in a row, or those of a malformed one (RFC 7606 2)."""

    session: SessionId
    prefixes: tuple[Prefix, ...]
    error: str | None = None
    """Set for treat-as-withdraw: what was wrong with the UPDATE."""


@dataclass(frozen=True, slots=True)
class EndOfRib:
    """End-of-RIB of a family (RFC 4724 2), or the end of a route refresh (EoRR, RFC 7313)."""

    session: SessionId
    family: Family


@dataclass(frozen=True, slots=True)
class MessagesLost:
    """The counter of a session jumped: the speaker sent messages that never arrived."""

    session: SessionId
    missing: int


@dataclass(frozen=True, slots=True)
class SessionResync:
    """The session is Established and was so before we listened (the daemon restarted).

    What it announced so far is unknown; a route refresh is needed. `opens` as in `SessionUp`.
    """

    session: SessionId
    negotiated: Negotiated
    opens: OpenMessages | None = None


@dataclass(frozen=True, slots=True)
class SpeakerUp:
    """The relay of a speaker connected; session events of that role follow."""

    role: Role


@dataclass(frozen=True, slots=True)
class SpeakerDown:
    """The speaker process of a role ended, and with it all its sessions.

    `planned`: we ended it, as there is no session left for it or it shall start anew.
    """

    role: Role
    reason: str
    planned: bool = False


@dataclass(frozen=True, slots=True)
class SpeakerHung:
    """The relay of a speaker said nothing and was ended; if ExaBGP works, it starts a new one."""

    role: Role
    what: str


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """A network interface came up, went down (administratively or carrier), or vanished (ifindex None)."""

    interface: str
    ifindex: int | None
    up: bool


@dataclass(frozen=True, slots=True)
class HealthChanged:
    """The health check of a tunnel came to another verdict, or to its first; `reason` says what it saw."""

    tunnel: SessionId
    healthy: bool
    reason: str


@dataclass(frozen=True, slots=True)
class IpsecChanged:
    """The IPsec SAs of a tunnel came up or went down; `reason` says why, in words. Moves traffic at once.

    `waiting`: they are down, and the first packet is to bring them up.
    """

    tunnel: SessionId
    up: bool
    reason: str
    waiting: bool = False


@dataclass(frozen=True, slots=True)
class DetectionChanged:
    """The guard's BFD session or peer probe says something else of a tunnel, or says it for the first time.

    `up` is None while the method is not in force: the peer has not answered yet, or has switched it off (RFC
    5882 3.2: that is no failure). `detection_ms`: within which it notices a death, None if not in force.
    `at` is since when, by the shell's clock; None: since now.
    """

    tunnel: SessionId
    method: Literal["bfd", "probe"]
    up: bool | None
    reason: str
    detection_ms: float | None = None
    at: float | None = None


@dataclass(frozen=True, slots=True)
class ConnectedChanged:
    """The networks directly connected to the namespace, whole: learned routes inside them are refused."""

    prefixes: tuple[Prefix, ...]


@dataclass(frozen=True, slots=True)
class OperatorSwitch:
    """The operator chose the tunnel of a connection, or gave the choice back (`auto`)."""

    connection: str
    mode: SwitchMode
    reason: str | None = None
    by: str | None = None
    """What for and who, for the event log."""


@dataclass(frozen=True, slots=True)
class PropagationSet:
    """The operator switched `auto_propagate` of a VPN gateway."""

    gateway: str
    on: bool


@dataclass(frozen=True, slots=True)
class Advertisement:
    """How a prefix is advertised; the next hop is always our own address of the session.

    `local_pref` goes to iBGP peers only (RFC 4271 5.1.5; 100 if None), `communities` are 32-bit numbers,
    `large_communities` triples (RFC 8092). `prepend` is how many times more than once our own ASN
    stands in the AS path; to iBGP peers it does not stand there at all.
    """

    med: int | None = None
    local_pref: int | None = None
    communities: tuple[int, ...] = ()
    large_communities: tuple[tuple[int, int, int], ...] = ()
    prepend: int = 0


BgpEvent = (
    SessionUp
    | SessionDown
    | SessionStateChanged
    | SessionResync
    | Announced
    | Withdrawn
    | EndOfRib
    | MessagesLost
    | SpeakerUp
    | SpeakerDown
    | SpeakerHung
)
Event = (
    BgpEvent
    | LinkChanged
    | HealthChanged
    | IpsecChanged
    | DetectionChanged
    | ConnectedChanged
    | OperatorSwitch
    | PropagationSet
)
