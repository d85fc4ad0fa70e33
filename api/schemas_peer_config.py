"""Platforms that the other side's configuration can be written for, and what it is asked with."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from api import examples_peer_config as examples
from api.schemas_control import shown

MOST_NETWORKS = 1000


class PeerConfigPlatform(BaseModel):
    """A kind of device."""

    model_config = shown(examples.PLATFORM)

    name: str = Field(description="Its name, as `platform` takes it.")
    title: str = Field(description="What its maker calls it.")
    extension: str = Field(description="Extension of the proposed file name.")
    notes: str = Field(description="Which releases, and what has to be known before.")
    media_type: Literal["text/plain", "application/json"] = Field(description="What the answer is.")
    built_in: bool = Field(description="False: the template is the operator's.")


class PeerConfigPlatforms(BaseModel):
    """A page of platforms."""

    model_config = shown(examples.PLATFORMS)

    items: list[PeerConfigPlatform] = Field(description="In the order of the list.")
    next_cursor: str | None = Field(description="Gets the next page; null: this is the last one.")


class PeerConfigQuery(BaseModel):
    """What is asked for."""

    model_config = ConfigDict(extra="forbid")

    platform: str = Field(
        max_length=63,
        description="Name of a platform; `GET /v1/peer-config-platforms` lists them.",
        examples=["strongswan-frr"],
    )
    secrets: bool = Field(
        default=False,
        description="Keys and passwords in clear: needs the scope admin, and is in the audit log. Without, "
        "placeholders such as `<pre-shared key of tunnel 1>` stand for them.",
    )
    network: list[str] = Field(
        default=[],
        max_length=MOST_NETWORKS,
        description="A prefix behind the other side, to be announced by it; may be given several times. The "
        "resources know such prefixes for connections without BGP only.",
        examples=[["192.168.0.0/16"]],
    )
