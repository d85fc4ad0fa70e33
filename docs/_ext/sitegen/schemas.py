"""JSON Schemas in words, and as lists of their fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sitegen.markup import anchored, as_json, code, described, fenced, folded, prose, target, terms

Json = Mapping[str, Any]
_REF = "#/components/schemas/"
_LIMITS = {
    "minLength": "at least {} characters",
    "maxLength": "up to {} characters",
    "minItems": "at least {} items",
    "maxItems": "up to {} items",
    "minimum": "from {}",
    "maximum": "up to {}",
}


def referred(value: Any) -> Iterator[str]:
    """Names of the schemas that a part of the document refers to."""
    if isinstance(value, Mapping):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].removeprefix(_REF)
        for key, part in value.items():
            if key not in ("example", "examples"):
                yield from referred(part)
    elif isinstance(value, list):
        for part in value:
            yield from referred(part)


def words(schema: Json) -> str:
    """The type with its limits."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REF)
        return f"[{name}](#{target('schema', name)})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(words(choice) for choice in schema["anyOf"]))
    if "const" in schema:
        return code(schema["const"])
    if "enum" in schema:
        return "one of " + ", ".join(code(value) for value in schema["enum"])
    return ", ".join([_kind(schema), *_limits(schema)])


def _kind(schema: Json) -> str:
    kinds = schema.get("type", "any JSON value")
    if isinstance(kinds, list):
        return " or ".join(kinds)
    if kinds == "array":
        return f"list of {words(schema.get('items', {}))}"
    if kinds == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object with values {words(schema['additionalProperties'])}"
    return f"{kinds} ({schema['format']})" if "format" in schema else str(kinds)


def _limits(schema: Json) -> Iterator[str]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        yield f"{low} to {high}"
    for key, text in _LIMITS.items():
        if key in schema and not (key in ("minimum", "maximum") and low is not None and high is not None):
            yield text.format(schema[key])
    if "pattern" in schema:
        yield f"matching {code(schema['pattern'])}"


def field(name: str, schema: Json, *, marks: tuple[str, ...] = (), where: str) -> tuple[str, str]:
    """A term: the name with its type; and what it means, with its default."""
    default = (f"default {code(as_json(schema['default']))}",) if "default" in schema else ()
    head = " · ".join([f"**{code(name)}**", *marks, words(schema), *default])
    return head, prose(described(f"{where}: {name}", schema.get("description")))


def section(name: str, schema: Json) -> str:
    """A schema with its fields and an example."""
    about = described(f"schema {name}", schema.get("description"))
    parts = [anchored("schema", name, f"### {name}"), prose(about)]
    if "properties" in schema:
        required = set(schema.get("required", ()))
        parts.append(
            terms(
                field(key, value, marks=("required",) if key in required else (), where=f"schema {name}")
                for key, value in schema["properties"].items()
            )
        )
    else:
        parts.append(words(schema) + ".")
    if schema.get("examples"):
        parts.append(folded("Example", fenced("json", as_json(schema["examples"][0]))))
    return "\n\n".join(parts) + "\n"
