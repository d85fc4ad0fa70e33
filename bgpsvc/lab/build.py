"""The reference scenario made by REST alone: every resource of both sides, then automatic propagation.

The order is that in which each resource finds those that it refers to. Propagation is off at first and is
switched on last, because that is what makes the VPCs reach each other.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from bgpsvc.lab.client import Rest
from bgpsvc.lab.daemons import LabSpec, gateway_document, served_gateways
from bgpsvc.lab.looking import Look
from bgpsvc.lab.topology import TUNNELS, TunnelKind

_KEY_BYTES = 24

Until = Callable[[str, Look], None]
"""Looks until it is True; raises if it does not become so. First what is expected, in words."""


@dataclass(frozen=True, slots=True)
class BuildStep:
    """One step: `run` does it at each gateway and checks what came of it."""

    name: str
    title: str
    run: Callable[[], None]


def new_keys() -> dict[int, str]:
    """A pre-shared key for each tunnel, which nobody else knows."""
    return {tunnel: secrets.token_urlsafe(_KEY_BYTES) for tunnel in TUNNELS}


def build_steps(
    spec: LabSpec, keys: Mapping[int, str], rest: Mapping[str, Rest], until: Until
) -> list[BuildStep]:
    """The steps that make the resources, in order. They raise `client.Refused`, or what `until` raises.

    `keys`: the pre-shared key of each tunnel, where the tunnels are IPsec.
    """
    documents = {
        gateway.name: gateway_document(
            gateway, spec.hold_time, spec.prefixes, keys_of(spec, keys), spec.bfd_ms
        )
        for gateway in served_gateways(spec.peer)
    }
    for gateway in documents.values():
        for vpn_gateway in gateway["vpn_gateways"]:
            vpn_gateway["auto_propagate"] = False
    steps = []
    for kind in ("vpcs", "vpn_gateways", "customer_gateways", "vpn_connections"):
        made = {name: document[kind] for name, document in documents.items()}
        collection = kind.replace("_", "-")
        steps.append(
            BuildStep(
                f"make_{kind}",
                f"POST /v1/{collection} at {', '.join(made)}",
                partial(_make, rest, collection, made, until),
            )
        )
    return steps


def propagation_step(spec: LabSpec, rest: Mapping[str, Rest], until: Until) -> BuildStep:
    """The step that switches automatic propagation on at both gateways."""
    names = [gateway.name for gateway in served_gateways(spec.peer)]

    def switch() -> None:
        for name in names:
            rest[name].set_auto_propagate(name, True)
        for name in names:
            until(f"auto_propagate of {name} is on", partial(_differs, rest[name], "vpn-gateways", name, _ON))

    return BuildStep("make_propagation", f"PATCH /v1/vpn-gateways at {', '.join(names)}", switch)


def keys_of(spec: LabSpec, keys: Mapping[int, str]) -> Mapping[int, str] | None:
    """The keys where the tunnels have some, None where they are links that the lab has made."""
    return keys if spec.tunnels is TunnelKind.IPSEC else None


_ON = {"auto_propagate": True}


def _make(
    rest: Mapping[str, Rest],
    collection: str,
    made: Mapping[str, Iterable[dict[str, Any]]],
    until: Until,
) -> None:
    for gateway, documents in made.items():
        for document in documents:
            rest[gateway].create(collection, document)
    for gateway, documents in made.items():
        for document in documents:
            name = str(document["name"])
            until(
                f"{gateway} shows {collection} {name} active, and as it was sent",
                partial(_differs, rest[gateway], collection, name, document),
            )


def _differs(rest: Rest, collection: str, name: str, sent: Mapping[str, Any]) -> bool | str:
    found = rest.resource(collection, name)
    if found["status"] != "active":
        return f"{name} is {found['status']}: {found['status_reason']}"
    return contains(found["config"], without_keys(sent)) or f"{found['config']}"


def without_keys(document: Any) -> Any:
    """A document without the pre-shared keys in it, which no answer shows."""
    if isinstance(document, Mapping):
        return {key: without_keys(value) for key, value in document.items() if key != "pre_shared_key"}
    return [without_keys(item) for item in document] if isinstance(document, list) else document


def contains(found: Any, sent: Any) -> bool:
    """True if a document has everything that was sent, whatever defaults it has beside that."""
    if isinstance(sent, Mapping):
        return isinstance(found, Mapping) and all(
            key in found and contains(found[key], value) for key, value in sent.items()
        )
    if isinstance(sent, list):
        return (
            isinstance(found, list)
            and len(found) == len(sent)
            and all(contains(one, other) for one, other in zip(found, sent, strict=True))
        )
    return bool(found == sent)
