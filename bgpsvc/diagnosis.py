"""What a diagnosis says: the layers of a tunnel in order, what was seen at each, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Layer = Literal[
    "address", "udp", "phase1", "phase2", "interface", "bgp", "routes", "data_path", "mtu", "detection"
]
LAYERS: tuple[Layer, ...] = (
    "address",
    "udp",
    "phase1",
    "phase2",
    "interface",
    "bgp",
    "routes",
    "data_path",
    "mtu",
    "detection",
)
"""In the order in which they are examined; one stands on those before it."""

Outcome = Literal["ok", "warning", "failed", "skipped", "unknown"]
"""warning: works, and somebody should look; skipped: a layer below failed, or it is not used;
unknown: could not be examined."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A piece of evidence. `local` and `remote`: values side by side, None where not known."""

    label: str
    value: str | None = None
    local: str | None = None
    remote: str | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """What was found at one layer. `code` is stable and names the fault (`ok` if there is none)."""

    layer: Layer
    outcome: Outcome
    code: str
    summary: str
    evidence: tuple[Fact, ...] = ()
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class TunnelDiagnosis:
    """The checks of a tunnel in the order of `LAYERS`; `fault` is the first that failed."""

    tunnel: str
    role: Literal["active", "standby"]
    checks: tuple[Check, ...]

    @property
    def fault(self) -> Check | None:
        """The first layer that failed; those above it may fail because of it."""
        return next((check for check in self.checks if check.outcome == "failed"), None)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Of a connection: `summary` in one sentence, `time` in Unix seconds, `seconds` it took."""

    connection: str
    time: float
    seconds: float
    summary: str
    tunnels: tuple[TunnelDiagnosis, ...]
