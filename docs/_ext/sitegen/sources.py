"""The tree that Sphinx reads: a copy of docs/ with what a code host does by itself, and the generated pages.

On a code host a README.md is the page of its directory, and its links are the way to the other pages. The
site gets the same from the same list: docs/README.md becomes the first page, and the pages that a README.md
links to, in its order and under its headings, become the table of contents. So there is one list, and a page
that is in none is an error of the build.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

HOME = "README.md"
COPIED = (".md", ".png", ".svg", ".json")
_FENCE = re.compile(r"^( *)(`{3,}|~{3,})[^\n]*\n.*?^\1\2[`~]* *$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s#]+)(#[^)\s]*)?\)")
_PICTURE = re.compile(
    r'<picture>\s*<source media="\(prefers-color-scheme: dark\)" srcset="([^"]+)">\s*'
    r'<img alt="([^"]*)" src="([^"]+)">\s*</picture>'
)


def assemble(docs: Path, tree: Path, generated: Mapping[str, str]) -> None:
    """Writes the pages of `docs` and the `generated` ones (path below it to text) into the empty `tree`.

    A generated page that `docs` has too goes on where that ends.

    Beside them stand links to what the checkout has at its top: a page's `../compose.yaml` leads there.
    """
    for relative, content in _files(docs, generated):
        path = tree / docs.name / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for entry in docs.parent.iterdir():
        if entry != docs and not entry.name.startswith("."):
            (tree / entry.name).symlink_to(entry)


def _files(docs: Path, generated: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    for path in sorted(docs.rglob("*")):
        relative = path.relative_to(docs)
        if relative.parts[0].startswith("_") or path.suffix not in COPIED:
            continue
        if path.suffix == ".md":
            text = page(relative.as_posix(), path.read_text())
            yield _home(relative.as_posix()), (text + generated.get(relative.as_posix(), "")).encode()
        else:
            yield relative.as_posix(), path.read_bytes()
    for path in sorted(docs.parent.glob("*.md")):
        name = _top(path.name)
        yield name, page(name, lowered(path.read_text(), docs.name)).encode()
    for name, text in generated.items():
        if not (docs / name).exists():
            yield name, text.encode()


def page(name: str, text: str) -> str:
    """A page of the code host (`name` below docs/) as the site's: with what MyST has other words for."""
    text = _outside_fences(text, lambda part: _PICTURE.sub(_both_pictures, part))
    text = _outside_fences(text, lambda part: _LINK.sub(lambda found: _homed(name, found), part))
    return text + contents(name, text) if PurePosixPath(name).name == HOME else text


def lowered(text: str, folder: str) -> str:
    """A page of the checkout's top with its links as they are one folder further down, in `folder`."""

    def link(found: re.Match[str]) -> str:
        before, target = found.groups()
        if "://" in target:
            return found[0]
        inside = target.startswith(f"{folder}/")
        return before + (target.removeprefix(f"{folder}/") if inside else f"../{target}")

    return _outside_fences(text, lambda part: re.sub(r'(\]\(|(?:src|srcset)=")([^)"\s#]+)', link, part))


def contents(name: str, text: str) -> str:
    """Tables of contents out of the links of a README.md, one for each heading that has some."""
    folder = PurePosixPath(name).parent
    seen: set[str] = set()
    made = []
    for caption, section in _sections(text):
        entries = []
        for target, _anchor in _LINK.findall(section):
            if target.endswith(".md") and not target.startswith("..") and "://" not in target:
                entry = PurePosixPath(target).as_posix().removesuffix(".md")
                if entry not in seen and entry != "index":
                    seen.add(entry)
                    entries.append(entry)
        if entries:
            shown = f":caption: {caption}\n" if caption and folder == PurePosixPath(".") else ""
            made.append("\n```{toctree}\n:hidden:\n" + shown + "\n" + "\n".join(entries) + "\n```\n")
    return "".join(made)


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """Second-level headings with what is below them; the beginning has no heading."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    yield "", parts[0]
    yield from zip(parts[1::2], parts[2::2], strict=True)


def _outside_fences(text: str, change: Callable[[str], str]) -> str:
    done, end = [], 0
    for fence in _FENCE.finditer(text):
        done += [change(text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*done, change(text[end:])])


def _both_pictures(found: re.Match[str]) -> str:
    """One picture for light and one for dark, shown by the site's own switch and not the browser's alone."""
    dark, alt, light = found.groups()
    return f"![{alt}]({light}){{.only-light}}\n![{alt}]({dark}){{.only-dark}}"


def _homed(name: str, found: re.Match[str]) -> str:
    """Links to docs/README.md lead to the site's first page, those to a page of the checkout's top there."""
    target, anchor = found.groups()
    folder = PurePosixPath(name).parent
    depth = len(folder.parts)
    if target == "../" * depth + HOME:
        return f"]({'../' * depth}index.md{anchor or ''})"
    above = "../" * (depth + 1)
    top = target.removeprefix(above)
    if target.startswith(above) and top.endswith(".md") and "/" not in top:
        return f"]({'../' * depth}{_top(top)}{anchor or ''})"
    return found[0]


def _top(name: str) -> str:
    """What a page of the checkout's top, as README.md, is called on the site."""
    return name.lower()


def _home(relative: str) -> str:
    return "index.md" if relative == HOME else relative
