"""The manual page: it says what the commands are, in macros that every man program reads."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from bgpsvc.cli import COMMANDS
from bgpsvc.cli.manpage import _help, _text
from tests.unit.cli.conftest import Run

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "bgpsvc" / "cli" / "bgpsvc.1"
MACROS = {"TH", "nh", "ad", "SH", "SS", "B", "PP", "TP", "RS", "RE", "nf", "fi"}


def test_the_page_is_that_of_the_commands(bgpsvc: Run) -> None:
    printed = bgpsvc("man")
    assert printed.status == 0
    assert PAGE.read_text() == printed.out, "write it anew: bgpsvc man > bgpsvc/cli/bgpsvc.1"
    for name in COMMANDS:
        shown = name.replace("-", r"\-")
        assert re.search(rf'^\.SS "bgpsvc {re.escape(shown)}[ "]', printed.out, re.MULTILINE), name


def test_every_line_is_text_or_a_macro_that_is_known() -> None:
    sections = []
    for number, line in enumerate(PAGE.read_text().splitlines(), 1):
        macro = re.match(r"[.'](\S*)", line)
        assert macro is None or macro[1] in MACROS, (number, line)
        assert line.strip(), number
        # Of escapes there are fonts, the minus, the backslash and the empty one; each `-` is a minus.
        rest = re.sub(r"\\(?:f[BIR]|-|e|&)", "", line)
        assert "\\" not in rest, (number, line)
        assert macro is not None or "-" not in rest, (number, line)
        sections += [line[4:]] if line.startswith(".SH ") else []
    assert sections == [
        *("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "COMMANDS", "ENVIRONMENT", "EXIT STATUS")
    ]


def test_text_that_looks_like_roff_means_itself() -> None:
    assert _text(r".TH a\b -x") == r"\&.TH a\eb \-x"
    assert _text("'tis") == r"\&'tis"
    lines = list(_help("One\ntwo.\n\n  bgpsvc x\n\nLast."))
    assert lines == ["One two.", ".PP", ".RS 4", ".nf", "bgpsvc x", ".fi", ".RE", ".PP", "Last."]


def test_the_wheel_installs_the_page_where_man_looks() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert shared == {str(PAGE.relative_to(ROOT)): "share/man/man1/bgpsvc.1"}
