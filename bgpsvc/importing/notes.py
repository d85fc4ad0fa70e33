"""What is said about an import beside its result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

LONGEST_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Note:
    """One problem or warning. `where` is the place in the input, in the words of its form; never a secret."""

    where: str
    text: str
    allowed: str = ""

    def __str__(self) -> str:
        text = f"{self.where}: {self.text}" if self.where else self.text
        # It quotes the input, and mostly goes to a terminal: none of that may steer it.
        return _printable(f"{text}; allowed: {self.allowed}" if self.allowed else text)


class Refused(ValueError):
    """Nothing can be made of the input; `notes` says why, each with its place."""

    def __init__(self, notes: Iterable[Note]) -> None:
        self.notes = tuple(notes)
        super().__init__("\n".join(map(str, self.notes)))


def refused(where: str, text: str, allowed: str = "") -> Refused:
    """A refusal for a single reason, to be raised."""
    return Refused([Note(where, text, allowed)])


@dataclass(slots=True)
class Notes:
    """Collects warnings and problems, so that one problem hides no other."""

    warnings: list[Note] = field(default_factory=list)
    problems: list[Note] = field(default_factory=list)

    def warn(self, where: str, text: str) -> None:
        """Something was assumed or left out, and the result can be used. The same is said once."""
        note = Note(where, text)
        if note not in self.warnings:
            self.warnings.append(note)

    def refuse(self, where: str, text: str, allowed: str = "") -> None:
        """There will be no result."""
        note = Note(where, text, allowed)
        if note not in self.problems:
            self.problems.append(note)

    def stop_at_problems(self) -> None:
        """Raises Refused if there are any."""
        if self.problems:
            raise Refused(self.problems)


def shown(text: str) -> str:
    """Text of the input as a message can hold it: one line, printable, not long."""
    plain = _printable(text)
    return repr(plain if len(plain) <= LONGEST_SHOWN else plain[:LONGEST_SHOWN] + "…")


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
