"""The kinds of resources as the command line names them: `gateways`, `vpn-gateway` are one.

Written down here and not taken from `resources.kinds`, which would load all models for a list of sessions;
a test compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bgpsvc.cli import columns
from bgpsvc.cli.errors import CliError
from bgpsvc.cli.output import Column


@dataclass(frozen=True, slots=True)
class Listed:
    """What `get NAME` lists: its collection under `/v1`, its columns, a line of help.

    `stored`: an operator writes it, so that it can be deleted, and has `config` and `status`.
    """

    name: str
    path: str
    label: str
    columns: Sequence[Column]
    help: str
    stored: bool = True

    @property
    def key(self) -> str:
        """Its list in a configuration file, `vpn_gateways`."""
        return self.path.replace("-", "_")

    @property
    def names(self) -> tuple[str, ...]:
        """Every word that means it."""
        return tuple(
            dict.fromkeys(form for word in (self.name, self.path) for form in (word, singular(word)))
        )


def singular(word: str) -> str:
    """`policy` for `policies`, `route` for `routes`."""
    return word[:-3] + "y" if word.endswith("ies") else word.removesuffix("s")


LISTS = (
    Listed(
        "sessions",
        "bgp-sessions",
        "BGP session",
        columns.SESSIONS,
        "BGP sessions: state, peer, prefixes, flaps.",
        stored=False,
    ),
    Listed(
        "tunnels",
        "tunnels",
        "tunnel",
        columns.TUNNELS,
        "Tunnels: role, liveness, which one carries traffic.",
        stored=False,
    ),
    Listed("vpcs", "vpcs", "VPC", columns.VPCS, "VPCs: address ranges and route tables."),
    Listed(
        "routing-policies",
        "routing-policies",
        "routing policy",
        columns.ROUTING_POLICIES,
        "Import and export policies.",
    ),
    Listed(
        "gateways",
        "vpn-gateways",
        "VPN gateway",
        columns.GATEWAYS,
        "VPN gateways: propagation, learned routes.",
    ),
    Listed(
        "customer-gateways",
        "customer-gateways",
        "customer gateway",
        columns.CUSTOMER_GATEWAYS,
        "Customer gateways: addresses and ASNs of the peers.",
    ),
    Listed(
        "connections",
        "vpn-connections",
        "VPN connection",
        columns.CONNECTIONS,
        "VPN connections: mode, tunnel in use, switchovers.",
    ),
    Listed(
        "destination-routes",
        "destination-routes",
        "destination-based route",
        columns.DESTINATION_ROUTES,
        "Destination-based (static) routes.",
    ),
    Listed(
        "policy-routes",
        "policy-routes",
        "policy-based route",
        columns.POLICY_ROUTES,
        "Policy-based routes, by source and destination.",
    ),
    Listed(
        "vpc-routes",
        "vpc-routes",
        "custom VPC route",
        columns.VPC_ROUTES,
        "Custom routes of VPC route tables.",
    ),
)
STORED = tuple(kind for kind in LISTS if kind.stored)


def find(word: str) -> Listed | None:
    """The list that a word means, in singular or plural, `vpn_gateways` too; None if there is none."""
    return next((kind for kind in LISTS if word.replace("_", "-") in kind.names), None)


def stored_kind(word: str) -> Listed:
    """The kind of resources that a word means; CliError if it is none that an operator writes."""
    kind = find(word)
    if kind is None or not kind.stored:
        known = ", ".join(singular(kind.path) for kind in STORED)
        raise CliError(f"{word!r} is not a kind of resources; there is {known}", 2)
    return kind


def label_of(key: str) -> str:
    """What texts call a resource of the kind `vpn_gateways`; an unknown key stays as it is."""
    kind = find(key)
    return kind.label if kind else key
