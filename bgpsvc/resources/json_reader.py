"""Reads JSON documents: decoded values, of which each must have the JSON type that its field has.

Unlike the text of a file, where `1.10` may be an ASN, JSON has types: the number 1.1 is no ASN, and "30" no
number of seconds. So what is accepted here satisfies the JSON Schema of the models.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pydantic import BaseModel, SecretStr

from bgpsvc.control import Mistake
from bgpsvc.resources.draft import Fault, Path
from bgpsvc.resources.fields import MASK, Checked
from bgpsvc.resources.models import Resource
from bgpsvc.resources.problems import pointer_of, printable
from bgpsvc.resources.reader import HIDDEN, Reader, SecretReader, unknown_key
from bgpsvc.resources.schema import FieldPlan, is_secret, plan_of

_LONGEST_VALUE = 100
_LONGEST_MESSAGE = 300
_FILES_ARE_ELSEWHERE = "give the secret itself; files are read by the command line"
_WORDS = {
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


class JsonReader(Reader[object]):
    """Reads one document of a model. `keep` is what is there now, whose secrets a mask keeps."""

    MAPPING = "an object"

    def __init__(
        self,
        model: type[Resource],
        document: object,
        keep: BaseModel | None,
        read_secret: SecretReader | None,
    ) -> None:
        super().__init__(read_secret)
        self.mistakes: list[Mistake] = []
        self._model = model
        self._document = document
        self._keep = keep

    def report(self, faults: Iterable[Fault]) -> None:
        self.mistakes.extend(self._mistake(fault) for fault in faults)

    def entries(self, node: object, known: Sequence[str], path: Path) -> dict[str, object] | None:
        if not isinstance(node, Mapping):
            return None
        for key in node:
            if key not in known:
                # Not its value: it may be a secret whose key is misspelt.
                where, allowed = pointer_of((*path, key)), f"the keys {', '.join(known)}"
                self.mistakes.append(Mistake(printable(where), None, unknown_key(key, known), allowed))
        return {key: node[key] for key in known if key in node}

    def items(self, node: object) -> Sequence[object] | None:
        return node if isinstance(node, list | tuple) else None

    def is_null(self, node: object) -> bool:
        return node is None

    def given(self, plan: FieldPlan, node: object) -> bool:
        return node is not None or plan.required or plan.default is not None

    def value(self, leaf: Checked, node: object, path: Path) -> object:
        kind = json_type(node)
        accepted = leaf.json_types
        if kind not in accepted and not (kind == "integer" and "number" in accepted):
            raise ValueError(f"is {_WORDS[kind]}, not {' or '.join(_WORDS[name] for name in accepted)}")
        if leaf.secret and node == MASK:
            return self._kept(path)
        return node

    def text(self, node: object) -> str | None:
        return node if isinstance(node, str) else None

    def secrets(self, plans: Mapping[str, FieldPlan], fields: dict[str, object], path: Path) -> None:
        if self.read_secret is not None:
            super().secrets(plans, fields, path)
            return
        for key in plans:
            if fields.get(f"{key}_file") is not None:
                self.refused((*path, f"{key}_file"), _FILES_ARE_ELSEWHERE, key)

    def _kept(self, path: Path) -> SecretStr:
        value = at(self._keep, path)
        if not isinstance(value, SecretStr):
            raise ValueError("is the mask that stands for a secret, and there is none here to keep")
        return value

    def _mistake(self, fault: Fault) -> Mistake:
        value = shown(at(self._document, fault.path))
        if value is not None and is_secret(self._model, fault.path):
            value = HIDDEN
        message = shortened(printable(fault.message), _LONGEST_MESSAGE)  # some repeat the value
        return Mistake(printable(pointer_of(fault.path)), value, message, printable(fault.allowed))


def json_type(value: object) -> str:
    """The JSON type of a decoded value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    for kind, name in ((int, "integer"), (float, "number"), (str, "string"), (Mapping, "object")):
        if isinstance(value, kind):
            return name
    return "array"


def at(root: object, path: Path) -> object:
    """What stands at a path of a document or a resource, None if nothing does."""
    for step in path:
        if isinstance(root, list | tuple) and isinstance(step, int):
            root = root[step] if step < len(root) else None
        elif isinstance(root, Mapping):
            root = root.get(step)
        elif isinstance(root, Resource) and step in plan_of(type(root)):
            root = getattr(root, str(step))
        else:
            return None
    return root


def shown(value: object) -> str | None:
    """A single value as text, shortened if it is long; None for anything else."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > 1000:  # str() refuses huge numbers
        return "a number of more than 300 digits"
    if not isinstance(value, str | int | float):
        return None
    return shortened(printable(str(value)), _LONGEST_VALUE)


def shortened(text: str, longest: int) -> str:
    """The text, cut off with an ellipsis if it is longer."""
    return text if len(text) <= longest else f"{text[:longest]}…"
