"""The kinds of resources, in the order in which they can be created: each refers to earlier ones only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bgpsvc.resources.models import (
    CustomerGateway,
    DestinationRoute,
    PolicyRoute,
    Resource,
    RoutingPolicy,
    Vpc,
    VpcRoute,
    VpnConnection,
    VpnGateway,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of resources.

    `key` is its list in a configuration file and the field of `Intent`, `path` its collection under `/v1`,
    `label` what texts call one of it.
    """

    key: str
    label: str
    model: type[Resource]

    @property
    def path(self) -> str:
        """`vpn-gateways` for `vpn_gateways`."""
        return self.key.replace("_", "-")


KINDS: tuple[Kind, ...] = (
    Kind("vpcs", "VPC", Vpc),
    Kind("routing_policies", "routing policy", RoutingPolicy),
    Kind("vpn_gateways", "VPN gateway", VpnGateway),
    Kind("customer_gateways", "customer gateway", CustomerGateway),
    Kind("vpn_connections", "VPN connection", VpnConnection),
    Kind("destination_routes", "destination-based route", DestinationRoute),
    Kind("policy_routes", "policy-based route", PolicyRoute),
    Kind("vpc_routes", "custom VPC route", VpcRoute),
)
KIND_OF: Mapping[str, Kind] = MappingProxyType({kind.key: kind for kind in KINDS})
