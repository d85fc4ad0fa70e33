"""The OpenAPI document is complete: names, texts, examples that are true, problems."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from api import schemas, schemas_routes
from bgpsvc import views
from tests.fakes.service import FakeService
from tests.unit.api.conftest import Client
from tests.unit.api.contract import Contract, Json, Violation

HTTP_METHODS = ("get", "post", "put", "patch", "delete")
OPERATIONS = {
    "listBgpSessions",
    "getBgpSession",
    "listVpnConnections",
    "getVpnConnection",
    "switchVpnConnection",
    "listTunnels",
    "getTunnel",
    "listVpnGateways",
    "getVpnGateway",
    "updateVpnGateway",
    "listRoutes",
    "listVpcs",
    "getVpc",
    "listVpcRoutes",
    "listEvents",
    "streamEvents",
    "getHealth",
    "getReadiness",
    "getMetrics",
}
NAMES = {
    "bgp-sessions": "conn1-tunnel1",
    "tunnels": "conn1-tunnel1",
    "vpn-connections": "conn1",
    "vpn-gateways": "gw1",
    "vpcs": "vpc1",
}
BODIES = {"switchVpnConnection": {"mode": "standby"}, "updateVpnGateway": {"auto_propagate": False}}
SHOWN = [
    (views.SessionView, schemas.BgpSession),
    (views.NegotiatedView, schemas.Negotiated),
    (views.PrefixCounts, schemas.PrefixCounts),
    (views.MessageCounts, schemas.MessageCounts),
    (views.SessionError, schemas.SessionError),
    (views.TunnelView, schemas.Tunnel),
    (views.ConnectionView, schemas.VpnConnection),
    (views.GatewayView, schemas.VpnGateway),
    (views.VpcView, schemas.Vpc),
    (views.SwitchPlan, schemas.SwitchPlan),
    (views.ReadyView, schemas.Ready),
    (views.RouteView, schemas_routes.Route),
    (views.CandidateView, schemas_routes.Candidate),
    (views.TableRouteView, schemas_routes.TableRoute),
    (views.EventView, schemas_routes.Event),
]


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert method in HTTP_METHODS
            yield path, method, operation


def test_operation_ids_name_verb_and_noun_once_each(contract: Contract) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(contract.document)]
    assert len(ids) == len(set(ids))
    assert set(ids) == OPERATIONS


def test_every_operation_refuses_a_parameter_that_it_does_not_know(
    client: Client, contract: Contract, service: FakeService
) -> None:
    """A mistyped `dry_run` must not become a real switch, nor a mistyped filter the whole list."""
    before = (service.mode, service.auto_propagate, list(service.log))
    for path, method, operation in operations(contract.document):
        for name, value in NAMES.items():
            path = path.replace(f"/{name}/{{id}}", f"/{name}/{value}").replace(
                f"/{name}/{{name}}", f"/{name}/{value}"
            )
        body = BODIES.get(operation["operationId"])
        response = client(method.upper(), f"{path}?dryrun=true", json=body)
        assert response.status_code == 422, f"{method} {path}"
        mistake = {"in": "query", "pointer": "#/dryrun", "detail": "is not known here"}
        assert response.json()["errors"] == [mistake], f"{method} {path}"
    assert (service.mode, service.auto_propagate, service.log) == before


@pytest.mark.parametrize(("view", "schema"), SHOWN, ids=lambda shown: shown.__name__)
def test_every_member_of_a_view_is_shown(view: type[Any], schema: type[BaseModel]) -> None:
    assert [member.name for member in dataclasses.fields(view)] == list(schema.model_fields)


def test_every_operation_is_described(contract: Contract) -> None:
    tags = {tag["name"] for tag in contract.document["tags"]}
    for path, method, operation in operations(contract.document):
        where = f"{method} {path}"
        assert operation["summary"], where
        assert operation["description"], where
        assert set(operation["tags"]) <= tags, where
        for parameter in operation.get("parameters", ()):
            assert parameter.get("description"), f"{where}: {parameter['name']}"


def test_every_operation_documents_problems(contract: Contract) -> None:
    for path, method, operation in operations(contract.document):
        where, responses = f"{method} {path}", operation["responses"]
        errors = {status: r for status, r in responses.items() if status == "default" or int(status) >= 400}
        assert "default" in errors, where
        assert ("404" in errors) == ("{" in path), where
        for status, response in errors.items():
            assert list(response["content"]) == ["application/problem+json"], f"{where} {status}"


def test_every_body_has_an_example_that_fits_its_schema(contract: Contract) -> None:
    for path, method, operation in operations(contract.document):
        holders = list(operation["responses"].values())
        if "requestBody" in operation:
            holders.append(operation["requestBody"])
        for holder in holders:
            for media, content in holder["content"].items():
                contract.valid(content["example"], content["schema"], f"{method} {path} {media}")


def test_every_schema_and_field_is_described_with_true_examples(contract: Contract) -> None:
    for name, schema in contract.document["components"]["schemas"].items():
        assert schema["description"], name
        if schema["type"] != "object":
            continue
        assert schema["examples"], name
        for example in schema["examples"]:
            contract.valid(example, schema, name)
        for member, description in schema["properties"].items():
            assert description.get("description"), f"{name}.{member}"


def test_the_validator_finds_what_does_not_fit(contract: Contract) -> None:
    def fits(value: Json, schema: Json) -> bool:
        try:
            contract.valid(value, schema, "")
        except Violation:
            return False
        return True

    session = {"$ref": "#/components/schemas/BgpSession"}
    good = contract.document["components"]["schemas"]["BgpSession"]["examples"][0]
    assert fits(good, session)
    assert not fits({k: v for k, v in good.items() if k != "role"}, session)
    assert not fits(good | {"more": 1}, session)
    assert not fits(good | {"tunnel": True}, session)
    assert not fits(good | {"state": "up"}, session)
    assert not fits(good | {"since": 12.5}, session)
    with pytest.raises(Violation, match="keyword"):
        contract.valid(1, {"exclusiveMinimum": 0}, "")
