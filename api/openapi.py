"""The OpenAPI document, with what FastAPI leaves out: documents, problems, examples, who may do what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api import (
    documents,
    problems,
    schemas,
    schemas_bmp,
    schemas_control,
    schemas_detection,
    schemas_diagnosis,
    schemas_history,
    schemas_insight,
    schemas_ipsec,
    schemas_peer_config,
    schemas_routes,
)
from api.access import PUBLIC, SCOPE
from api.shapes import SHAPES

Json = dict[str, Any]
TAKEN = (
    schemas.SwitchRequest,
    schemas_insight.Question,
    schemas_control.TokenRequest,
    schemas_diagnosis.DiagnoseRequest,
)
"""Bodies that operations read by themselves."""
_MODULES = (
    schemas,
    schemas_bmp,
    schemas_control,
    schemas_detection,
    schemas_diagnosis,
    schemas_history,
    schemas_insight,
    schemas_ipsec,
    schemas_peer_config,
    schemas_routes,
    problems,
)
BEARER = "bearer"
SECURITY_SCHEMES: Json = {
    BEARER: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "bgpsvc_<id>.<secret>",
        "description": "A token of `POST /v1/tokens`. Requests over the daemon's unix socket need none; nor "
        "do others on loopback if the daemon was started with `--anonymous`.",
    }
}


def document(app: FastAPI) -> Json:
    """The whole document of an application; made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            tags=app.openapi_tags,
            routes=app.routes,
        )
        _add_schemas(made)
        _link_documents(made)
        _restore_nulls(made)
        _add_examples(made)
        _add_security(made)
        app.openapi_schema = made
    return app.openapi_schema


def _operations(made: Json) -> Iterator[Json]:
    for path in made["paths"].values():
        yield from path.values()


def _add_schemas(made: Json) -> None:
    components = made["components"]["schemas"]
    _, problem_schemas = models_json_schema(
        [(problems.Problem, "serialization"), (problems.FieldProblem, "serialization")],
        ref_template=documents.REF + "{model}",
    )
    _, taken = models_json_schema(
        [(model, "validation") for model in TAKEN], ref_template=documents.REF + "{model}"
    )
    components.update(problem_schemas["$defs"])
    components.update(taken["$defs"])
    components.update(documents.components())
    for unused in ("HTTPValidationError", "ValidationError"):
        components.pop(unused, None)


def _link_documents(made: Json) -> None:
    """`config` of a resource is the document that its kind takes."""
    components = made["components"]["schemas"]
    for shape in SHAPES:
        reference = {"$ref": documents.REF + documents.document_name(shape.kind)}
        for name in (shape.schema.__name__, shape.written.__name__):
            described = components[name]["properties"]["config"]["description"]
            components[name]["properties"]["config"] = reference | {"description": described}


def _models() -> Iterable[type[BaseModel]]:
    for module in _MODULES:
        for member in vars(module).values():
            if isinstance(member, type) and issubclass(member, BaseModel):
                yield member
    for shape in SHAPES:
        yield from (shape.schema, shape.written, shape.listing)


def _restore_nulls(made: Json) -> None:
    """FastAPI drops every null of the document, also inside examples, where it means something."""
    components = made["components"]["schemas"]
    for model in _models():
        if model.__name__ in components:
            extra = model.model_config["json_schema_extra"]
            assert isinstance(extra, dict), f"{model.__name__} has no examples"
            components[model.__name__]["examples"] = extra["examples"]


def _add_examples(made: Json) -> None:
    """Gives each JSON body the example of its schema."""
    components = made["components"]["schemas"]
    for operation in _operations(made):
        bodies = [operation["requestBody"]] if "requestBody" in operation else []
        for holder in [*operation["responses"].values(), *bodies]:
            for content in holder.get("content", {}).values():
                schema = content.get("schema", {})
                first = schema.get("anyOf", [schema])[0]
                name = first.get("$ref", "").rpartition("/")[2]
                if name and "example" not in content:
                    content["example"] = components[name]["examples"][0]


def _add_security(made: Json) -> None:
    made["components"]["securitySchemes"] = SECURITY_SCHEMES
    for operation in _operations(made):
        operation["security"] = [] if operation[SCOPE] == PUBLIC else [{BEARER: []}]
