"""From the text of a configuration file to an `Intent`: parse, cross-check, freeze.

The models say which keys there are and what is allowed (`resources.schema`); the loader walks the YAML
nodes beside them and makes drafts, in which a refused value is a gap. All rules then run over the
drafts, so that one bad value hides no other problem, and each problem has its place in the file.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml

from bgpsvc.resources import advice, document
from bgpsvc.resources.draft import Draft, Fault, Invalid, Path
from bgpsvc.resources.fields import Checked
from bgpsvc.resources.models import Intent, Resource
from bgpsvc.resources.problems import ConfigError, Problem, in_order, path_text
from bgpsvc.resources.schema import FieldPlan, plan_of

SecretReader = Callable[[str], str]
"""Takes the path as written, returns the file's content; raises OSError or ValueError."""

HIDDEN = "********"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid configuration, and what is legal in it but worth a look."""

    intent: Intent
    warnings: tuple[Problem, ...]


def load(text: str, filename: str, read_secret: SecretReader | None = None) -> Loaded:
    """Reads a configuration. Raises ConfigError with every problem.

    `filename` is only used in texts. `read_secret` reads the files that `password_file` and
    `pre_shared_key_file` name; without it they stay unread and the secrets None.
    """
    try:
        root = document.compose(text)
    except document.Unreadable as error:
        problem = Problem(filename, error.line, error.column, "", None, f"not valid YAML: {error}")
        raise ConfigError([problem]) from None
    if root is None or document.is_null(root):
        # Not the same as a file without resources: a file caught half written must not stop everything.
        keys = ", ".join(plan_of(Intent))
        raise ConfigError([Problem(filename, 1, 1, "", None, "the file is empty", f"the keys {keys}")])
    reader = _Reader(filename, root, read_secret)
    draft = reader.resource(Intent, root, ())
    if reader.problems or isinstance(draft, Invalid):
        raise ConfigError(reader.problems)
    intent = _frozen(Intent, draft)
    return Loaded(intent, in_order(reader.problem(fault) for fault in advice.warnings(intent)))


R = TypeVar("R", bound=Resource)


def _frozen(model: type[R], draft: Draft) -> R:
    # The draft was judged by the very types and rules of the model: judging it again would double the time.
    values: dict[str, Any] = {}
    for key, plan in plan_of(model).items():
        if isinstance(plan.of, Checked):
            values[key] = draft.get(key, object)
        elif plan.many:
            values[key] = tuple(_frozen(plan.of, item) for item in draft.sections(key))
        else:
            inner = draft.section(key)
            values[key] = None if inner is None else _frozen(plan.of, inner)
    return model.model_construct(**values)


def _is_secret(path: Path) -> bool:
    model: type[Resource] = Intent
    for step in path:
        if isinstance(step, int):
            continue
        plan = plan_of(model).get(step)
        if plan is None or isinstance(plan.of, Checked):
            return plan is not None and plan.secret
        model = plan.of
    return False


class _Reader:
    """Makes drafts of nodes and collects what is wrong with them."""

    def __init__(self, filename: str, root: yaml.Node, read_secret: SecretReader | None) -> None:
        self.problems: list[Problem] = []
        self._filename = filename
        self._root = root
        self._read_secret = read_secret

    def resource(self, model: type[Resource], node: yaml.Node, path: Path) -> Draft | Invalid:
        """The draft of one resource, checked by its rules; Invalid if it is no mapping."""
        plans = plan_of(model)
        if not isinstance(node, yaml.MappingNode):
            return self._refused(path, "is not a mapping", f"a mapping with the keys {', '.join(plans)}")
        nodes = self._entries(node, plans, path)
        fields: dict[str, object] = {}
        for key, plan in plans.items():
            value = nodes.get(key)
            if value is not None and not document.is_null(value):
                fields[key] = self._field(plan, value, (*path, key))
            elif plan.required:
                fields[key] = self._refused((*path, key), "is missing", plan.allowed)
            else:
                fields[key] = plan.default
        self._secrets(plans, fields, path)
        draft = Draft(path, fields)
        for rule in model.RULES:
            self._report(rule(draft))
        return draft

    def problem(self, fault: Fault) -> Problem:
        """A fault with its place in the file and the value that was written there."""
        node, found = document.locate(self._root, fault.path)
        value: str | None = None
        if found and isinstance(node, yaml.ScalarNode) and not document.is_null(node):
            value = HIDDEN if _is_secret(fault.path) else str(node.value)
        line, column = document.position(node)
        return Problem(
            self._filename, line, column, path_text(fault.path), value, fault.message, fault.allowed
        )

    def _report(self, faults: Iterable[Fault]) -> None:
        self.problems.extend(self.problem(fault) for fault in faults)

    def _refused(self, path: Path, message: str, allowed: str, text: str | None = None) -> Invalid:
        self._report([Fault(path, message, allowed)])
        return Invalid(text)

    def _entries(self, node: yaml.MappingNode, plans: Iterable[str], path: Path) -> dict[str, yaml.Node]:
        """The known keys of a mapping; unknown and repeated ones are reported at the key."""
        known = list(plans)
        found: dict[str, yaml.Node] = {}
        lines: dict[str, int] = {}
        for key_node, value in node.value:
            line, column = document.position(key_node)
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else None
            if key in known and key not in found:
                found[key], lines[key] = value, line
                continue
            message, allowed = "unknown key", f"the keys {', '.join(known)}"
            if key is None:
                message = "is not a key"
            elif key in found:
                message, allowed = f"the key is given twice, first on line {lines[key]}", "each key once"
            elif key == "<<":
                message = "YAML merge keys are not supported"
            elif near := difflib.get_close_matches(key, known, 1):
                message = f"unknown key, did you mean {near[0]!r}?"
            where = path_text(path if key is None else (*path, key))
            self.problems.append(Problem(self._filename, line, column, where, key, message, allowed))
        return found

    def _field(self, plan: FieldPlan, node: yaml.Node, path: Path) -> object:
        if not plan.many:
            return self._one(plan, node, path)
        if not isinstance(node, yaml.SequenceNode):
            return self._refused(path, "is not a list", "a list")
        return tuple([self._one(plan, item, (*path, index)) for index, item in enumerate(node.value)])

    def _one(self, plan: FieldPlan, node: yaml.Node, path: Path) -> object:
        if document.is_null(node):
            return self._refused(path, "is empty", "a value")
        if not isinstance(plan.of, Checked):
            return self.resource(plan.of, node, path)
        try:
            return plan.of.parse(document.scalar(node))
        except ValueError as error:
            text = str(node.value) if isinstance(node, yaml.ScalarNode) else None
            return self._refused(path, str(error), plan.of.allowed, text)

    def _secrets(self, plans: Mapping[str, FieldPlan], fields: dict[str, object], path: Path) -> None:
        """A secret stands in the file itself or in a file of its own, which is read here."""
        for key, plan in plans.items():
            name = fields.get(f"{key}_file")
            if not isinstance(name, str) or not isinstance(plan.of, Checked):
                continue
            if fields[key] is not None:
                self._refused((*path, f"{key}_file"), f"{key} is given too", f"one of {key} and {key}_file")
            elif self._read_secret is not None:
                fields[key] = self._secret_of(plan.of, name, self._read_secret, (*path, f"{key}_file"))

    def _secret_of(self, leaf: Checked, name: str, read: SecretReader, path: Path) -> object:
        try:
            content = read(name)
        except OSError as error:
            return self._refused(path, f"can't be read: {error.strerror or error}", "a readable file")
        except ValueError as error:
            return self._refused(path, f"can't be read: {error}", "a readable file")
        try:
            return leaf.parse(content.removesuffix("\n").removesuffix("\r"))
        except ValueError as error:
            return self._refused(path, f"what the file holds {error}", leaf.allowed)
