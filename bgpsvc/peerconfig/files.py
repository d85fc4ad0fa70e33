"""A configuration of several files in one text: each begins with a line `# file: NAME`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_MARK = re.compile(r"# file: (\S+)")
_NAME = re.compile(r"(?!\.\.?(/|$))[A-Za-z0-9@._-]+(/(?!\.\.?(/|$))[A-Za-z0-9@._-]+)*")
"""A relative path that stays below the directory it is put in."""


@dataclass(frozen=True, slots=True)
class File:
    """One of the files. `name` is a path relative to the device's /; `script`: it is to be run."""

    name: str
    text: str

    @property
    def script(self) -> bool:
        return self.text.startswith("#!")


def split(text: str, filename: str) -> tuple[File, ...]:
    """The files of a text; what stands before the first mark is README. Without a mark it is one, `filename`.

    ValueError for a name that leads elsewhere, or is there twice.
    """
    files: dict[str, list[str]] = {}
    current: list[str] = []
    lines = text.splitlines(keepends=True)
    if not any(_MARK.fullmatch(line.rstrip()) for line in lines):
        return (File(filename, text),)
    files["README"] = current
    for line in lines:
        mark = _MARK.fullmatch(line.rstrip())
        if mark is None:
            current.append(line)
            continue
        if not _NAME.fullmatch(mark[1]):
            raise ValueError(f"{mark[1]!r} is not a path below a directory")
        if mark[1] in files:
            raise ValueError(f"the file {mark[1]} is there twice")
        current = files[mark[1]] = []
    return tuple(_files(files))


def _files(found: dict[str, list[str]]) -> Iterator[File]:
    for name, lines in found.items():
        if lines:
            yield File(name, "".join(lines))
