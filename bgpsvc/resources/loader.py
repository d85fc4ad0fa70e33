"""From the text of a configuration file to an `Intent`: parse, cross-check, freeze.

The walk is that of `resources.reader`; here are its YAML nodes, and the place of each problem in the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import yaml

from bgpsvc.resources import advice, cross_rules, document, rules
from bgpsvc.resources.draft import Fault, Invalid, Path
from bgpsvc.resources.fields import Checked
from bgpsvc.resources.models import Intent
from bgpsvc.resources.problems import ConfigError, Problem, in_order, path_text
from bgpsvc.resources.reader import HIDDEN, Reader, SecretReader, frozen, unknown_key
from bgpsvc.resources.schema import FieldPlan, is_secret, plan_of


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
    root = compose(text, filename)
    reader = _YamlReader(filename, root, read_secret)
    draft = reader.resource(_File, root, ())
    if reader.problems or isinstance(draft, Invalid):
        raise ConfigError(reader.problems)
    intent = frozen(Intent, draft)
    return Loaded(intent, in_order(reader.problem(fault) for fault in advice.warnings(intent)))


def compose(text: str, filename: str) -> yaml.Node:
    """The root node of a file. Raises ConfigError if the text is not YAML, or nothing."""
    try:
        root = document.compose(text)
    except document.Unreadable as error:
        problem = Problem(filename, error.line, error.column, "", None, f"not valid YAML: {error}")
        raise ConfigError([problem]) from None
    if root is None or document.is_null(root):
        # Not the same as a file without resources: a file caught half written must not stop everything.
        keys = ", ".join(plan_of(Intent))
        raise ConfigError([Problem(filename, 1, 1, "", None, "the file is empty", f"the keys {keys}")])
    return root


class _File(Intent):
    """A whole configuration, which nothing completes: the store would make the keys that are left out."""

    RULES = (*cross_rules.RULES, rules.pre_shared_keys)


class _Part(Intent):
    """Resources that may refer to others which are elsewhere: rules between resources do not apply."""

    RULES = ()


def load_part(root: yaml.Node, filename: str, read_secret: SecretReader | None = None) -> Intent:
    """The resources of a file, each checked by itself only. Raises ConfigError with every problem.

    They are in the order of the file; names may repeat, and what is referred to need not be there.
    """
    reader = _YamlReader(filename, root, read_secret)
    draft = reader.resource(_Part, root, ())
    if reader.problems or isinstance(draft, Invalid):
        raise ConfigError(reader.problems)
    return frozen(_Part, draft)


class _YamlReader(Reader[yaml.Node]):
    """Reads YAML nodes; each problem has its place in the file."""

    def __init__(self, filename: str, root: yaml.Node, read_secret: SecretReader | None) -> None:
        super().__init__(read_secret)
        self.problems: list[Problem] = []
        self._filename = filename
        self._root = root

    def problem(self, fault: Fault) -> Problem:
        """A fault with its place in the file and the value that was written there."""
        node, found = document.locate(self._root, fault.path)
        value: str | None = None
        if found and isinstance(node, yaml.ScalarNode) and not document.is_null(node):
            value = HIDDEN if is_secret(Intent, fault.path) else str(node.value)
        line, column = document.position(node)
        return Problem(
            self._filename, line, column, path_text(fault.path), value, fault.message, fault.allowed
        )

    def report(self, faults: Iterable[Fault]) -> None:
        self.problems.extend(self.problem(fault) for fault in faults)

    def entries(self, node: yaml.Node, known: Sequence[str], path: Path) -> dict[str, yaml.Node] | None:
        if not isinstance(node, yaml.MappingNode):
            return None
        found: dict[str, yaml.Node] = {}
        lines: dict[str, int] = {}
        for key_node, value in node.value:
            line, column = document.position(key_node)
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else None
            if key is not None and key in known and key not in found:
                found[key], lines[key] = value, line
                continue
            message, allowed = "is not a key", f"the keys {', '.join(known)}"
            if key is not None and key in lines:
                message, allowed = f"the key is given twice, first on line {lines[key]}", "each key once"
            elif key == "<<":
                message = "YAML merge keys are not supported"
            elif key is not None:
                message = unknown_key(key, known)
            where = path_text(path if key is None else (*path, key))
            self.problems.append(Problem(self._filename, line, column, where, key, message, allowed))
        return found

    def items(self, node: yaml.Node) -> Sequence[yaml.Node] | None:
        return node.value if isinstance(node, yaml.SequenceNode) else None

    def is_null(self, node: yaml.Node) -> bool:
        return document.is_null(node)

    def given(self, plan: FieldPlan, node: yaml.Node) -> bool:
        return not document.is_null(node)

    def value(self, leaf: Checked, node: yaml.Node, path: Path) -> object:
        return document.scalar(node)

    def text(self, node: yaml.Node) -> str | None:
        return str(node.value) if isinstance(node, yaml.ScalarNode) else None
