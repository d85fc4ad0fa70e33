"""The JSON Schema of each model: every field has a type and says what is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import jsonschema_rs
import pytest

from bgpsvc.resources.fields import MASK
from bgpsvc.resources.kinds import KINDS, Kind
from bgpsvc.resources.models import Intent, Resource
from bgpsvc.resources.plain import plain
from bgpsvc.resources.schema import plan_of
from tests.unit.resources.test_plain import conn1

SECRETS = {"password", "pre_shared_key", "key"}


def models(model: type[Resource] = Intent) -> Iterator[type[Resource]]:
    yield model
    for plan in plan_of(model).values():
        if isinstance(plan.of, type):
            yield from models(plan.of)


MODELS = list(dict.fromkeys(models()))


def leaves(member: dict[str, Any]) -> list[dict[str, Any]]:
    """What a value may be: without null, and of a list its items."""
    choices = [choice for choice in member.get("anyOf", [member]) if choice.get("type") != "null"]
    return [choice["items"] if choice.get("type") == "array" else choice for choice in choices]


@pytest.mark.parametrize("model", MODELS)
def test_every_field_has_a_type_and_says_what_is_allowed(model: type[Resource]) -> None:
    schema = model.model_json_schema()
    assert schema["additionalProperties"] is False
    assert schema.get("required", []) == [key for key, plan in plan_of(model).items() if plan.required]
    for key, member in schema["properties"].items():
        for leaf in leaves(member):
            assert "$ref" in leaf or (leaf["type"] and leaf["description"]), key
            assert leaf.get("writeOnly", False) == (key in SECRETS), key
        words = [word for word in get_args(model.model_fields[key].annotation) if isinstance(word, str)]
        if words:
            assert member["enum"] == words, key


def test_bounds() -> None:
    schema = Intent.model_json_schema()["$defs"]
    assert {
        k: schema["Vpc"]["properties"]["route_table"][k] for k in ("type", "minimum", "maximum", "default")
    } == {
        "type": "integer",
        "minimum": 1,
        "maximum": 4294967295,
        "default": 201,
    }
    assert schema["Vpc"]["properties"]["cidrs"]["minItems"] == 1
    tunnels = schema["VpnConnection"]["properties"]["tunnels"]
    assert (tunnels["minItems"], tunnels["maxItems"]) == (1, 2)
    assert schema["VpnGateway"]["properties"]["router_id"]["anyOf"][0]["format"] == "ipv4"
    assert schema["VpnConnection"]["properties"]["local_asn"]["type"] == ["integer", "string"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_shown_has_a_schema_without_secrets_to_write(kind: Kind) -> None:
    shown = kind.model.model_json_schema(mode="serialization")
    assert "writeOnly" not in str(shown)
    if kind.key == "vpn_connections":
        jsonschema_rs.validator_for(shown, validate_formats=True).validate(plain(conn1()))


def test_a_mask_satisfies_the_schema_and_the_wrong_type_does_not() -> None:
    (connection,) = [kind for kind in KINDS if kind.key == "vpn_connections"]
    validator = jsonschema_rs.validator_for(connection.model.model_json_schema(), validate_formats=True)
    document = plain(conn1())
    assert document["tunnels"][0]["bgp"]["password"] == MASK
    assert validator.is_valid(document)
    changes: list[dict[str, Any]] = [
        {"enable_bgp": "true"},
        {"local_asn": "x"},
        {"name": "A"},
        {"tunnels": []},
        {"more": 1},
    ]
    for change in changes:
        assert not validator.is_valid(document | change)
