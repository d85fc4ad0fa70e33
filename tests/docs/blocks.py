"""Code blocks of a page, as what has to be run, with where it stands. Pure: text in, values out.

    <!-- run: lab -->             where commands run: of the next block if it follows at once, else of all
    <!-- run: lab, exit 1 -->     its last command ends with this status (all others with 0)
    <!-- run: lab, interrupt after "TEXT" -->     Ctrl-C once its last command has printed that; on a terminal
    <!-- run: lab, answer "y" after "[y/N]:" -->  typed into its last command; on a terminal
    <!-- given: COMMAND -->       makes the reader's situation, before the block; must succeed
    <!-- wait: COMMAND -->        asked again and again until it succeeds, before the block
    <!-- varies: TEXT -->         the number behind TEXT, in the output shown, may be any
    <!-- file: NAME -->           the block is what is in this file, where the commands of the page run
    <!-- keeps -->                the page leaves its places as they were: tests run such pages in one place
    <!-- fragment -->             a `yaml` block that is a part of a configuration, or none of ours

One option may follow another, divided by a comma; a comment may go over several lines. Nothing is exempt:
what cannot be run or checked is a `Mistake`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

COMMANDS = ("sh", "console")
"""Languages of blocks that are run."""
KEEPS = "keeps"
"""In a comment anywhere in a page."""
ANYTHING = "…"
"""In output: any text; alone on a line: any lines, or none."""

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,}) *(?P<info>[^`]*)$")
_INDENTED = re.compile(r"^(?: {4}|\t) *\S")
_LIST = re.compile(r"^ *(?:[-*+]|\d+[.)]) ")
_OPTION = re.compile(
    r'(?:exit (?P<exit>\d+)|interrupt after "(?P<interrupt>[^"]+)"|'
    r'answer "(?P<answer>[^"]*)" after "(?P<after>[^"]+)")'
)
_DIRECTIVES = ("run", "given", "wait", "varies", "file", "fragment", KEEPS)


class Mistake(Exception):
    """What the page has to say otherwise; the text begins with page and line."""


@dataclass(frozen=True, slots=True)
class Options:
    """How the last command of a block ends: status, and what is typed (None: nothing) after which text."""

    exit: int = 0
    after: str | None = None
    answer: str | None = None
    """None with `after`: Ctrl-C."""


@dataclass(frozen=True, slots=True)
class Before:
    """A hidden command in front of a block: `given` or `wait`."""

    kind: str
    command: str
    line: int


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a `console` block with its output, None where the page shows none (`sh`)."""

    text: str
    line: int
    output: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: `line` is that of its first line of content."""

    page: str
    line: int
    language: str
    lines: tuple[str, ...]
    place: str | None = None
    options: Options = Options()
    before: tuple[Before, ...] = ()
    varies: tuple[str, ...] = ()
    """What stands in front of numbers in its output that may be any."""
    file: str | None = None
    fragment: bool = False

    @property
    def text(self) -> str:
        """The content, with a newline at its end."""
        return "\n".join(self.lines) + "\n"

    @property
    def runs(self) -> bool:
        """Whether it needs a place."""
        return self.language in COMMANDS or self.file is not None


@dataclass(slots=True)
class _Pending:
    """Comments that no block has taken yet."""

    place: str | None = None
    options: Options = Options()
    before: list[Before] = field(default_factory=list)
    varies: list[str] = field(default_factory=list)
    file: str | None = None
    fragment: bool = False
    line: int = 0

    @property
    def for_a_block(self) -> bool:
        """Whether there is more than a place, which may be that of the page."""
        return bool(self.before or self.varies or self.file or self.fragment or self.options != Options())


def blocks(page: str, text: str) -> list[Block]:
    """All blocks of a page. Mistake if one has no language, no place, or a comment that is not understood."""
    found: list[Block] = []
    place: str | None = None
    pending = _Pending()
    for item in _items(page, text):
        if isinstance(item, Block):
            block = replace(
                item,
                place=pending.place or place,
                options=pending.options,
                before=tuple(pending.before),
                varies=tuple(pending.varies),
                file=pending.file,
                fragment=pending.fragment,
            )
            _check(block)
            found.append(block)
            pending = _Pending()
        elif item is None:  # prose: what is pending belongs to no block
            if pending.for_a_block:
                raise Mistake(f"{page}:{pending.line}: this comment has to stand in front of a code block")
            place, pending = pending.place or place, _Pending()
        else:
            _take(page, pending, *item)
    if pending.for_a_block:
        raise Mistake(f"{page}:{pending.line}: no code block follows this comment")
    return found


def keeps(text: str) -> bool:
    """Whether the page says that it leaves its places as they were."""
    return re.search(rf"^<!-- {KEEPS} -->$", text, re.MULTILINE) is not None


def _items(page: str, text: str) -> Iterator[Block | tuple[int, str] | None]:
    """Blocks, comments of ours (line, content), and None for a line of prose."""
    lines = text.splitlines()
    number = 0
    in_list = False
    after_blank = True
    while number < len(lines):
        line = lines[number]
        start = number + 1
        if opened := _FENCE.match(line):
            content, number = _fenced(page, lines, number, opened["fence"], len(opened["indent"]))
            yield Block(page, start + 1, opened["info"].strip(), content)
        elif line.lstrip().startswith("<!--"):
            while "-->" not in lines[number]:
                number += 1
                if number == len(lines):
                    raise Mistake(f"{page}:{start}: this comment has no end")
            body = "\n".join(lines[start - 1 : number + 1]).partition("<!--")[2].partition("-->")[0].strip()
            number += 1
            if body != KEEPS and re.match(rf"(?:{'|'.join(_DIRECTIVES)})\b", body):
                yield start, body
        else:
            if _INDENTED.match(line) and after_blank and not in_list:
                raise Mistake(
                    f"{page}:{start}: a code block by indentation has no language: fence it, ```text"
                )
            in_list = bool(_LIST.match(line)) or (in_list and (not line.strip() or line.startswith(" ")))
            number += 1
            if line.strip():
                yield None
        after_blank = not line.strip()


def _fenced(
    page: str, lines: Sequence[str], opened: int, fence: str, indent: int
) -> tuple[tuple[str, ...], int]:
    """The content of a fence, without the indentation of a list, and the number of the line after it."""
    for number in range(opened + 1, len(lines)):
        line = lines[number].strip()
        if line.startswith(fence) and not line.strip(fence[0]):
            content = lines[opened + 1 : number]
            return tuple(text[indent:] if not text[:indent].strip() else text for text in content), number + 1
    raise Mistake(f"{page}:{opened + 1}: this block has no end")


def _take(page: str, pending: _Pending, line: int, body: str) -> None:
    kind, _, value = (part.strip() for part in body.partition(":"))
    pending.line = line
    if kind == "run" and value:
        pending.place, pending.options = _run(page, line, value)
    elif kind in {"given", "wait"} and value:
        pending.before.append(Before(kind, value, line))
    elif kind == "varies" and value:
        pending.varies.append(value)
    elif kind == "file" and value:
        pending.file = value
    elif kind == "fragment" and not value:
        pending.fragment = True
    else:
        raise Mistake(
            f"{page}:{line}: {body!r} is no comment that the runner knows ({', '.join(_DIRECTIVES)})"
        )


def _run(page: str, line: int, value: str) -> tuple[str, Options]:
    place, _, rest = (part.strip() for part in value.partition(","))
    options = Options()
    while rest:
        option = _OPTION.match(rest)
        if option is None:
            allowed = 'exit N, interrupt after "TEXT", answer "TEXT" after "TEXT"'
            raise Mistake(f"{page}:{line}: {rest!r} is no option of a place; allowed: {allowed}")
        if option["exit"] is not None:
            options = replace(options, exit=int(option["exit"]))
        else:
            options = replace(options, after=option["interrupt"] or option["after"], answer=option["answer"])
        rest = rest[option.end() :].lstrip(" ,")
    return place, options


def _check(block: Block) -> None:
    where = f"{block.page}:{block.line - 1}"
    if not block.language:
        raise Mistake(f"{where}: a block without a language: sh, console, yaml, text …")
    if block.runs and block.place is None:
        raise Mistake(f"{where}: where does this run? <!-- run: PLACE --> in front of it, or for the page")
    if not block.runs and (block.before or block.varies or block.options != Options()):
        raise Mistake(f"{where}: {block.language} is not run, so nothing can be given or awaited")
    if block.language in COMMANDS and (block.file or block.fragment):
        raise Mistake(f"{where}: commands are neither a file nor a fragment")
    if block.language == "console":
        console(block)


def console(block: Block) -> list[Command]:
    """The commands of a `console` block: behind `$ ` or `# `; one that ends with a backslash goes on."""
    found: list[Command] = []
    for number, line in enumerate(block.lines, block.line):
        last = found[-1] if found else None
        going_on = last is not None and last.output == () and last.text.endswith("\\")
        if last is not None and (going_on or (line.startswith("> ") and last.output == ())):
            text = f"{last.text}\n{line[2:] if line.startswith('> ') else line}"
            found[-1] = replace(last, text=text)
        elif line.startswith(("$ ", "# ")):
            found.append(Command(line[2:], number, ()))
        elif last is None:
            raise Mistake(f"{block.page}:{number}: a console block begins with `$ ` and a command")
        else:
            found[-1] = replace(last, output=(*(last.output or ()), line))
    if not found:
        raise Mistake(f"{block.page}:{block.line - 1}: a console block without a command")
    return [_without_end(command) for command in found]


def _without_end(command: Command) -> Command:
    """Empty lines between a command's output and the next command are for the reader."""
    output = list(command.output or ())
    while output and not output[-1].strip():
        output.pop()
    return replace(command, output=tuple(output))
