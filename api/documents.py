"""JSON schemas of the documents, from the models of `bgpsvc.resources`, for the OpenAPI document.

`<Model>Document` is what POST and PUT take and what `config` shows, `<Model>Patch` a merge patch (RFC
7396) of it: every member may be left out, null takes it away, lists are replaced as a whole.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from api.examples_documents import CONFIGURATION, DOCUMENTS, PATCHES
from bgpsvc.resources import schema as plans
from bgpsvc.resources.descriptions import DESCRIPTIONS
from bgpsvc.resources.fields import MASK
from bgpsvc.resources.kinds import KINDS, Kind
from bgpsvc.resources.models import Intent, Resource

Json = dict[str, Any]
REF = "#/components/schemas/"
DOCUMENT, PATCH = "Document", "Patch"


def document_name(kind: Kind) -> str:
    """Name of the schema of a kind's documents."""
    return kind.model.__name__ + DOCUMENT


def patch_name(kind: Kind) -> str:
    """Name of the schema of a kind's merge patches."""
    return kind.model.__name__ + PATCH


CONFIGURATION_NAME = "Configuration"


@functools.cache
def components() -> Json:
    """All schemas of documents and patches by name."""
    made = Intent.model_json_schema(ref_template=REF + "{model}" + DOCUMENT)
    models = {model.__name__: model for model in _models(Intent)}
    documents = {
        name + DOCUMENT: _finished(models[name], schema) for name, schema in made.pop("$defs").items()
    }
    configuration = _finished(Intent, made) | {
        "description": "All resources, in the form of the configuration file. What is left out is empty.",
        "examples": [CONFIGURATION],
    }
    for kind in KINDS:
        for example in DOCUMENTS[kind.key]:
            _spread(kind.model, example, documents)
    patches = _patches(documents)
    return {**documents, **patches, CONFIGURATION_NAME: configuration}


def _models(model: type[Resource]) -> Iterator[type[Resource]]:
    yield model
    for plan in plans.plan_of(model).values():
        if isinstance(plan.of, type):
            yield from _models(plan.of)


def _finished(model: type[Resource], schema: Json) -> Json:
    """With what the models say elsewhere: what is allowed, and that a mask stands for a secret."""
    done = {key: value for key, value in schema.items() if key not in ("title", "$defs")}
    done["description"] = " ".join(str(schema["description"]).split())
    done["examples"] = []
    for key, plan in plans.plan_of(model).items():
        member = {k: v for k, v in schema["properties"][key].items() if k not in ("title", "default")}
        if plan.secret:
            member = {"anyOf": [*member.get("anyOf", [member]), {"type": "string", "const": MASK}]}
        if plan.default is None and not plan.required and not _takes_null(member):
            member = {"anyOf": [member, {"type": "null"}]}
        if not plan.required and "default" in schema["properties"][key]:
            member["default"] = schema["properties"][key]["default"]
        done["properties"] = done["properties"] | {key: member | {"description": _described(model, key)}}
    return done


def _described(model: type[Resource], key: str) -> str:
    plan = plans.plan_of(model)[key]
    single = not plan.many and not isinstance(plan.of, type)
    # Of a list or a section the schema of the items or the part says it.
    allowed = f" Allowed: {plan.allowed}." if single else ""
    secret = " A secret: shown as a mask, and kept if the mask is written back." if plan.secret else ""
    return f"{DESCRIPTIONS[model][key]}{allowed}{secret}"


def _takes_null(schema: Json) -> bool:
    return any(choice.get("type") == "null" for choice in schema.get("anyOf", ()))


def _spread(model: type[Resource], example: Json, documents: Json) -> None:
    """Gives the example to its schema, and the parts of it to the schemas of the parts."""
    documents[model.__name__ + DOCUMENT]["examples"].append(example)
    for key, plan in plans.plan_of(model).items():
        if not isinstance(plan.of, type) or key not in example:
            continue
        for part in example[key] if plan.many else [example[key]]:
            _spread(plan.of, part, documents)


def _patches(documents: Json) -> Json:
    made = {}
    for name, schema in documents.items():
        patch = {key: value for key, value in schema.items() if key != "required"}
        patch["description"] = f"A merge patch (RFC 7396): what is left out stays. {schema['description']}"
        patch["properties"] = {
            key: _patchable(member) | {"description": member["description"]}
            for key, member in schema["properties"].items()
        }
        made[name.removesuffix(DOCUMENT) + PATCH] = patch
    for kind in KINDS:
        made[patch_name(kind)]["examples"] = [PATCHES[kind.key]]
    return made


def _patchable(member: Json) -> Json:
    """Sections may be patched in parts, lists only as a whole."""
    plain = {key: value for key, value in member.items() if key not in ("description", "default")}
    choices = [_rewritten(choice, _patch_ref) for choice in plain.get("anyOf", [plain])]
    if not any(choice.get("type") == "null" for choice in choices):
        choices.append({"type": "null"})
    return {"anyOf": choices}


def _patch_ref(ref: str) -> str:
    return ref.removesuffix(DOCUMENT) + PATCH


def _rewritten(schema: Json, change: Callable[[str], str]) -> Json:
    return {"$ref": change(schema["$ref"])} if "$ref" in schema else schema
