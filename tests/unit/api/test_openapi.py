"""The OpenAPI document is complete: names, texts, examples that are true, problems."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from pydantic import BaseModel

from api import (
    schemas,
    schemas_control,
    schemas_detection,
    schemas_diagnosis,
    schemas_history,
    schemas_insight,
    schemas_ipsec,
    schemas_routes,
)
from bgpsvc import control, diagnosis, insight, views
from tests.fakes.control import FakeControl
from tests.fakes.service import FakeService
from tests.unit.api.conftest import Client
from tests.unit.api.contract import Contract, Json, Violation
from tests.unit.api.paths import filled, operations

KINDS = (
    ("Vpc", "Vpcs"),
    ("RoutingPolicy", "RoutingPolicies"),
    ("VpnGateway", "VpnGateways"),
    ("CustomerGateway", "CustomerGateways"),
    ("VpnConnection", "VpnConnections"),
    ("DestinationRoute", "DestinationRoutes"),
    ("PolicyRoute", "PolicyRoutes"),
    ("CustomVpcRoute", "CustomVpcRoutes"),
)
OPERATIONS = {
    *(f"{verb}{one}" for one, _ in KINDS for verb in ("create", "get", "replace", "update", "delete")),
    *(f"list{many}" for _, many in KINDS),
    "revealVpnConnection",
    "explainRoute",
    "dumpRoutes",
    "exportRoutes",
    "exportVpcRoutes",
    "simulateVpnGateway",
    "getConfiguration",
    "applyConfiguration",
    "deleteConfiguration",
    "getCaller",
    "listTokens",
    "createToken",
    "getToken",
    "revokeToken",
    "listAuditEntries",
    "rotateSecretsKey",
    "listBgpSessions",
    "listBmpStations",
    "getBgpSession",
    "switchVpnConnection",
    "diagnoseVpnConnection",
    "getPeerConfiguration",
    "listPeerConfigurationPlatforms",
    "listTunnels",
    "getTunnel",
    "getTunnelHistory",
    "restartTunnel",
    "listRoutes",
    "listVpcRoutes",
    "listEvents",
    "streamEvents",
    "getHealth",
    "getReadiness",
    "getMetrics",
}
SHOWN = [
    (views.SessionView, schemas.BgpSession),
    (views.NegotiatedView, schemas.Negotiated),
    (views.PrefixCounts, schemas.PrefixCounts),
    (views.MessageCounts, schemas.MessageCounts),
    (views.SessionError, schemas.SessionError),
    (views.TunnelView, schemas.Tunnel),
    (views.HistoryView, schemas_history.TunnelHistory),
    (views.IpsecState, schemas_ipsec.Ipsec),
    (views.IpsecError, schemas_ipsec.IpsecError),
    (views.IkeSa, schemas_ipsec.IkeSa),
    (views.ChildSa, schemas_ipsec.ChildSa),
    (views.DetectionView, schemas_detection.Detection),
    (views.BfdView, schemas_detection.Bfd),
    (views.ConnectionView, schemas.VpnConnection),
    (views.GatewayView, schemas.VpnGateway),
    (views.VpcView, schemas.Vpc),
    (views.ChoiceView, schemas.Choice),
    (views.SwitchPlan, schemas.SwitchPlan),
    (views.RestartPlan, schemas.RestartPlan),
    (diagnosis.Diagnosis, schemas_diagnosis.Diagnosis),
    (diagnosis.Check, schemas_diagnosis.LayerCheck),
    (diagnosis.Fact, schemas_diagnosis.Fact),
    (views.ReadyView, schemas.Ready),
    (views.RouteView, schemas_routes.Route),
    (views.CandidateView, schemas_routes.Candidate),
    (views.TableRouteView, schemas_routes.TableRoute),
    (views.EventView, schemas_routes.Event),
    (control.Plan, schemas_control.Plan),
    (control.PlannedResource, schemas_control.PlannedResource),
    (control.PlannedEffect, schemas_control.PlannedEffect),
    (control.FieldChange, schemas_control.FieldChange),
    (control.TokenView, schemas_control.Token),
    (control.TokenView, schemas_control.NewToken),
    (control.AuditView, schemas_control.AuditEntry),
    (insight.Explanation, schemas_insight.Explanation),
    (insight.ExplainedPath, schemas_insight.ExplainedPath),
    (insight.PolicyVerdict, schemas_insight.PolicyVerdict),
    (insight.DecisionStep, schemas_insight.DecisionStep),
    (insight.ExplainedHop, schemas_insight.ExplainedHop),
    (insight.LookupStep, schemas_insight.LookupStep),
    (insight.Outcome, schemas_insight.SimulationOutcome),
    (insight.Change, schemas_insight.Change),
    (insight.SampledRoute, schemas_insight.SampledRoute),
    (insight.Question, schemas_insight.Question),
]


def test_operation_ids_name_verb_and_noun_once_each(contract: Contract) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(contract.document)]
    assert len(ids) == len(set(ids))
    assert set(ids) == OPERATIONS


def test_every_operation_refuses_a_parameter_that_it_does_not_know(
    client: Client, contract: Contract, service: FakeService, control: FakeControl
) -> None:
    """A mistyped `dry_run` must not become a real switch, nor a mistyped filter the whole list."""
    before = (service.mode, service.auto_propagate, list(service.log), control.configuration_etag())
    for path, method, operation in operations(contract.document):
        content = operation.get("requestBody", {}).get("content", {})
        body = content["application/json"]["example"] if content else None
        response = client(method.upper(), f"{filled(path, control)}?dryrun=true", json=body)
        assert response.status_code == 422, f"{method} {path}"
        mistake = {"in": "query", "pointer": "#/dryrun", "detail": "is not known here"}
        assert mistake in response.json()["errors"], f"{method} {path}"
    assert (service.mode, service.auto_propagate, service.log, control.configuration_etag()) == before


@pytest.mark.parametrize(("view", "schema"), SHOWN, ids=lambda shown: shown.__name__)
def test_every_member_of_a_view_is_shown(view: type[Any], schema: type[BaseModel]) -> None:
    members = [member.name for member in dataclasses.fields(view)]
    shown = [name for name in schema.model_fields if name in members]
    base = schemas_control.Resource
    common = set(base.model_fields) if issubclass(schema, base) else set()
    assert set(shown) == set(members)
    assert [name for name in shown if name not in common] == [name for name in members if name not in common]
    assert set(schema.model_fields) - set(members) <= common | {"token"}


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
