"""Checks real responses against the OpenAPI document.

A small JSON Schema validator for the keywords that the document uses. It is stricter than the
standard on purpose: a keyword it does not know and a member that the schema does not name are errors,
so neither the document nor the check can fall behind.
"""

from __future__ import annotations

import re
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import httpx

Json = Any

ANNOTATIONS = {"title", "description", "examples", "example", "default", "readOnly", "writeOnly"}
FORMATS = {
    "ipv4": lambda text: str(IPv4Address(text)),
    "ipv6": lambda text: str(IPv6Address(text)),
    "password": str,
    "binary": str,
}
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}


class Violation(AssertionError):
    """A value does not fit its schema."""


class Contract:
    """The OpenAPI document, and what it promises about a response."""

    def __init__(self, document: Json) -> None:
        self.document = document
        self.seen: set[tuple[str, str, int]] = set()

    def operation(self, method: str, path: str) -> tuple[str, Json] | None:
        """Template and operation of a request; None if the document has none. Literal segments win."""
        for template in sorted(self.document["paths"], key=lambda t: t.count("{")):
            pattern = re.sub(r"\{\w+\}", "[^/]+", template.replace("{prefix}", ".+"))
            operation = self.document["paths"][template].get(method.lower())
            if operation is not None and re.fullmatch(pattern, path):
                return template, operation
        return None

    def check(self, response: httpx.Response) -> None:
        """Raises Violation unless the response is as documented."""
        request = response.request
        media = response.headers["content-type"].partition(";")[0]
        found = self.operation(request.method, request.url.path)
        if found is None:
            if response.status_code not in (401, 404, 405, 421):
                raise Violation(f"{request.method} {request.url.path} is not documented")
            self.valid(response.json(), {"$ref": "#/components/schemas/Problem"}, "")
            return
        template, operation = found
        self.seen.add((operation["operationId"], template, response.status_code))
        documented = operation["responses"]
        promised = documented.get(str(response.status_code)) or documented["default"]
        if response.status_code < 400 and str(response.status_code) not in documented:
            raise Violation(f"{template}: status {response.status_code} is not documented")
        if media not in promised["content"]:
            raise Violation(f"{template} {response.status_code}: {media} is not documented")
        for header, described in promised.get("headers", {}).items():
            if described.get("required", True) and header not in response.headers:
                raise Violation(f"{template}: header {header} is missing")
        if media.endswith("json") and media != "application/x-ndjson":
            self.valid(response.json(), promised["content"][media]["schema"], template)

    def valid(self, value: Json, schema: Json, where: str) -> None:
        """Raises Violation unless the value fits the schema."""
        if "$ref" in schema:
            name = schema["$ref"].removeprefix("#/components/schemas/")
            schema = self.document["components"]["schemas"][name]
        for keyword, argument in schema.items():
            if keyword in ANNOTATIONS or keyword in ("required", "additionalProperties"):
                continue
            check = getattr(self, f"_{keyword}", None)
            if check is None:
                raise Violation(f"{where}: the validator does not know the keyword {keyword!r}")
            check(value, argument, schema, where)

    def _type(self, value: Json, wanted: str | list[str], schema: Json, where: str) -> None:
        if isinstance(wanted, list):
            self._anyOf(value, [{"type": choice} for choice in wanted], schema, where)
            return
        right = isinstance(value, TYPES[wanted]) and (wanted == "boolean" or not isinstance(value, bool))
        if not right:
            raise Violation(f"{where}: {value!r} is not of type {wanted}")
        if wanted == "object":
            self._object(value, schema, where)

    def _object(self, value: Json, schema: Json, where: str) -> None:
        known = schema.get("properties", {})
        others = schema.get("additionalProperties", False)
        missing = set(schema.get("required", ())) - set(value)
        if missing:
            raise Violation(f"{where}: {sorted(missing)} missing")
        for name, member in value.items():
            if name in known:
                self.valid(member, known[name], f"{where}/{name}")
            elif isinstance(others, dict):
                self.valid(member, others, f"{where}/{name}")
            elif others is False:
                raise Violation(f"{where}: {name!r} is not documented")

    def _properties(self, value: Json, wanted: Json, schema: Json, where: str) -> None:
        if schema.get("type") != "object":
            raise Violation(f"{where}: properties without type object")

    def _items(self, value: Json, wanted: Json, schema: Json, where: str) -> None:
        for index, item in enumerate(value):
            self.valid(item, wanted, f"{where}/{index}")

    def _anyOf(self, value: Json, wanted: Json, schema: Json, where: str) -> None:
        problems = []
        for choice in wanted:
            try:
                self.valid(value, choice, where)
            except Violation as violation:
                problems.append(str(violation))
            else:
                return
        raise Violation("; ".join(problems))

    def _enum(self, value: Json, wanted: Json, schema: Json, where: str) -> None:
        if value not in wanted:
            raise Violation(f"{where}: {value!r} is none of {wanted}")

    def _const(self, value: Json, wanted: Json, schema: Json, where: str) -> None:
        if value != wanted:
            raise Violation(f"{where}: {value!r} is not {wanted!r}")

    def _pattern(self, value: Json, wanted: str, schema: Json, where: str) -> None:
        if isinstance(value, str) and not re.search(wanted, value):
            raise Violation(f"{where}: {value!r} does not match {wanted}")

    def _minLength(self, value: Json, wanted: int, schema: Json, where: str) -> None:
        self._true(not isinstance(value, str) or len(value) >= wanted, value, f"shorter than {wanted}", where)

    def _maxLength(self, value: Json, wanted: int, schema: Json, where: str) -> None:
        self._true(not isinstance(value, str) or len(value) <= wanted, value, f"longer than {wanted}", where)

    def _minimum(self, value: Json, wanted: float, schema: Json, where: str) -> None:
        self._true(not isinstance(value, int | float) or value >= wanted, value, f"below {wanted}", where)

    def _maximum(self, value: Json, wanted: float, schema: Json, where: str) -> None:
        self._true(not isinstance(value, int | float) or value <= wanted, value, f"above {wanted}", where)

    def _maxItems(self, value: Json, wanted: int, schema: Json, where: str) -> None:
        self._true(len(value) <= wanted, value, f"more than {wanted} items", where)

    def _minItems(self, value: Json, wanted: int, schema: Json, where: str) -> None:
        self._true(len(value) >= wanted, value, f"fewer than {wanted} items", where)

    def _true(self, holds: bool, value: Json, what: str, where: str) -> None:
        if not holds:
            raise Violation(f"{where}: {value!r} is {what}")

    def _format(self, value: Json, wanted: str, schema: Json, where: str) -> None:
        if wanted in FORMATS:
            try:
                FORMATS[wanted](value)
            except ValueError as error:
                raise Violation(f"{where}: {error}") from None
            return
        if wanted != "date-time":
            raise Violation(f"{where}: the validator does not know the format {wanted!r}")
        if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value):
            raise Violation(f"{where}: {value!r} is not RFC 3339 in UTC")
        datetime.fromisoformat(value)
