"""How a single value is judged: read, described to people, and described in JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

MASK = "(masked: reveal prints it)"
"""Stands for a secret that is not shown. Its spaces make it invalid, so that it's never loaded as one."""


@dataclass(frozen=True)
class Checked:
    """Reads one value: `parse` returns it or raises ValueError with the reason; `allowed` is for people."""

    parse: Callable[[object], object]
    allowed: str
    schema: Mapping[str, Any] = field(hash=False)
    """JSON Schema of what may stand there in JSON: its type decides, the rest may allow more than `parse`."""
    secret: bool = False

    @property
    def json_types(self) -> tuple[str, ...]:
        """The JSON types that a value may have."""
        types = self.schema["type"]
        return (types,) if isinstance(types, str) else tuple(types)

    def _validate(self, value: object) -> object:
        try:
            return self.parse(value)
        except ValueError as error:
            details = {"detail": str(error), "allowed": self.allowed}
            raise PydanticCustomError("refused", "{detail}; allowed: {allowed}", details) from None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        if not self.secret:
            return {**self.schema, "description": self.allowed}
        if handler.mode == "serialization":
            return {"type": "string", "description": "stands for a secret that is not shown"}
        kept = f"{self.allowed}; or {MASK!r}, which keeps the secret that is there"
        return {**self.schema, "description": kept, "format": "password", "writeOnly": True}


def text_of(value: object) -> str:
    """A single value as text; ValueError if it is none."""
    if isinstance(value, bool):
        raise ValueError("is true or false here; put it in quotes if text is meant")
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return str(value)
    raise ValueError("is not a single value")


def whole_number(value: object, low: int, high: int) -> int:
    """A whole number in a range; ValueError otherwise."""
    text = "" if isinstance(value, bool) else text_of(value)
    if not re.fullmatch(r"-?[0-9]{1,20}", text):
        raise ValueError("is not a whole number")
    number = int(text)
    if not low <= number <= high:
        raise ValueError("is out of range")
    return number


def whole(low: int, high: int, unit: str = "") -> Checked:
    """A whole number from `low` to `high`."""

    def parse(value: object) -> int:
        return whole_number(value, low, high)

    schema = {"type": "integer", "minimum": low, "maximum": high}
    return Checked(parse, f"{low} to {high}{unit and ' ' + unit}", schema)


def seconds(high: int) -> Checked:
    """A span of time in seconds, down to milliseconds."""

    def parse(value: object) -> float:
        text = text_of(value)
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,3})?", text) or float(text) > high:
            raise ValueError("is not a time in range")
        return float(text)

    schema = {"type": "number", "minimum": 0, "maximum": high}
    return Checked(parse, f"0 to {high} seconds, at most three decimals", schema)


def one_of(*words: str) -> Checked:
    """One word of a list."""

    def parse(value: object) -> str:
        text = text_of(value)
        if text not in words:
            raise ValueError("is not known")
        return text

    return Checked(parse, " | ".join(words), {"type": "string", "enum": list(words)})
