"""Diagnoses, as the API shows them and is asked for them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from api import examples_diagnosis as examples
from api.schemas import Timestamp
from api.schemas_control import shown
from bgpsvc.diagnosis import Layer, Outcome


class Fact(BaseModel):
    """A piece of evidence."""

    model_config = shown(examples.FACT)

    label: str = Field(description="What it is about.")
    value: str | None = Field(description="What was seen; null if there are two values to compare.")
    local: str | None = Field(description="The value of this side; null: not known, or none.")
    remote: str | None = Field(description="The peer's value; null: not known, or none.")


class LayerCheck(BaseModel):
    """What was found at one layer."""

    model_config = shown(examples.CHECK)

    layer: Layer = Field(description="The layer; one stands on those before it.")
    outcome: Outcome = Field(
        description="`ok`; `warning`: works, and somebody should look; `failed`; `skipped`: a layer below "
        "failed, or it is not used; `unknown`: could not be examined."
    )
    code: str = Field(description="Names the fault and never changes; `ok` if there is none.")
    summary: str = Field(description="What was found, in one sentence.")
    evidence: list[Fact] = Field(description="What the finding rests on.")
    remedy: str | None = Field(description="What to do about it; null: nothing.")


class TunnelDiagnosis(BaseModel):
    """The layers of one tunnel, in order."""

    model_config = shown(examples.TUNNEL)

    tunnel: str = Field(description="Id of the tunnel.")
    role: Literal["active", "standby"] = Field(description="Its role.")
    fault: LayerCheck | None = Field(
        description="The first layer that failed: those above it may fail because of it. Null: none did."
    )
    checks: list[LayerCheck] = Field(description="One for each layer.")


class Diagnosis(BaseModel):
    """What fails first in the tunnels of a connection, with evidence and remedy."""

    model_config = shown(examples.DIAGNOSIS)

    connection: str = Field(description="Name of the VPN connection.")
    time: Timestamp = Field(description="When it began (RFC 3339, UTC).")
    seconds: float = Field(description="How long it took.")
    summary: str = Field(description="All tunnels in one sentence.")
    tunnels: list[TunnelDiagnosis] = Field(description="The tunnels that were examined.")


class DiagnoseRequest(BaseModel):
    """Which tunnel; without it both."""

    model_config = shown(examples.REQUEST, extra="forbid")

    tunnel: Annotated[int, Field(strict=True, ge=1, le=2)] | None = Field(
        default=None, description="1 or 2; null or no body: all tunnels."
    )
