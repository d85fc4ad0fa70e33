"""Runs the commands of a page, in order, each where the page says, and compares what they print."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.docs.blocks import Block, Command, Mistake, blocks, console, keeps
from tests.docs.output import clean, difference, missing
from tests.docs.places import place
from tests.docs.places.shell import ROOT, Shell, ShellError

NOT_RUN = {"make test": "runs all tests, this one among them"}
"""Commands that no test runs, with the reason. There is no other way out."""


ELSEWHERE = {"compose": "tests/browser/compose/test_written_commands.py"}
"""Places that tests of another folder have already, so that these run the pages there."""


LOOKS = re.compile(r"(?:peer )?bgpsvc (?:show|get|diagnose|explain) [^;&|<>$`\n]*")
"""Commands that change nothing. What they tell settles, at a pace that a page does not know of: they are
asked again and again until they say what is shown, as a reader would, for at most ..."""
SETTLED_SECONDS = 60.0
"""... this long."""


class Wrong(AssertionError):
    """A command did not do what the page says; the text begins with page and line."""


class Differs(Wrong):
    """It ended in another way, or said something else. Asked again it may not."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a command, for who tries a page."""

    place: str
    line: int
    command: str
    output: str


@cache
def pages() -> list[str]:
    """All pages of the documentation, from the top of the repository."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [str(path.relative_to(ROOT)) for path in found if "_build" not in path.parts]


@cache
def read(page: str) -> tuple[Block, ...]:
    """The blocks of a page. Mistake if one is not accounted for."""
    return known(blocks(page, (ROOT / page).read_text(encoding="utf-8")))


def known(found: Sequence[Block]) -> tuple[Block, ...]:
    """The blocks themselves. Mistake if one names a place that is none."""
    for block in found:
        if block.place is not None and block.runs:
            try:
                place(block.place)
            except KeyError:
                raise Mistake(f"{block.page}:{block.line - 1}: there is no place {block.place!r}") from None
    return tuple(found)


@cache
def places_of(page: str) -> list[str]:
    """The places that a page needs, in its order; none if it is refused, which its own test tells."""
    try:
        found = read(page)
    except Mistake:
        return []
    return list(dict.fromkeys(block.place for block in found if block.runs and block.place is not None))


def pages_with(name: str) -> list[str]:
    """Pages that need a place."""
    return [page for page in pages() if name in places_of(page)]


def units() -> list[tuple[str, tuple[str, ...]]]:
    """Place and pages that run in it one after the other: those that keep it, each other one alone."""
    every = sorted({name for page in pages() for name in places_of(page)} - ELSEWHERE.keys())
    found: list[tuple[str, tuple[str, ...]]] = []
    for name in every:
        kept = [page for page in pages_with(name) if keeps((ROOT / page).read_text(encoding="utf-8"))]
        found += [(name, (page,)) for page in pages_with(name) if page not in kept]
        found += [(name, tuple(kept))] if kept else []
    return found


def commands(block: Block) -> list[Command]:
    """The commands of a block with the lines they stand at."""
    return console(block) if block.language == "console" else list(_script(block))


def _script(block: Block) -> Iterator[Command]:
    """The commands of a script: as many lines each as bash takes for one."""
    text: list[str] = []
    for number, line in enumerate(block.lines, block.line):
        if not text and (not line.strip() or line.lstrip().startswith("#")):
            continue
        text.append(line)
        if _complete("\n".join(text)):
            yield Command("\n".join(text), number - len(text) + 1)
            text = []
    if text:
        raise Mistake(f"{block.page}:{block.line}: this is no whole command: {' '.join(text)}")


def _complete(text: str) -> bool:
    if text.endswith("\\"):
        return False
    asked = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    # A here-document without its end is a warning only.
    return not asked.returncode and not asked.stderr


def run_place(name: str, these: Sequence[str]) -> Iterator[Ran]:
    """Run all blocks of pages that belong to a place. Wrong at the first that does otherwise."""
    mine = [block for page in these for block in read(page) if block.runs and block.place == name]
    planned = [
        command.text for block in mine if block.language in {"sh", "console"} for command in commands(block)
    ]
    with place(name)(planned) as shell:
        yield from run_blocks(shell, mine)


def run_blocks(shell: Shell, found: Sequence[Block]) -> Iterator[Ran]:
    """Run blocks in a place that is there already."""
    page = None
    for block in found:
        if page not in (None, block.page):
            shell.run("cd")
        page = block.page
        yield from _run_block(shell, block)


def _run_block(shell: Shell, block: Block) -> Iterator[Ran]:
    for before in block.before:
        where = f"{block.page}:{before.line}: [{block.place}] {before.kind}: {before.command}"
        try:
            shell.run(before.command) if before.kind == "given" else shell.until(before.command)
        except ShellError as error:
            raise Wrong(f"{where}\n{error}") from None
    if block.file is not None:
        shell.write(block.file, block.text)
        return
    listed = commands(block)
    for command in listed:
        if command.text.partition("#")[0].strip() not in NOT_RUN:
            yield _run_command(shell, block, command, last=command is listed[-1])


def _run_command(shell: Shell, block: Block, command: Command, *, last: bool) -> Ran:
    settles = LOOKS.fullmatch(command.text) is not None and not (last and block.options.after)
    deadline = time.monotonic() + SETTLED_SECONDS
    while True:
        began = time.monotonic()
        try:
            return _run_once(shell, block, command, last=last, may_fail=settles)
        except Differs:
            ended = time.monotonic()
            if not settles or ended > deadline:
                raise
            # As long as it took: what is waited for needs the processors too.
            time.sleep(ended - began)


def _run_once(shell: Shell, block: Block, command: Command, *, last: bool, may_fail: bool) -> Ran:
    options = block.options
    where = f"{block.page}:{command.line}: [{block.place}] $ {command.text}"
    expected = options.exit if last else 0
    try:
        if last and options.after is not None:
            typed = "\\003" if options.answer is None else f"{options.answer}\\n"
            done = shell.run(command.text, kind="terminal", after=options.after, typed=typed)
        else:
            done = shell.run(command.text, may_fail=may_fail or expected != 0)
    except ShellError as error:
        raise Wrong(f"{where}\n  {error}") from None
    printed = clean(done.output)
    interrupted = last and options.after is not None and options.answer is None
    if done.status != expected and not interrupted:
        said = "\n".join(printed)
        text = f"expected exit status {expected}, came {done.status}; it said:\n{said}\n{shell.log()}"
        raise Differs(f"{where}\n  {text}")
    if command.output is not None:
        told = (
            missing(command.output, printed)
            if interrupted
            else difference(command.output, printed, block.varies)
        )
        if told is not None:
            raise Differs(f"{where}\n{told}")
    if interrupted and str(options.after) not in "\n".join(printed):
        raise Wrong(f"{where}\n  ended before it said {options.after!r}; it said:\n" + "\n".join(printed))
    return Ran(str(block.place), command.line, command.text, "\n".join(printed))


def page_name(argument: str) -> str:
    """A page as the tests name it, of a path as one types it."""
    return str(Path(argument).resolve().relative_to(ROOT))
