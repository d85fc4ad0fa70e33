"""What the API shows of a tunnel's IPsec: status, SAs, last error."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from api import examples_ipsec as examples
from api.schemas_control import Time, shown
from bgpsvc.views import Cause, DriverName, IpsecStatus


class ChildSa(BaseModel):
    """A CHILD_SA (RFC 7296 1.3), or the IPsec SA pair of IKEv1."""

    model_config = shown(examples.CHILD_SA)

    unique_id: int = Field(description="Its number in charon.")
    state: str = Field(description="charon's state: `INSTALLED`, `REKEYING` and `REKEYED` carry packets.")
    encapsulated: bool = Field(description="ESP travels in UDP (RFC 3948).")
    spi_in: str = Field(description="SPI of what comes in, 8 hexadecimal digits.")
    spi_out: str = Field(description="SPI of what goes out.")
    encryption: str = Field(description="Encryption algorithm, as `aes256`.")
    authentication: str | None = Field(description="Integrity algorithm, as `sha256`; null: none of its own.")
    pfs: str | None = Field(
        description="Diffie-Hellman group, as `group14`; null: without PFS, or made together with the IKE SA."
    )
    bytes_in: int = Field(description="Bytes received.")
    bytes_out: int = Field(description="Bytes sent.")
    packets_in: int = Field(description="Packets received.")
    packets_out: int = Field(description="Packets sent.")
    installed_at: Time = Field(description="When it was made (RFC 3339, UTC).")
    rekey_at: Time | None = Field(description="When it is replaced by a fresh one; null: never.")
    expires_at: Time | None = Field(description="When it ends unless it is replaced; null: never.")
    local_selectors: list[str] = Field(description="What it takes of ours.")
    remote_selectors: list[str] = Field(description="What it takes of the peer's.")


class IkeSa(BaseModel):
    """An IKE_SA (RFC 7296 1.2), or ISAKMP SA of IKEv1 (RFC 2408)."""

    model_config = shown(examples.IKE_SA)

    unique_id: int = Field(description="Its number in charon.")
    version: Literal["ikev1", "ikev2"] = Field(description="IKE version.")
    state: str = Field(description="charon's state: `CONNECTING`, `ESTABLISHED`, `REKEYING`, `DELETING` …")
    initiator: bool = Field(description="We began it.")
    local_address: str = Field(description="Our public address.")
    local_port: int = Field(description="Our UDP port on the wire: 500, or 4500 with encapsulation.")
    local_id: str = Field(description="Our identity.")
    remote_address: str = Field(description="The peer's public address.")
    remote_port: int = Field(description="The peer's UDP port.")
    remote_id: str = Field(description="The peer's identity.")
    spi_initiator: str = Field(description="SPI (cookie) of the side that began, 16 hexadecimal digits.")
    spi_responder: str = Field(description="SPI (cookie) of the other side.")
    nat_local: bool = Field(description="There is a NAT before us, or encapsulation is asked for.")
    nat_remote: bool = Field(description="There is a NAT before the peer, or it asks for encapsulation.")
    encryption: str | None = Field(description="Encryption algorithm; null before it is agreed on.")
    authentication: str | None = Field(description="Integrity algorithm; null likewise.")
    group: str | None = Field(description="Diffie-Hellman group, as `group14`; null likewise.")
    established_at: Time | None = Field(description="When both sides had authenticated (RFC 3339, UTC).")
    rekey_at: Time | None = Field(description="When it is replaced by a fresh one; null: never.")
    children: list[ChildSa] = Field(description="CHILD_SAs of the tunnel.")


class IpsecError(BaseModel):
    """The last thing that went wrong with a tunnel's IPsec."""

    model_config = shown(examples.IPSEC_ERROR)

    time: Time = Field(description="When it happened (RFC 3339, UTC).")
    cause: Cause = Field(description="What went wrong, for programs.")
    text: str = Field(description="What went wrong.")
    local: str | None = Field(description="Our value, where two do not match; null: not known.")
    remote: str | None = Field(description="The peer's value, where two do not match; null: not known.")


class Ipsec(BaseModel):
    """IPsec of a tunnel that the service makes."""

    model_config = shown(examples.IPSEC)

    tunnel: str = Field(description="Id of the tunnel.")
    driver: DriverName = Field(
        description="Who makes it: `xfrm`, the kernel; `userspace`, a charon of its own; `external`: nobody."
    )
    interface: str = Field(description="Network interface.")
    status: IpsecStatus = Field(description="The cloud's status: the first that is not so names the layer.")
    reason: str = Field(description="Why it has that status.")
    since: Time = Field(description="When it got that status (RFC 3339, UTC).")
    seen_at: Time = Field(description="When the SAs were read.")
    ike: IkeSa | None = Field(description="The IKE SA in use; null: there is none.")
    last_error: IpsecError | None = Field(description="The last error; null if there was none.")
    retry_at: Time | None = Field(description="When the next attempt begins; null: none is due.")
    mtu: int | None = Field(description="MTU of the interface in bytes; null: there is none yet.")
    established_count: int = Field(description="How often both SAs came up since the service started.")
    rekey_count: int = Field(description="How often an SA was replaced by a fresh one since then.")
