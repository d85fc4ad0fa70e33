"""Answers to "why" and "what if": frozen views of explanations and simulations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bgpsvc.model import Reason, Role
from bgpsvc.views import CandidateView, RouteState


@dataclass(frozen=True, slots=True)
class PolicyVerdict:
    """What one stage of import said of a path. `rule` counts from 1, None for a built-in check or the default
    action; `changes` says what the rule set (`local_preference 200`, …)."""

    stage: Literal["built_in", "import_policy", "maximum_prefixes"]
    policy: str | None
    rule: int | None
    accepted: bool
    changes: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class ExplainedPath:
    """One announcement of the prefix: as it was received, what import made of it, and how it ended."""

    session: str
    role: Role
    received: Mapping[str, Any]
    """Attributes as announced: next_hop, as_path, origin, med, local_pref, communities."""
    verdicts: tuple[PolicyVerdict, ...]
    candidate: CandidateView | None
    """As it takes part in the decision; None if import refused it."""


@dataclass(frozen=True, slots=True)
class DecisionStep:
    """One step of the decision process. `number` is that of DESIGN.md 6 / docs/concepts.md."""

    number: int
    name: str
    compared: Mapping[str, str]
    """Session to its value in this step, of those that were still in."""
    eliminated: tuple[str, ...]
    remaining: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExplainedHop:
    """One hop of the forwarding class, in the order of preference."""

    session: str
    interface: str
    next_hop: str
    tunnel_state: str
    tunnel_reason: str
    chosen: bool


LookupStage = Literal["connected_or_system", "policy_based", "destination_based", "vpc_table"]


@dataclass(frozen=True, slots=True)
class LookupStep:
    """One stage of the kernel's lookup for the prefix, in its order. `wins`: packets end here.

    `route` is in words (`policy-based route office (priority 10)`), None if the stage has none.
    """

    stage: LookupStage
    route: str | None
    wins: bool
    text: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """The story of one prefix."""

    prefix: str
    family: Literal["ipv4", "ipv6"]
    gateway: str
    vpc: str
    asked: str
    """What was asked for: the prefix itself, or an address whose longest match it is."""
    state: RouteState
    reason: Reason | None
    summary: str
    """One sentence: where packets go and why, or why they go nowhere."""
    paths: tuple[ExplainedPath, ...]
    decision: tuple[DecisionStep, ...]
    hops: tuple[ExplainedHop, ...]
    nexthop_group: int | None
    interface: str | None
    lookup: tuple[LookupStep, ...]
    less_specific: str | None
    """The covering prefix that packets use instead while this one is not installed."""
    kernel: str = ""
    """What the kernel's table has, in words: the group, what it waits for, or the kernel's own error."""


@dataclass(frozen=True, slots=True)
class Question:
    """What if: any of these, together. `documents` has resources by kind, taken as `apply` would."""

    fail_tunnels: tuple[str, ...] = ()
    recover_tunnels: tuple[str, ...] = ()
    auto_propagate: bool | None = None
    documents: Mapping[str, Any] = field(default_factory=dict)
    samples: int = 20
    """How many prefixes of each outcome are named."""


@dataclass(frozen=True, slots=True)
class SampledRoute:
    """One prefix that would change. Sessions are None where it would not be installed."""

    prefix: str
    from_session: str | None
    to_session: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Change:
    """Prefixes with one outcome: how many, and the first ones in address order."""

    count: int
    samples: tuple[SampledRoute, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What would come of a question. `moved` keeps a route over another tunnel."""

    gateway: str
    gained: Change
    lost: Change
    moved: Change
    unchanged: int
    advertised_gained: Mapping[str, int]
    """Session to the number of prefixes that its peer would newly hear from us."""
    advertised_lost: Mapping[str, int]
    notes: tuple[str, ...]
