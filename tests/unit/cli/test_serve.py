"""What `serve` does before it starts anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from bgpsvc.cli.running import _make_state_dir, _said


def test_a_state_directory_is_made_for_its_user_alone(tmp_path: Path) -> None:
    made = tmp_path / "a" / "b"
    _make_state_dir(made)
    assert made.stat().st_mode & 0o777 == 0o700
    _make_state_dir(made)


def test_a_directory_that_others_use_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(OSError, match="must be a directory of this user with mode 0700"):
        _make_state_dir(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_errors_are_said_without_their_numbers(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file") as missing:
        (tmp_path / "none").read_text()
    assert _said(missing.value) == f"{tmp_path}/none: No such file or directory"
