"""What the API shows of the ways in which a tunnel's death is noticed."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from api import examples_detection as examples
from api.schemas_control import Time, shown
from bgpsvc.views import DetectionMethod

BfdState = Literal["admin_down", "down", "init", "up"]


class Detection(BaseModel):
    """One way in which a tunnel's death is noticed."""

    model_config = shown(examples.BFD_DETECTION)

    method: DetectionMethod = Field(
        description="`link`: the kernel tells of the interface; `bfd`; `probe`: echo requests to the peer; "
        "`dpd`: dead peer detection of IKE; `hold_time` of the BGP session; `health_check`."
    )
    in_force: bool = Field(description="It would notice a death now.")
    worst_case_ms: int | None = Field(
        description="Within how many milliseconds at the latest; null while it is not in force."
    )
    state: Literal["up", "down", "waiting"] = Field(
        description="What it sees; `waiting`: nothing yet, or nothing that counts."
    )
    reason: str = Field(description="What it sees in words, or why it is not in force.")


class Bfd(BaseModel):
    """A BFD session (RFC 5880 6.8.1)."""

    model_config = shown(examples.BFD)

    state: BfdState = Field(description="Our state.")
    remote_state: BfdState = Field(description="The peer's state, as it last said.")
    diagnostic: str = Field(description="Why our session last went down (RFC 5880 4.1), in words.")
    remote_diagnostic: str = Field(description="The same of the peer's.")
    local_discriminator: int = Field(description="Our number of the session.")
    remote_discriminator: int = Field(description="The peer's; 0 before it is known.")
    transmit_ms: float = Field(description="Milliseconds between packets that we send, without jitter.")
    receive_ms: float = Field(description="Milliseconds between packets that we can take, as we say.")
    detection_ms: float = Field(description="Milliseconds without a packet after which the peer is dead.")
    sent: int = Field(description="Packets sent.")
    received: int = Field(description="Packets received and taken.")
    rejected: int = Field(description="Packets refused: authentication, TTL, discriminator, form.")
    last_rejected: str | None = Field(description="Why the last one was refused; null: none was.")
    since: Time = Field(description="When its state was entered (RFC 3339, UTC).")
    flaps: int = Field(description="How often it went down from up.")
