"""What the kinds of resources show and are called.

VPCs, VPN gateways and VPN connections show beside their document what runs. A resource that the engine has
let go of already, because it is being deleted, shows that nothing of it does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, Field, create_model

from api import examples_documents as examples
from api import schemas, schemas_control
from api.render import plain, rfc3339
from bgpsvc.control import Control, ResourceView
from bgpsvc.model import SwitchMode
from bgpsvc.port import NotFound, Service
from bgpsvc.resources.kinds import KINDS, Kind
from bgpsvc.views import ConnectionView, GatewayView, VpcView

Json = dict[str, Any]
Runtime = Callable[[Service, ResourceView], Json]
SETTLING = "routes or advertisements of the last change are still on their way"


def _nothing(_service: Service, _view: ResourceView) -> Json:
    return {}


def _vpc(service: Service, view: ResourceView) -> Json:
    try:
        found = service.vpc(view.name)
    except NotFound:
        config = view.config
        found = VpcView(view.name, tuple(config["cidrs"]), config["route_table"], None, 0)
    return plain_of(found)


def _gateway(service: Service, view: ResourceView) -> Json:
    try:
        found = service.gateway(view.name)
    except NotFound:
        config = view.config
        found = GatewayView(
            name=view.name,
            vpc=config["vpc"],
            addresses=tuple(config["addresses"]),
            auto_propagate=config["auto_propagate"],
            status="active",
            connections=(),
            routes_learned=0,
            routes_installed=0,
            advertised=(),
            etag=view.etag,
        )
    return plain_of(found)


def _connection(service: Service, view: ResourceView) -> Json:
    try:
        found = service.connection(view.name)
    except NotFound:
        config = view.config
        found = ConnectionView(
            name=view.name,
            gateway=config["vpn_gateway"],
            local_asn=config["local_asn"],
            mode=SwitchMode.AUTO,
            choice=None,
            carrying=None,
            switchovers=0,
            last_switchover=None,
            last_switchover_reason=None,
            tunnels=(),
        )
    return plain_of(found)


def plain_of(view: object) -> Json:
    """A view as a dict."""
    made: Json = plain(view)
    return made


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of resources in the API: `noun` names its schemas and, with a verb, its operations."""

    kind: Kind
    noun: str
    tag: str
    schema: type[BaseModel]
    written: type[BaseModel]
    listing: type[BaseModel]
    runtime: Runtime = _nothing
    secrets: bool = False

    @property
    def path(self) -> str:
        """Its collection."""
        return f"/v1/{self.kind.path}"

    def show(self, service: Service, control: Control, view: ResourceView) -> Json:
        """A resource as the API shows it."""
        made = self.runtime(service, view)
        status, reason, etag = view.status, view.status_reason, view.etag
        if self.kind.key == "vpn_gateways":
            if status == "active" and made["status"] == "updating":
                status, reason = "updating", SETTLING
            if control.read_only is not None:
                # There the propagation switch is all that can change, and the service has its version.
                etag = made["etag"]
        return made | {
            "name": view.name,
            "config": view.config,
            "status": status,
            "status_reason": reason,
            "created_at": rfc3339(view.created_at),
            "updated_at": rfc3339(view.updated_at),
            "warnings": view.warnings,
            "etag": etag,
        }


def _model(name: str, base: type[BaseModel], text: str, example: Json, **members: Any) -> type[BaseModel]:
    """A model with examples, made where the kinds differ in nothing but their names."""
    made: type[BaseModel] = create_model(name, __base__=base, __doc__=text, __module__=__name__, **members)
    made.model_config = {**made.model_config, **schemas_control.shown(example)}
    made.model_rebuild(force=True)
    return made


def example_of(kind: Kind) -> Json:
    """A resource of a kind as the API shows it."""
    document = examples.DOCUMENTS[kind.key][0]
    return {"name": document["name"], "config": document, **examples.COMMON}


def _shape(
    kind: Kind,
    noun: str,
    tag: str,
    schema: type[BaseModel] | None = None,
    runtime: Runtime = _nothing,
    secrets: bool = False,
) -> Shape:
    if schema is None:
        example = example_of(kind)
        schema = _model(noun, schemas_control.Resource, f"A {kind.label}.", example)
    else:
        extra: Any = schema.model_config["json_schema_extra"]
        example = extra["examples"][0]
    page: Any = schemas.Listing[schema]  # type: ignore[valid-type]
    return Shape(
        kind=kind,
        noun=noun,
        tag=tag,
        schema=schema,
        written=_model(
            f"{noun}Written",
            schema,
            f"A {kind.label} after a write, and what the write does.",
            example | {"plan": examples.PLAN},
            plan=(schemas_control.Plan, Field(description="What the write does.")),
        ),
        listing=_model(
            f"{noun}List", page, f"A page of {tag}, by name.", {"items": [example], "next_cursor": None}
        ),
        runtime=runtime,
        secrets=secrets,
    )


_KIND = {kind.key: kind for kind in KINDS}
SHAPES: tuple[Shape, ...] = (
    _shape(_KIND["vpcs"], "Vpc", "VPCs", schemas.Vpc, _vpc),
    _shape(_KIND["routing_policies"], "RoutingPolicy", "Routing policies"),
    _shape(_KIND["vpn_gateways"], "VpnGateway", "VPN gateways", schemas.VpnGateway, _gateway),
    _shape(_KIND["customer_gateways"], "CustomerGateway", "Customer gateways"),
    _shape(
        _KIND["vpn_connections"],
        "VpnConnection",
        "VPN connections",
        schemas.VpnConnection,
        _connection,
        secrets=True,
    ),
    _shape(_KIND["destination_routes"], "DestinationRoute", "Destination-based routes"),
    _shape(_KIND["policy_routes"], "PolicyRoute", "Policy-based routes"),
    _shape(_KIND["vpc_routes"], "CustomVpcRoute", "Custom VPC routes"),
)
SHAPE_OF: Mapping[str, Shape] = MappingProxyType({shape.kind.key: shape for shape in SHAPES})
assert tuple(shape.kind for shape in SHAPES) == KINDS, "every kind has its place in the API"
