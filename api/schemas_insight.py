"""Explanations and simulations, as the API shows and takes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StrictBool, StringConstraints

from api import examples_insight as examples
from api.schemas_control import Json, shown
from api.schemas_routes import Candidate
from bgpsvc.insight import LookupStage
from bgpsvc.model import Reason, Role
from bgpsvc.views import RouteState

MAX_TUNNELS = 10_000


class PolicyVerdict(BaseModel):
    """What one stage of import said of a path."""

    model_config = shown(examples.VERDICT)

    stage: Literal["built_in", "import_policy", "maximum_prefixes"] = Field(description="The stage.")
    policy: str | None = Field(description="Name of the routing policy; null: none is involved.")
    rule: int | None = Field(
        description="Number of its rule that decided, from 1; null: a built-in check or the default action."
    )
    accepted: bool = Field(description="The path went on.")
    changes: list[str] = Field(description="What the rule set.")
    text: str = Field(description="The verdict as a sentence.")


class ExplainedPath(BaseModel):
    """One announcement of the prefix: as it was received, what import made of it, how it ended."""

    model_config = shown(examples.PATH)

    session: str = Field(description="Id of the session that announced it.")
    role: Role = Field(description="Role of its tunnel.")
    received: Json = Field(
        description="Attributes as announced: next_hop, as_path, origin, med, local_pref, communities."
    )
    verdicts: list[PolicyVerdict] = Field(description="What import said, stage by stage.")
    candidate: Candidate | None = Field(
        description="As it takes part in the decision; null if import refused it."
    )


class DecisionStep(BaseModel):
    """One step of the decision process."""

    model_config = shown(examples.STEP)

    number: int = Field(description="Number of the step.")
    name: str = Field(description="What it compares.")
    compared: dict[str, str] = Field(description="The value of each session that was still in.")
    eliminated: list[str] = Field(description="Sessions whose paths lost here.")
    remaining: list[str] = Field(description="Sessions whose paths went on.")


class ExplainedHop(BaseModel):
    """One hop of the forwarding class."""

    model_config = shown(examples.HOP)

    session: str = Field(description="Id of the session (and tunnel).")
    interface: str = Field(description="Network interface.")
    next_hop: str = Field(description="Next hop address.")
    tunnel_state: str = Field(description="State of the tunnel.")
    tunnel_reason: str = Field(description="Why it is in that state.")
    chosen: bool = Field(description="Traffic takes this hop.")


class LookupStep(BaseModel):
    """One stage of the kernel's lookup, in its order."""

    model_config = shown(examples.LOOKUP)

    stage: LookupStage = Field(description="The stage.")
    route: str | None = Field(description="What it has for the prefix; null: nothing.")
    wins: bool = Field(description="Packets end here.")
    text: str = Field(description="The stage in a sentence.")


class Explanation(BaseModel):
    """The story of one prefix."""

    model_config = shown(examples.EXPLANATION)

    prefix: str = Field(description="The prefix.")
    family: Literal["ipv4", "ipv6"] = Field(description="Address family.")
    gateway: str = Field(description="Name of the VPN gateway.")
    vpc: str = Field(description="Name of its VPC.")
    asked: str = Field(description="What was asked for: the prefix, or an address whose longest match it is.")
    state: RouteState = Field(description="State of the route.")
    reason: Reason | None = Field(description="Why it is not installed; null if it is.")
    summary: str = Field(description="Where packets go and why, or why they go nowhere.")
    paths: list[ExplainedPath] = Field(description="Everybody who announces it.")
    decision: list[DecisionStep] = Field(description="The decision process, as far as it went.")
    hops: list[ExplainedHop] = Field(description="Hops of the forwarding class, the preferred one first.")
    nexthop_group: int | None = Field(description="Id of the kernel nexthop group; null: none.")
    interface: str | None = Field(description="Network interface that traffic takes; null: none.")
    lookup: list[LookupStep] = Field(description="What the kernel asks, in its order.")
    less_specific: str | None = Field(
        description="Covering prefix that packets use while this one is not installed; null: none."
    )
    kernel: str = Field(description="What the kernel's table has of it, in words.")


TunnelName = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class Question(BaseModel):
    """What if: any of these, together."""

    model_config = shown(examples.QUESTION, extra="forbid")

    fail_tunnels: list[TunnelName] = Field(
        default=[], max_length=MAX_TUNNELS, description="Ids of tunnels that would be down."
    )
    recover_tunnels: list[TunnelName] = Field(
        default=[], max_length=MAX_TUNNELS, description="Ids of tunnels that would be live."
    )
    auto_propagate: StrictBool | None = Field(
        default=None, description="How automatic propagation would be switched; null: as it is."
    )
    documents: dict[str, Any] = Field(
        default={}, description="Resources that would be different, in the form of the configuration file."
    )
    samples: Annotated[int, Field(strict=True)] = Field(
        default=20, ge=0, le=1000, description="How many prefixes of each outcome are named."
    )


class SampledRoute(BaseModel):
    """One prefix that would change."""

    model_config = shown(examples.SAMPLE)

    prefix: str = Field(description="The prefix.")
    from_session: str | None = Field(description="Session that traffic takes now; null: not installed.")
    to_session: str | None = Field(description="Session that it would take; null: not installed.")
    reason: str = Field(description="Why.")


class Change(BaseModel):
    """Prefixes with one outcome."""

    model_config = shown(examples.CHANGE)

    count: int = Field(description="How many.")
    samples: list[SampledRoute] = Field(description="The first ones in address order.")


class SimulationOutcome(BaseModel):
    """What would come of a question."""

    model_config = shown(examples.OUTCOME)

    gateway: str = Field(description="Name of the VPN gateway.")
    gained: Change = Field(description="Prefixes that would be installed and are not now.")
    lost: Change = Field(description="Prefixes that would not be installed any more.")
    moved: Change = Field(description="Prefixes that would be kept over another tunnel.")
    unchanged: int = Field(description="Prefixes that would stay as they are.")
    advertised_gained: dict[str, int] = Field(
        description="Session to the number of prefixes that its peer would newly hear."
    )
    advertised_lost: dict[str, int] = Field(
        description="Session to the number of prefixes that its peer would hear no more."
    )
    notes: list[str] = Field(description="What else there is to say.")
