"""What tunnels carried lately, as the API shows it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from api import examples_history as examples
from api.schemas import Timestamp, described
from bgpsvc.views import HistoryWindow

Numbers = list[float | None]
Counts = list[int | None]


class TunnelHistory(BaseModel):
    """The recent past of a tunnel: one value for each interval, oldest first, null where it is not known."""

    model_config = described(examples.HISTORY)

    tunnel: str = Field(description="Id of the tunnel.")
    window: HistoryWindow = Field(description="How far back it goes.")
    interval: int = Field(description="Length of an interval in seconds: 5 (15m), 20 (1h) or 300 (24h).")
    start: Timestamp = Field(description="When the first interval began (RFC 3339, UTC).")
    bytes_in: Numbers = Field(
        description="Bytes per second that came out of the tunnel, as its network interface counts them."
    )
    bytes_out: Numbers = Field(description="Bytes per second that went into the tunnel.")
    packets_in: Numbers = Field(description="Packets per second that came out of the tunnel.")
    packets_out: Numbers = Field(description="Packets per second that went into the tunnel.")
    carrying: Numbers = Field(
        description="Share of the interval, 0 to 1, in which the connection's traffic took this tunnel."
    )
    session_up: Numbers = Field(
        description="The same of the BGP session being up, as it was looked at every 5 s; null without BGP."
    )
    prefixes_received: Counts = Field(description="Prefixes received, at the end of the interval.")
    prefixes_accepted: Counts = Field(description="Those of them that import accepted.")
    prefixes_advertised: Counts = Field(description="Prefixes advertised to the peer.")


class HistoryQuery(BaseModel):
    """How far back."""

    model_config = ConfigDict(extra="forbid")

    window: HistoryWindow = Field(
        default="1h",
        description="The last quarter of an hour, hour, or day. The longer, the longer an interval.",
        examples=["15m"],
    )
