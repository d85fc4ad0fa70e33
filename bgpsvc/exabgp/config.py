"""Configuration of the speakers: what each session needs, and the text that ExaBGP reads.

One speaker carries the sessions of all tunnels of one role. The template is
`exabgp-conf/speaker.conf.j2`; the text contains MD5 keys, so the file it goes to is private.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from ipaddress import ip_address
from pathlib import Path

import jinja2

from bgpsvc.model import Family, Role, SessionId, session_id
from bgpsvc.resources.interfaces import interface_of
from bgpsvc.resources.models import Intent, Tunnel, VpnConnection

TEMPLATE = "speaker.conf.j2"
BGP_PORT = 179
ROLES = (Role.ACTIVE, Role.STANDBY)


@dataclass(frozen=True, slots=True)
class SpeakerSession:
    """One BGP session. Addresses are text; times are seconds.

    `password` is the TCP MD5 key (RFC 2385). `ttl_security` is the number of hops that GTSM allows
    (RFC 5082), None without. `graceful_restart` is the Restart Time that we announce (RFC 4724), 0
    without the capability. `local_address_v6` is the next hop of the IPv6 routes that we announce.
    """

    id: SessionId
    role: Role
    local_address: str
    peer_address: str
    local_asn: int
    peer_asn: int
    router_id: str
    hold_time: int = 30
    password: str | None = field(default=None, repr=False)
    ttl_security: int | None = None
    graceful_restart: int = 0
    families: tuple[Family, ...] = (Family.IPV4,)
    interface: str | None = None
    local_address_v6: str | None = None
    passive: bool = False

    @property
    def ibgp(self) -> bool:
        """True if both sides are of the same AS."""
        return self.local_asn == self.peer_asn

    @property
    def incoming_ttl(self) -> int | None:
        """Lowest TTL accepted from the peer: one hop away means 255 (RFC 5082 3)."""
        return None if self.ttl_security is None else 256 - self.ttl_security

    @property
    def password_base64(self) -> str | None:
        """The key as ExaBGP reads it whatever its characters are."""
        return None if self.password is None else base64.b64encode(self.password.encode()).decode()

    @property
    def addresses(self) -> tuple[str, str]:
        """Local and peer address as ExaBGP prints them; this is how its lines name a session."""
        return str(ip_address(self.local_address)), str(ip_address(self.peer_address))


def sessions_of(intent: Intent) -> tuple[SpeakerSession, ...]:
    """The sessions of all tunnels with BGP of all gateways, in the order of the configuration."""
    found = []
    for connection in intent.vpn_connections:
        for number, tunnel in enumerate(connection.tunnels, 1):
            if connection.enable_bgp and tunnel.bgp is not None:
                found.append(_session(intent, connection, number, tunnel))
    return tuple(found)


def _session(intent: Intent, connection: VpnConnection, number: int, tunnel: Tunnel) -> SpeakerSession:
    bgp = tunnel.bgp
    peer_asn = intent.customer_gateway(tunnel.customer_gateway).asn
    if bgp is None or peer_asn is None:
        raise ValueError(f"tunnel {number} of {connection.name} has no BGP settings or its peer no ASN")
    return SpeakerSession(
        id=session_id(connection.name, number),
        role=ROLES[number - 1],
        local_address=str(bgp.local_ip),
        peer_address=str(bgp.peer_ip),
        local_asn=connection.local_asn,
        peer_asn=peer_asn,
        router_id=str(intent.gateway(connection.vpn_gateway).bgp_identifier),
        hold_time=bgp.hold_time,
        password=None if bgp.password is None else bgp.password.get_secret_value(),
        ttl_security=bgp.ttl_security,
        graceful_restart=bgp.graceful_restart,
        families=(Family.IPV4, Family.IPV6) if bgp.ipv6 is not None else (Family.IPV4,),
        interface=interface_of(connection.name, number, tunnel),
        local_address_v6=None if bgp.ipv6 is None else str(bgp.ipv6.local_ip),
        passive=bgp.passive,
    )


def render(role: Role, sessions: Iterable[SpeakerSession], python: str, relay: str) -> str:
    """The configuration of the speaker of a role: the sessions of that role, ordered by id.

    `python` and `relay` are the absolute paths of the interpreter and of the relay's file.
    """
    mine = sorted((session for session in sessions if session.role is role), key=lambda session: session.id)
    _check(mine)
    return _template().render(role=role, sessions=mine, python=python, relay=relay, port=BGP_PORT)


def _check(sessions: Sequence[SpeakerSession]) -> None:
    """ValueError if two sessions of a speaker have the same addresses: ExaBGP could not tell them apart."""
    seen: dict[tuple[str, str], SessionId] = {}
    for session in sessions:
        other = seen.setdefault(session.addresses, session.id)
        if other != session.id:
            local, peer = session.addresses
            raise ValueError(f"sessions {other} and {session.id} both go from {local} to {peer}")


@cache
def _template() -> jinja2.Template:
    here = Path(__file__).resolve()
    # In a checkout the templates lie beside the package, in an installed wheel inside it.
    folders = [str(here.parents[2] / "exabgp-conf"), str(here.parents[1] / "_exabgp_conf")]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return environment.get_template(TEMPLATE)
