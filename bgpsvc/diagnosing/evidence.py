"""What is known about a tunnel when it is examined: resources, state of the daemon, answers to probes.
Frozen.

Everything that was not asked, because it is of no use or cannot be, is None. Times are Unix seconds,
addresses text. Nothing here holds a key: whether there is one is all that an examination needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bgpsvc.guard.model import BfdStatus, ProbeStatus
from bgpsvc.ipsec.model import IpsecState
from bgpsvc.model import SessionState

Answer = Literal["answered", "unreachable", "silent", "failed"]
"""unreachable: ICMP says so; failed: it could not be sent from here. `detail` has the words."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a probe. `seconds`: until the answer; `by`: who sent an ICMP error."""

    answer: Answer
    detail: str
    seconds: float | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """How packets to the peer's public address leave this machine.

    `local_present`: our public address is on this machine. `source` is the address that the kernel would
    choose by itself, `interface` and `gateway` are the route's; `error`: there is none. `echo`: the peer's
    public address was pinged, which many peers do not answer.
    """

    local_present: bool
    source: str | None
    interface: str | None
    gateway: str | None
    error: str | None = None
    echo: Reply | None = None


@dataclass(frozen=True, slots=True)
class Ike:
    """What IKE shall be, in words of the configuration; `offer` as `aes256-sha256-group14`."""

    version: str
    mode: str
    offer: str
    esp_offer: str
    local_id: str
    remote_id: str
    has_key: bool
    nat_traversal: bool
    immediately: bool
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """What the peer made of an offer of all algorithms: what it chose, None if it refused all."""

    version: str
    answered: bool
    accepted: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface as the kernel has it. `addresses` with their prefix lengths, `1.2.3.4/30`."""

    up: bool
    mtu: int
    addresses: tuple[str, ...]
    received: int = 0
    sent: int = 0
    """Packets."""


@dataclass(frozen=True, slots=True)
class TcpAnswer:
    """What came of a SYN to TCP port 179 of the peer, and with which TTL."""

    answer: Literal["open", "refused", "unreachable", "silent", "failed"]
    detail: str
    ttl: int | None = None


@dataclass(frozen=True, slots=True)
class Md5Counters:
    """Segments that the kernel refused by their TCP MD5 signature (RFC 2385), all sessions of the
    namespace."""

    missing: int = 0
    unexpected: int = 0
    wrong: int = 0

    @property
    def total(self) -> int:
        return self.missing + self.unexpected + self.wrong

    def since(self, before: Md5Counters) -> Md5Counters:
        """What was counted after `before`."""
        return Md5Counters(
            self.missing - before.missing, self.unexpected - before.unexpected, self.wrong - before.wrong
        )


@dataclass(frozen=True, slots=True)
class BgpError:
    """An error of a session; code and subcode are those of a NOTIFICATION (RFC 4271 4.5), if there was
    one."""

    time: float
    text: str
    code: int | None = None
    subcode: int | None = None
    sent: bool | None = None


@dataclass(frozen=True, slots=True)
class Bgp:
    """The BGP session of a tunnel. `notification` is the last NOTIFICATION since the session was up.

    `signed` is the answer to a SYN with our MD5 signature, `plain` to one without. `speaker` says why our
    speaker does not run, None if it does; `port_taken_by` who has its port then.
    """

    state: SessionState
    since: float
    local_asn: int
    peer_asn: int
    hold_time: int
    passive: bool
    password: bool
    min_ttl: int | None
    speaker: str | None
    last_error: BgpError | None = None
    notification: BgpError | None = None
    plain: TcpAnswer | None = None
    signed: TcpAnswer | None = None
    md5: Md5Counters = Md5Counters()
    calls: Literal["unsigned", "signed", "signed_with_our_key"] | None = None
    """How the peer's own attempts to connect arrive; None if none was heard lately."""
    calls_ttl: int | None = None
    """And with which TTL."""
    flaps: int = 0
    port_taken_by: str | None = None

    @property
    def established(self) -> bool:
        return self.state is SessionState.ESTABLISHED

    @property
    def tcp(self) -> TcpAnswer | None:
        """The answer that our own session would get.

        A port where nobody listens has no key to sign its reset with, so a kernel sends none to a signed SYN.
        """
        unsigned = self.plain is not None and self.plain.answer in ("refused", "unreachable")
        return self.signed if self.password and not unsigned else self.plain


@dataclass(frozen=True, slots=True)
class Refusal:
    """Prefixes that import refused for one reason. `by_policy`: a routing policy did; else a built-in
    check."""

    count: int
    sample: str
    text: str
    by_policy: bool
    harmless: bool
    """Every network has such: our own routes coming back."""


@dataclass(frozen=True, slots=True)
class Routes:
    """What became of a session's routes. `refusals` are of the first `looked_at` refused prefixes.

    `uninstalled`: prefix and reason of learned routes that the kernel refused. `export_policy` is the policy
    that decides what is advertised. `static_routes` counts those of the connection.
    """

    propagate: bool
    vpn_gateway: str
    accepted: int = 0
    refused: int = 0
    shed: int = 0
    max_prefixes: int = 0
    looked_at: int = 0
    refusals: tuple[Refusal, ...] = ()
    uninstalled: tuple[tuple[str, str], ...] = ()
    pending: int = 0
    advertised: int = 0
    advertisable: int = 0
    export_policy: str | None = None
    end_of_rib: bool = True
    static_routes: int = 0


@dataclass(frozen=True, slots=True)
class Echoes:
    """Echo requests to the peer's inside address over the tunnel's interface.

    `before` and `after` are the interface around them. `error`: they could not be sent.
    """

    requests: int
    replies: int
    seconds: float | None
    before: Link | None
    after: Link | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Largest:
    """The largest IPv4 packet that was answered with DF set; `complete`: larger ones were tried in vain."""

    size: int | None
    tried: int


@dataclass(frozen=True, slots=True)
class BfdSeen:
    """A BFD session as guard and engine see it. `key_id` None: without authentication.

    `up` as the guard says: None if BFD says nothing. `disbelieved`: why the engine does not believe that it
    is down. `heard_lately` and `refused_lately`: packets of the peer were taken, or refused, during the
    diagnosis. `port_taken_by` names a process that is not the guard and has the port.
    """

    local: str
    peer: str
    multihop: bool
    key_id: int | None
    up: bool | None
    reason: str
    detection_ms: float | None = None
    disbelieved: str | None = None
    status: BfdStatus | None = None
    heard_lately: bool = False
    refused_lately: bool = False
    port_taken_by: str | None = None


@dataclass(frozen=True, slots=True)
class ProbeSeen:
    """The probe of the peer as guard and engine see it; as `BfdSeen`."""

    local: str
    peer: str
    interval_ms: int
    up: bool | None
    reason: str
    detection_ms: float | None = None
    disbelieved: str | None = None
    status: ProbeStatus | None = None


@dataclass(frozen=True, slots=True)
class Detection:
    """What is configured to watch the tunnel. `guard` says why the guard does not run, None if it does."""

    guard: str | None = None
    bfd: BfdSeen | None = None
    probe: ProbeSeen | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Of one tunnel, everything. `made`: the service makes it, else its interface is somebody else's."""

    tunnel: str
    number: int
    role: Literal["active", "standby"]
    made: bool
    interface: str
    local: str
    remote: str
    now: float
    carrying: bool
    live: bool
    state_reason: str
    inside_local: str | None = None
    inside_peer: str | None = None
    inside_addresses: tuple[str, ...] = ()
    """That the interface shall have, with prefix lengths."""
    mtu: int | None = None
    """That it shall have."""
    way: Way | None = None
    udp500: Reply | None = None
    udp4500: Reply | None = None
    offers: tuple[Offer, ...] = ()
    """Of both versions of IKE, if the peer refused our proposal without saying why."""
    ike: Ike | None = None
    waiting: bool = False
    """The tunnel is down only because there was no traffic for it."""
    ipsec: IpsecState | None = None
    link: Link | None = None
    elsewhere: tuple[tuple[str, str], ...] = ()
    """Inside addresses that other interfaces have: address, interface."""
    bgp: Bgp | None = None
    routes: Routes | None = None
    echoes: Echoes | None = None
    largest: Largest | None = None
    detection: Detection | None = None
