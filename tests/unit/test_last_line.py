"""What is told of a process that has ended: its last words, or the exception that ended it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bgpsvc.processes import last_line

TRACE = (
    'Traceback (most recent call last):\n  File "x.py", line 7, in run\n    raise KeyError(9)\nKeyError: 9\n'
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ""),
        ("first\nlast\n\n", "last"),
        ("cannot bind: in use\n*****\n-----\n", "cannot bind: in use"),
        (TRACE, "KeyError: 9"),
        (f"begun\n{TRACE}\n-- History\n\nwas well\n{'*' * 80}\n", "KeyError: 9"),
        (TRACE + TRACE.replace("KeyError: 9", "OSError: gone"), "OSError: gone"),
        ("Traceback (most recent call last):\n  File", "Traceback (most recent call last):"),
    ],
)
def test_last_words(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "output").write_text(text)
    assert last_line(tmp_path / "output") == words


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert last_line(tmp_path / "none") == ""


def test_only_the_end_of_a_long_output_is_read(tmp_path: Path) -> None:
    (tmp_path / "output").write_text(TRACE + "x\n" * 100)
    assert last_line(tmp_path / "output", most=50) == "x"
