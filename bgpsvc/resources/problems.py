"""What is wrong with a configuration, and where."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bgpsvc.resources.draft import Path

_LONGEST_VALUE = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem or warning. `line` and `column` count from 1; `value` is as written, secrets masked."""

    file: str
    line: int
    column: int
    path: str
    value: str | None
    message: str
    allowed: str = ""

    def __str__(self) -> str:
        parts = [self.path] if self.path else []
        if self.value is not None:
            shown = self.value if len(self.value) <= _LONGEST_VALUE else self.value[:_LONGEST_VALUE] + "…"
            parts.append(repr(shown))
        text = f"{self.file}:{self.line}:{self.column}: {': '.join([*parts, self.message])}"
        return f"{text}; allowed: {self.allowed}" if self.allowed else text


class ConfigError(ValueError):
    """A configuration is refused; `problems` has all that is wrong with it, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = in_order(problems)
        super().__init__("\n".join(map(str, self.problems)))


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Problems in the order of the file."""
    return tuple(sorted(problems, key=lambda problem: (problem.line, problem.column)))


def path_text(path: Path) -> str:
    """`vpn_connections[0].tunnels[1].bgp` for the path of a value."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def pointer_of(path: Path) -> str:
    """`/tunnels/1/bgp` for the path of a value (RFC 6901)."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)


def printable(text: str) -> str:
    """Text as it can be sent: halves of surrogate pairs, which JSON may hold and UTF-8 not, are escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
