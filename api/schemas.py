"""What the API answers about sessions, tunnels, connections, gateways and VPCs, and takes to change them.

The models are read from the views of `bgpsvc.views` attribute by attribute; only times change form
(Unix seconds to RFC 3339 in UTC). Routes and events are in `schemas_routes`.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from api import examples
from api.render import rfc3339
from api.schemas_control import Resource
from api.schemas_detection import Bfd, Detection
from api.schemas_ipsec import Ipsec
from bgpsvc.model import Role, SessionState, SwitchMode
from bgpsvc.views import TunnelState

T = TypeVar("T")


def _time(value: object) -> object:
    """Unix seconds as RFC 3339; anything else is left for the validation to judge."""
    return rfc3339(value) if isinstance(value, int | float) else value


REASON = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
"""Text of one line: no control characters, which a terminal or a log would obey."""
Timestamp = Annotated[str, BeforeValidator(_time), WithJsonSchema({"type": "string", "format": "date-time"})]


def described(*given: dict[str, Any], extra: Literal["ignore", "forbid"] = "ignore") -> ConfigDict:
    """Model configuration of a schema with examples, read from a view's attributes."""
    return ConfigDict(from_attributes=True, json_schema_extra={"examples": list(given)}, extra=extra)


class Listing(BaseModel, Generic[T]):
    """A page of a list."""

    items: list[T] = Field(description="The items of this page.")
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last one.")


class Negotiated(BaseModel):
    """What both sides of a session agreed on in OPEN."""

    model_config = described(examples.NEGOTIATED)

    hold_time: int = Field(description="Hold time in seconds; 0: no keepalives.")
    families: list[str] = Field(description="Address families: `ipv4`, `ipv6`, both unicast.")
    asn4: bool = Field(description="Four-octet AS numbers (RFC 6793).")
    route_refresh: bool = Field(description="Route refresh (RFC 2918).")
    enhanced_refresh: bool = Field(description="Enhanced route refresh (RFC 7313).")
    message_size: int = Field(description="Largest message in bytes (4096, or 65535 with RFC 8654).")
    graceful_restart_time: int | None = Field(
        description="Restart time in seconds that the peer announced (RFC 4724); null without the capability."
    )
    graceful_restart_families: list[str] = Field(
        description="Families for which the peer keeps its forwarding state over a restart."
    )
    peer_router_id: str | None = Field(description="The peer's BGP identifier.")
    peer_asn: int | None = Field(description="AS number that the peer's OPEN carried.")
    peer_capabilities: list[str] = Field(description="Capabilities that the peer announced (RFC 5492).")


class PrefixCounts(BaseModel):
    """Prefixes of a session, as numbers; received = accepted + rejected."""

    model_config = described(examples.PREFIX_COUNTS)

    received: int = Field(description="Prefixes that the peer announces now (Adj-RIB-In and shed ones).")
    accepted: int = Field(description="Those that the import policy accepts.")
    rejected: int = Field(description="Those that it refuses, shed ones included.")
    shed: int = Field(description="Those beyond the session's maximum, not kept.")
    stale: int = Field(description="Those kept over a restart of the session and not announced again yet.")
    advertised: int = Field(description="Prefixes announced to the peer (Adj-RIB-Out).")


class MessageCounts(BaseModel):
    """Messages of a session since the service started, as numbers."""

    model_config = described(examples.MESSAGE_COUNTS)

    updates_received: int = Field(description="UPDATE messages.")
    prefixes_announced: int = Field(description="Prefixes in them that were announced.")
    prefixes_withdrawn: int = Field(description="Prefixes in them that were withdrawn.")
    end_of_rib_received: int = Field(description="End-of-RIB markers (RFC 4724).")
    notifications_sent: int = Field(description="NOTIFICATION messages sent.")
    notifications_received: int = Field(description="NOTIFICATION messages received.")
    treated_as_withdraw: int = Field(
        description="Malformed UPDATEs that were treated as withdraw (RFC 7606)."
    )
    lost: int = Field(description="Messages that were lost between speaker and service and then repaired.")


class SessionError(BaseModel):
    """The last error of a session."""

    model_config = described(examples.SESSION_ERROR)

    time: Timestamp = Field(description="When it happened (RFC 3339, UTC).")
    text: str = Field(description="What happened.")
    code: int | None = Field(
        description="Error code of the NOTIFICATION (RFC 4271 4.5); null: there was none."
    )
    subcode: int | None = Field(description="Error subcode of the NOTIFICATION.")
    direction: Literal["sent", "received"] | None = Field(
        description="Who sent the NOTIFICATION: we, or the peer."
    )


class BgpSession(BaseModel):
    """The BGP session of one tunnel."""

    model_config = described(examples.SESSION)

    id: str = Field(description="`<connection>-tunnel1` or `-tunnel2`; the tunnel has the same id.")
    connection: str = Field(description="Name of the VPN connection.")
    gateway: str = Field(description="Name of the VPN gateway.")
    tunnel: int = Field(description="Number of the tunnel: 1 or 2.")
    role: Role = Field(description="Role of the tunnel.")
    interface: str = Field(description="Network interface of the tunnel.")
    local_address: str = Field(description="Our address inside the tunnel.")
    peer_address: str = Field(description="The peer's address inside the tunnel.")
    local_asn: int = Field(description="Our AS number.")
    peer_asn: int = Field(description="The AS number that the peer must have.")
    state: SessionState = Field(description="State of the BGP finite state machine.")
    since: Timestamp = Field(description="When this state was entered (RFC 3339, UTC).")
    established_count: int = Field(description="How often the session was established.")
    flap_count: int = Field(description="How often it left Established.")
    hold_time_configured: int = Field(description="Configured hold time in seconds.")
    negotiated: Negotiated | None = Field(description="Result of OPEN; null unless established.")
    prefixes: PrefixCounts = Field(description="Prefixes by direction and verdict.")
    messages: MessageCounts = Field(description="Messages since the service started.")
    last_error: SessionError | None = Field(description="The last error; null if there was none.")
    end_of_rib: bool = Field(description="End-of-RIB was received for every negotiated family.")


class BgpSessionList(Listing[BgpSession]):
    """A page of BGP sessions, by id."""

    model_config = described(examples.listing(examples.SESSION))


class Tunnel(BaseModel):
    """One tunnel: its role, its liveness, and whether it carries the connection's traffic."""

    model_config = described(examples.TUNNEL)

    id: str = Field(description="`<connection>-tunnel1` or `-tunnel2`.")
    connection: str = Field(description="Name of the VPN connection.")
    gateway: str = Field(description="Name of the VPN gateway.")
    tunnel: int = Field(description="Number of the tunnel: 1 or 2.")
    role: Role = Field(description="`active` is tunnel 1, `standby` tunnel 2, for ever.")
    interface: str = Field(description="Network interface.")
    link_up: bool = Field(description="The interface is up and has carrier.")
    session_state: SessionState | None = Field(
        description="State of the tunnel's BGP session; null where the connection does not enable BGP."
    )
    state: TunnelState = Field(
        description="`live`: usable; `warming`: back, waits for End-of-RIB and the failback hold-down; "
        "`down`: not used."
    )
    state_reason: str = Field(description="Why it is in that state.")
    since: Timestamp = Field(description="When this state was entered (RFC 3339, UTC).")
    carrying: bool = Field(description="The connection's traffic takes this tunnel now.")
    local_address: str | None = Field(description="Our address inside the tunnel; null without one.")
    peer_address: str | None = Field(description="The peer's address inside the tunnel; null likewise.")
    remote_address: str = Field(description="Public address of the customer gateway.")
    health: Literal["healthy", "unhealthy"] | None = Field(
        description="Verdict of the ICMP health check; null without one, and before its first verdict."
    )
    health_reason: str | None = Field(description="What the health check saw; null without a verdict.")
    ipsec: Ipsec | None = Field(
        description="IKE and IPsec SAs; null for a tunnel over an interface that somebody else makes."
    )
    detection: list[Detection] = Field(
        description="How the death of its path would be noticed, fastest first: what counts now is the first "
        "in force. The link is last, as it says nothing of what is behind this side's interface."
    )
    bfd: Bfd | None = Field(description="The BFD session; null without one, and before anything is known.")
    hold_down: float = Field(
        description="Seconds that it must be up again before it carries traffic beside a live one; grows "
        "while it keeps failing."
    )
    flapping: bool = Field(
        description="It failed so often lately that its hold-down is longer than configured."
    )


class TunnelList(Listing[Tunnel]):
    """A page of tunnels, by id."""

    model_config = described(examples.listing(examples.TUNNEL))


class Choice(BaseModel):
    """Who chose the tunnel of a connection, when, and what for."""

    model_config = described(examples.CHOICE)

    by: str | None = Field(description="Who did; null: an older release did not note it.")
    at: Timestamp | None = Field(description="When (RFC 3339, UTC); null likewise.")
    reason: str | None = Field(description="What for, in their words; null: none was given.")


class VpnConnection(Resource):
    """One VPN connection and its switch between two tunnels."""

    model_config = described(examples.CONNECTION)

    gateway: str = Field(description="Name of its VPN gateway.")
    local_asn: int = Field(description="Our AS number on both tunnels.")
    mode: SwitchMode = Field(
        description="The tunnel that the operator chose; `auto` leaves it to role and health."
    )
    choice: Choice | None = Field(
        description="Who chose it, while it is in force: the other tunnel is out of use, as for maintenance, "
        "until the choice is given back; null in mode `auto`."
    )
    carrying: str | None = Field(description="Id of the tunnel that carries traffic; null if none is live.")
    switchovers: int = Field(description="How often traffic changed its tunnel since the service started.")
    last_switchover: Timestamp | None = Field(description="When it last did (RFC 3339, UTC); null if never.")
    last_switchover_reason: str | None = Field(description="Why it last did.")
    tunnels: list[Tunnel] = Field(description="Both tunnels.")


class SwitchRequest(BaseModel):
    """The tunnel that a connection shall use."""

    model_config = described(examples.SWITCH_REQUEST, extra="forbid")

    mode: SwitchMode = Field(
        description="`active` or `standby` pins that tunnel while it is live and takes the other one out of "
        "use; `auto` gives the choice back."
    )
    reason: Annotated[str, StringConstraints(max_length=200, pattern=REASON)] | None = Field(
        default=None,
        description="What for: shown while the choice is in force, and kept in events and audit log. Up to "
        "200 characters without line breaks.",
    )


class SwitchQuery(BaseModel):
    """Parameters of a switch; a mistyped `dry_run` must not become the real thing."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = Field(default=False, description="Change nothing; say what would move.", examples=[True])


class SwitchPlan(BaseModel):
    """What an operator switch moved, or (dry run) would move."""

    model_config = described(examples.SWITCH_PLAN)

    connection: str = Field(description="Name of the connection.")
    mode: SwitchMode = Field(description="The mode asked for.")
    from_tunnel: str | None = Field(description="Tunnel that carried traffic before; null: none.")
    to_tunnel: str | None = Field(description="Tunnel that carries it afterwards; null: none is live.")
    prefixes_moved: int = Field(description="Prefixes whose traffic changes its tunnel.")
    groups_replaced: int = Field(description="Kernel nexthop groups replaced for it (one operation each).")
    changed: bool = Field(description="False if the connection was in that mode already.")
    note: str = Field(description="The outcome in a sentence; says so if the wish cannot be followed now.")
    drained: str | None = Field(
        description="Tunnel that the peer is asked to avoid too, by a worse MED and GRACEFUL_SHUTDOWN (RFC "
        "8326) in what it is announced; null: none."
    )


class RestartPlan(BaseModel):
    """What negotiating a tunnel anew would move."""

    model_config = described(examples.RESTART_PLAN)

    tunnel: str = Field(description="Id of the tunnel.")
    connection: str = Field(description="Name of its connection.")
    carrying: bool = Field(description="It carries the connection's traffic now.")
    to_tunnel: str | None = Field(description="Tunnel that would carry it meanwhile; null: none can.")
    prefixes_moved: int = Field(description="Prefixes whose traffic would take another tunnel meanwhile.")
    prefixes_lost: int = Field(description="Prefixes whose traffic would lead nowhere meanwhile.")
    note: str = Field(description="The outcome in a sentence.")


class VpnGateway(Resource):
    """One VPN gateway."""

    model_config = described(examples.GATEWAY)

    vpc: str = Field(description="Name of its VPC.")
    addresses: list[str] = Field(description="Public addresses, of tunnel 1 and of tunnel 2.")
    auto_propagate: bool = Field(
        description="On: learned prefixes go into the VPC's route table and the VPC's CIDRs are advertised."
    )
    connections: list[str] = Field(description="Names of its VPN connections.")
    routes_learned: int = Field(description="Prefixes in the Loc-RIB.")
    routes_installed: int = Field(description="Prefixes of ours in the VPC's route table.")
    advertised: list[str] = Field(
        description="Prefixes advertised to the peers, the first 1000; the sessions have the number."
    )


class Vpc(Resource):
    """One VPC and its kernel route table."""

    model_config = described(examples.VPC)

    cidrs: list[str] = Field(description="Its own address ranges.")
    route_table: int = Field(description="Number of its kernel route table.")
    gateway: str | None = Field(description="Name of its VPN gateway; null: it has none.")
    routes_installed: int = Field(description="Routes of ours in that table.")


class Health(BaseModel):
    """The process answers."""

    model_config = described(examples.HEALTH)

    status: Literal["ok"] = Field(description="Always `ok`.")
    version: str = Field(description="Version of bgpsvc.")


class Check(BaseModel):
    """One check of readiness."""

    model_config = described(examples.CHECK)

    ok: bool = Field(description="Passed.")
    detail: str = Field(description="What was found.")


class Ready(BaseModel):
    """Readiness, by check."""

    model_config = described(examples.READY)

    ready: bool = Field(description="Every check passed.")
    checks: dict[str, Check] = Field(description="Every check by its name.")
