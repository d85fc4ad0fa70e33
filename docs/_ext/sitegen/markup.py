"""Words and Markdown that all generated pages use."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any


class Undescribed(Exception):
    """Something of the product has no description: what it is."""


def described(what: str, text: str | None) -> str:
    """A description in one line; Undescribed, which names `what`, if there is none."""
    found = " ".join((text or "").split())
    if not found:
        raise Undescribed(f"{what} has no description")
    return found if found.endswith((".", ":", "!", "?", ")")) else found + "."


def prose(text: str) -> str:
    """Text of the product as Markdown: what is no code there means itself."""
    parts = re.split(r"(`[^`]+`)", text)
    parts[::2] = [re.sub(r"([\\<>\[\]*_|$#~^])", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


def code(text: object) -> str:
    """A value as code, also one with backticks in it."""
    shown = str(text)
    if not shown:
        return "``"
    return f"`` {shown} ``" if "`" in shown else f"`{shown}`"


def target(kind: str, name: str) -> str:
    """An anchor that any page may link to."""
    return f"{kind}-" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def anchored(kind: str, name: str, heading: str) -> str:
    """A heading with such an anchor."""
    return f"({target(kind, name)})=\n{heading}\n"


def terms(items: Iterable[tuple[str, str]]) -> str:
    """A list of terms and what they mean, which needs no width. Empty lines divide a meaning's paragraphs."""
    made = []
    for term, meaning in items:
        first, *rest = meaning.split("\n\n")
        made.append("\n".join([term, f": {first}", *(f"\n  {paragraph}" for paragraph in rest)]))
    return "\n\n".join(made) + "\n"


def fenced(language: str, text: str) -> str:
    """A block of code."""
    return f"```{language}\n{text.rstrip()}\n```\n"


def folded(title: str, inside: str) -> str:
    """Something long that opens when it is asked for."""
    return f"<details>\n<summary>{title}</summary>\n\n{inside}\n</details>\n"


def as_json(value: Any) -> str:
    """A value as JSON for people: short lists and mappings on one line."""
    whole = json.dumps(value, ensure_ascii=False)
    if len(whole) <= 76 or not isinstance(value, dict | list):
        return whole
    if isinstance(value, list):
        inner, (left, right) = [as_json(item) for item in value], "[]"
    else:
        inner = [f"{json.dumps(key, ensure_ascii=False)}: {as_json(item)}" for key, item in value.items()]
        left, right = "{}"
    body = ",\n".join("  " + item.replace("\n", "\n  ") for item in inner)
    return f"{left}\n{body}\n{right}"


def contents(*pages: str) -> str:
    """A table of contents that shows in the sidebar alone."""
    return "```{toctree}\n:hidden:\n:maxdepth: 1\n\n" + "\n".join(pages) + "\n```\n"
