"""What the API shows of BMP monitoring stations."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from api import examples_bmp as examples
from api.examples import listing
from api.schemas import Listing, Timestamp, described

RibName = Literal["pre-policy", "post-policy", "loc-rib", "adj-rib-out"]


class BmpStation(BaseModel):
    """A BMP monitoring station (RFC 7854) that the daemon tells of sessions and routes."""

    model_config = described(examples.STATION)

    station: str = Field(description="Address and port, as `serve --bmp` named them.")
    state: Literal["connecting", "connected", "waiting"] = Field(
        description="`waiting`: until the next attempt to connect."
    )
    since: Timestamp = Field(description="Since when (RFC 3339, UTC).")
    ribs: list[RibName] = Field(description="What it is told.")
    peers: int = Field(description="Peers that it was told are up; the Loc-RIB of a gateway counts as one.")
    dumping: int = Field(description="Those of them whose tables are on their way for the first time.")
    pending: int = Field(description="Prefixes that changed and that it has not been told of yet.")
    connections: int = Field(description="How often it was connected since the daemon started.")
    messages: int = Field(description="BMP messages written on all of these connections.")
    bytes: int = Field(description="Bytes written on all of these connections.")
    last_error: str | None = Field(description="Why it could not be connected, or was lost, the last time.")
    last_error_at: Timestamp | None = Field(description="When that was; null if it never was.")


class BmpStationList(Listing[BmpStation]):
    """A page of BMP stations."""

    model_config = described(listing(examples.STATION))
