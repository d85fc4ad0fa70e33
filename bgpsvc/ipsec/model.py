"""What tunnels are made of and what is known of them, whatever driver makes them. Frozen values.

Times are Unix seconds. Texts never hold a pre-shared key.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from typing import Literal

from bgpsvc.model import SessionId
from bgpsvc.resources.models import DpdSettings, IkeSettings, IpsecSettings

IPNetwork = IPv4Network | IPv6Network
IPInterface = IPv4Interface | IPv6Interface

DriverName = Literal["xfrm", "userspace", "external"]


class IpsecStatus(StrEnum):
    """The cloud's four values. The first that is not so names the layer to look at."""

    IKE_SA_NOT_ESTABLISHED = "ike_sa_not_established"
    """Phase 1 failed, or was never begun."""
    IKE_SA_ESTABLISHED = "ike_sa_established"
    """Phase 1 is up, phase 2 is not asked for yet (on traffic) or on its way."""
    IPSEC_SA_NOT_ESTABLISHED = "ipsec_sa_not_established"
    """Phase 1 is up, phase 2 failed."""
    IPSEC_SA_ESTABLISHED = "ipsec_sa_established"
    """Both are up: packets pass."""


class Cause(StrEnum):
    """Why a tunnel is not up, or went down."""

    AUTHENTICATION_FAILED = "authentication_failed"
    """The pre-shared keys differ."""
    ID_MISMATCH = "id_mismatch"
    """One side expects another identity."""
    IKE_PROPOSAL_MISMATCH = "ike_proposal_mismatch"
    """The IKE algorithms of both sides have nothing in common."""
    IKE_VERSION_MISMATCH = "ike_version_mismatch"
    """The sides use different versions of IKE."""
    UNKNOWN_PEER = "unknown_peer"
    """One side has no connection for the addresses or ids of the other."""
    PEER_NOT_RESPONDING = "peer_not_responding"
    """The peer does not answer the negotiation."""
    DPD_TIMEOUT = "dpd_timeout"
    """It was up, and the peer fell silent (dead peer detection)."""
    ESP_PROPOSAL_MISMATCH = "esp_proposal_mismatch"
    """The ESP algorithms of both sides have nothing in common."""
    PFS_MISMATCH = "pfs_mismatch"
    """The groups for perfect forward secrecy differ."""
    SELECTOR_MISMATCH = "selector_mismatch"
    """The traffic selectors of both sides do not match."""
    DELETED_BY_PEER = "deleted_by_peer"
    """The peer ended the SA."""
    SETTINGS_CHANGED = "settings_changed"
    """Its settings here were changed, so it is negotiated anew."""
    UNSUPPORTED_ALGORITHM = "unsupported_algorithm"
    """This machine's charon has no such algorithm."""
    NO_PRE_SHARED_KEY = "no_pre_shared_key"
    """The tunnel has no pre-shared key."""
    CHARON_DOWN = "charon_down"
    """charon ended, cannot be started, or does not answer."""
    INTERFACE_FAILED = "interface_failed"
    """The tunnel's interface could not be made."""
    NO_DRIVER = "no_driver"
    """This daemon makes no tunnels here."""
    OTHER = "other"
    """Something else; the text says what."""


@dataclass(frozen=True, slots=True)
class IpsecTunnel:
    """A tunnel to be made: everything that a driver needs, and nothing that concerns another tunnel.

    `pairs` are the traffic selectors, local and remote; `addresses` go on the interface. `immediately`:
    negotiate at once, else when there is traffic. `ike.pre_shared_key` is there unless a file left it out.
    """

    id: SessionId
    connection: str
    number: int
    interface: str
    local: IPv4Address
    remote: IPv4Address
    ike: IkeSettings
    ipsec: IpsecSettings
    dpd: DpdSettings
    nat_traversal: bool
    immediately: bool
    pairs: tuple[tuple[IPNetwork, IPNetwork], ...]
    addresses: tuple[IPInterface, ...]
    mtu: int | None = None
    """As configured; None: what the path and the algorithms leave."""

    @property
    def local_id(self) -> str:
        """Our identity: as configured, else our public address."""
        return self.ike.local_id or str(self.local)

    @property
    def remote_id(self) -> str:
        """The peer's identity: as configured, else its public address."""
        return self.ike.remote_id or str(self.remote)


@dataclass(frozen=True, slots=True)
class ChildSa:
    """A CHILD_SA (RFC 7296 1.3), or IPsec SA pair of IKEv1. SPIs are 8 hexadecimal digits."""

    unique_id: int
    state: str
    encapsulated: bool
    spi_in: str
    spi_out: str
    encryption: str
    """As `aes256`; so are the others: `sha256`, `group14`."""
    authentication: str | None
    pfs: str | None
    bytes_in: int
    bytes_out: int
    packets_in: int
    packets_out: int
    installed_at: float
    rekey_at: float | None
    expires_at: float | None
    local_selectors: tuple[str, ...]
    remote_selectors: tuple[str, ...]

    @property
    def established(self) -> bool:
        """It carries packets."""
        return self.state in ("INSTALLED", "REKEYING", "REKEYED")


@dataclass(frozen=True, slots=True)
class IkeSa:
    """An IKE_SA (RFC 7296 1.2), or ISAKMP SA of IKEv1 (RFC 2408). SPIs (cookies): 16 hexadecimal digits."""

    unique_id: int
    version: Literal["ikev1", "ikev2"]
    state: str
    initiator: bool
    local_address: str
    local_port: int
    local_id: str
    remote_address: str
    remote_port: int
    remote_id: str
    spi_initiator: str
    spi_responder: str
    nat_local: bool
    nat_remote: bool
    encryption: str | None
    authentication: str | None
    group: str | None
    established_at: float | None
    rekey_at: float | None
    children: tuple[ChildSa, ...] = ()

    @property
    def established(self) -> bool:
        """Both sides have authenticated each other."""
        return self.state in ("ESTABLISHED", "REKEYING", "REKEYED")


@dataclass(frozen=True, slots=True)
class IpsecError:
    """The last thing that went wrong. `local` and `remote`: the values that do not match, where known."""

    time: float
    cause: Cause
    text: str
    local: str | None = None
    remote: str | None = None


@dataclass(frozen=True, slots=True)
class IpsecState:
    """All that is known of a tunnel's IPsec."""

    tunnel: SessionId
    driver: DriverName
    interface: str
    status: IpsecStatus
    reason: str
    since: float
    """When `status` was entered."""
    seen_at: float
    """When the SAs were read."""
    ike: IkeSa | None = None
    """The one in use; its `children` are those of this tunnel."""
    last_error: IpsecError | None = None
    retry_at: float | None = None
    """When the next attempt begins; None if none is due."""
    mtu: int | None = None
    established_count: int = 0
    """How often both SAs came up, since the daemon started."""
    rekey_count: int = 0
