"""From what somebody wrote, in whatever notation, to drafts: one walk beside the models for YAML and JSON.

The models say which keys there are and what is allowed (`resources.schema`); a refused value becomes a gap in
the draft. All rules then run over the drafts, so that one bad value hides no other problem.
"""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from bgpsvc.resources.draft import Draft, Fault, Invalid, Path
from bgpsvc.resources.fields import Checked
from bgpsvc.resources.models import Resource
from bgpsvc.resources.schema import FieldPlan, plan_of

SecretReader = Callable[[str], str]
"""Takes the path as written, returns the file's content; raises OSError or ValueError."""

HIDDEN = "********"
N = TypeVar("N")
R = TypeVar("R", bound=Resource)


def frozen(model: type[R], draft: Draft) -> R:
    """A draft in which nothing was refused as a finished resource."""
    # The draft was judged by the very types and rules of the model: judging it again would double the time.
    values: dict[str, Any] = {}
    for key, plan in plan_of(model).items():
        if isinstance(plan.of, Checked):
            values[key] = draft.get(key, object)
        elif plan.many:
            values[key] = tuple(frozen(plan.of, item) for item in draft.sections(key))
        else:
            inner = draft.section(key)
            values[key] = None if inner is None else frozen(plan.of, inner)
    return model.model_construct(**values)


def unknown_key(key: str, known: Sequence[str]) -> str:
    """What is wrong with a key that no model has."""
    near = difflib.get_close_matches(key, known, 1)
    return f"unknown key, did you mean {near[0]!r}?" if near else "unknown key"


class Reader(ABC, Generic[N]):
    """Makes drafts of the nodes `N` of a notation. What is wrong goes to `report`."""

    MAPPING = "a mapping"

    def __init__(self, read_secret: SecretReader | None) -> None:
        self.read_secret = read_secret

    @abstractmethod
    def report(self, faults: Iterable[Fault]) -> None:
        """Keeps what is wrong with its place."""

    @abstractmethod
    def entries(self, node: N, known: Sequence[str], path: Path) -> Mapping[str, N] | None:
        """The known keys of a mapping, None if the node is none; reports the other keys."""

    @abstractmethod
    def items(self, node: N) -> Sequence[N] | None:
        """The items of a list, None if the node is none."""

    @abstractmethod
    def is_null(self, node: N) -> bool:
        """True if this is the absence of a value."""

    @abstractmethod
    def given(self, plan: FieldPlan, node: N) -> bool:
        """False if a key with this value counts as not given."""

    @abstractmethod
    def value(self, leaf: Checked, node: N, path: Path) -> object:
        """The single value that a node stands for, as `leaf` takes it. Raises ValueError if there is none."""

    @abstractmethod
    def text(self, node: N) -> str | None:
        """What was written, if that is text: names that others refer to count even if they are refused."""

    def resource(self, model: type[Resource], node: N, path: Path) -> Draft | Invalid:
        """The draft of one resource, checked by its rules; Invalid if it is no mapping."""
        plans = plan_of(model)
        nodes = self.entries(node, list(plans), path)
        if nodes is None:
            return self.refused(
                path, f"is not {self.MAPPING}", f"{self.MAPPING} with the keys {', '.join(plans)}"
            )
        fields: dict[str, object] = {}
        for key, plan in plans.items():
            if key in nodes and self.given(plan, nodes[key]):
                fields[key] = self._field(plan, nodes[key], (*path, key))
            elif plan.required:
                fields[key] = self.refused((*path, key), "is missing", plan.allowed)
            else:
                fields[key] = plan.default
        self.secrets(plans, fields, path)
        draft = Draft(path, fields)
        for rule in model.RULES:
            self.report(rule(draft))
        return draft

    def refused(self, path: Path, message: str, allowed: str, text: str | None = None) -> Invalid:
        """Reports a problem and returns the gap that stands for the value."""
        self.report([Fault(path, message, allowed)])
        return Invalid(text)

    def _field(self, plan: FieldPlan, node: N, path: Path) -> object:
        if not plan.many:
            return self._one(plan, node, path)
        items = self.items(node)
        if items is None:
            return self.refused(path, "is not a list", "a list")
        return tuple([self._one(plan, item, (*path, index)) for index, item in enumerate(items)])

    def _one(self, plan: FieldPlan, node: N, path: Path) -> object:
        if self.is_null(node):
            return self.refused(path, "is empty", "a value")
        if not isinstance(plan.of, Checked):
            return self.resource(plan.of, node, path)
        try:
            return plan.of.parse(self.value(plan.of, node, path))
        except ValueError as error:
            return self.refused(path, str(error), plan.of.allowed, self.text(node))

    def secrets(self, plans: Mapping[str, FieldPlan], fields: dict[str, object], path: Path) -> None:
        """A secret stands in the document itself or in a file of its own, which is read here."""
        for key, plan in plans.items():
            name = fields.get(f"{key}_file")
            if not isinstance(name, str) or not isinstance(plan.of, Checked):
                continue
            if fields[key] is not None:
                self.refused((*path, f"{key}_file"), f"{key} is given too", f"one of {key} and {key}_file")
            elif self.read_secret is not None:
                fields[key] = self._secret_of(plan.of, name, self.read_secret, (*path, f"{key}_file"))

    def _secret_of(self, leaf: Checked, name: str, read: SecretReader, path: Path) -> object:
        try:
            content = read(name)
        except OSError as error:
            return self.refused(path, f"can't be read: {error.strerror or error}", "a readable file")
        except ValueError as error:
            return self.refused(path, f"can't be read: {error}", "a readable file")
        try:
            return leaf.parse(content.removesuffix("\n").removesuffix("\r"))
        except ValueError as error:
            return self.refused(path, f"what the file holds {error}", leaf.allowed)
