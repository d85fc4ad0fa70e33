"""What every platform says of every scenario."""

from __future__ import annotations

import pytest

from tests.unit.peerconfig.golden import CASES, FOLDER, path_of, text_of


@pytest.mark.parametrize(("scenario", "platform"), CASES)
def test_golden(scenario: str, platform: str) -> None:
    path = path_of(scenario, platform)
    assert path.exists(), "python -m tests.unit.peerconfig.golden --update writes it"
    assert text_of(scenario, platform) == path.read_text(encoding="utf-8")


def test_no_file_is_left_over() -> None:
    assert {*FOLDER.glob("*/*")} == {path_of(*case) for case in CASES}
