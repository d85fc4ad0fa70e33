"""What the guard watches, where it may move traffic to, and what it tells. Frozen values, no behaviour.

Addresses are text, times are seconds of CLOCK_MONOTONIC, which all processes of a machine share. A tunnel
is named by its `SessionId`. The daemon says the whole truth about what to watch (`Watched`), and about each
nexthop group that has somewhere to go (`GroupPlan`); both whenever they change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from bgpsvc.model import SessionId


class Method(StrEnum):
    """How the guard notices that a tunnel is dead."""

    LINK = "link"
    """The kernel says that the interface is down or gone."""
    BFD = "bfd"
    """No BFD packet of the peer came for several intervals (RFC 5880)."""
    PROBE = "probe"
    """Several echo requests in a row had no reply."""


@dataclass(frozen=True, slots=True)
class BfdSettings:
    """A BFD session (RFC 5880, asynchronous mode) to the tunnel's peer.

    `interval_ms` is Desired Min TX and Required Min RX Interval, 10 at the least. `multihop` is RFC 5883 (UDP
    4784), else RFC 5881 (3784, TTL 255). With `key` every packet is authenticated by keyed SHA1 (RFC 5880
    6.7.4) under `key_id`.
    """

    local: str
    peer: str
    interval_ms: int
    multiplier: int
    multihop: bool = False
    key_id: int | None = None
    key: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """ICMP echo requests to the tunnel's peer; dead after `multiplier` of them in a row were lost."""

    source: str
    destination: str
    interval_ms: int
    multiplier: int


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """The configured health check of a single-tunnel connection; `interval` in seconds."""

    source: str
    destination: str
    interval: float
    retries: int


@dataclass(frozen=True, slots=True)
class Watched:
    """One tunnel and all that is to be watched of it. Its interface always is.

    `disbelieved` are methods whose word that the tunnel is dead the engine does not believe: its BGP session
    proves it wrong (RFC 5882 4). It moves no traffic then, until the method has said that the tunnel is up.
    """

    tunnel: SessionId
    interface: str
    bfd: BfdSettings | None = None
    probe: ProbeSettings | None = None
    check: CheckSettings | None = None
    disbelieved: tuple[Method, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place for a group's traffic: the id of a kernel nexthop and the tunnel that it leads over.

    `usable`: the engine holds the tunnel for usable now. One that is not is a last resort: for when all
    others are dead and the guard itself sees this one alive again.
    """

    nexthop: int
    tunnel: SessionId
    usable: bool


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """A nexthop group and its candidates, in the order in which the engine would take them."""

    group: int
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Hello:
    """The guard's first message on each connection. Then a `Detection` for every method of every tunnel.

    Again when it has another keeper, or gave its real-time priority back or has it again.

    `netlink_ports`: whose notifications are the guard's own doing. `realtime`: the scheduling priority it
    has, None if it may not have one, or is too busy for it. `takeovers`: how often its keeper had to go on
    for a worker that ended or hung.
    """

    protocol: int
    pid: int
    keeper: int
    since: float
    netlink_ports: tuple[int, ...]
    realtime: int | None
    takeovers: int


@dataclass(frozen=True, slots=True)
class Detection:
    """What one method says of a tunnel, now and whenever it changes.

    `up` is None while the method says nothing: BFD that the peer has not answered yet or has switched off
    (AdminDown), a probe without its first reply. `detection_ms` is the time within which it notices a death
    as negotiated, None if it is not in force. `moved` are the groups that the guard moved, each with the
    nexthop it leads to since; `at` is when. `since` is when the method began to say so, however often it was
    told since then; None of a link.
    """

    tunnel: SessionId
    method: Method
    up: bool | None
    reason: str
    at: float
    detection_ms: float | None = None
    moved: tuple[tuple[int, int], ...] = ()
    since: float | None = None


@dataclass(frozen=True, slots=True)
class CheckVerdict:
    """The verdict of a configured health check, told on each connection and whenever it changes."""

    tunnel: SessionId
    healthy: bool
    reason: str


@dataclass(frozen=True, slots=True)
class BfdStatus:
    """A BFD session as it is (RFC 5880 6.8.1): states and diagnostics by name, intervals in milliseconds."""

    tunnel: SessionId
    state: str
    remote_state: str
    diagnostic: str
    remote_diagnostic: str
    local_discriminator: int
    remote_discriminator: int
    transmit_ms: float
    receive_ms: float
    detection_ms: float
    sent: int
    received: int
    rejected: int
    """Packets thrown away: wrong authentication, TTL, discriminator, or malformed."""
    last_rejected: str | None
    since: float
    flaps: int


@dataclass(frozen=True, slots=True)
class ProbeStatus:
    """A peer probe as it is. `round_trip_ms` of the last reply; lost since the last reply."""

    tunnel: SessionId
    up: bool | None
    sent: int
    lost: int
    lost_in_a_row: int
    round_trip_ms: float | None


@dataclass(frozen=True, slots=True)
class Status:
    """Figures of sessions, of each about once a second while a daemon is connected.

    Of many in parts: one that a part does not name is as it was.
    """

    bfd: tuple[BfdStatus, ...]
    probes: tuple[ProbeStatus, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """The guard could not do what it was told: open a socket, move a group. Logged by the daemon."""

    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Watch:
    """Daemon to guard: watch these tunnels and no others. Sessions that stay the same go on."""

    tunnels: tuple[Watched, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Daemon to guard: plans of groups; `whole` if there are no others, `gone` are those to be forgotten."""

    groups: tuple[GroupPlan, ...]
    gone: tuple[int, ...] = ()
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Quit:
    """Daemon to guard: end, both processes; BFD sessions are left as AdminDown (RFC 5880 6.8.16)."""


ToDaemon = Hello | Detection | CheckVerdict | Status | Refused
ToGuard = Watch | Plan | Quit
