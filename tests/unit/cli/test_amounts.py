"""Times and sizes as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from bgpsvc.cli.amounts import mrt_options, octets, seconds
from bgpsvc.cli.serving import MrtOptions


@pytest.mark.parametrize(
    ("text", "number"), [("10s", 10), ("15m", 900), ("1h", 3600), ("1d", 86400), ("0s", 0)]
)
def test_times(text: str, number: int) -> None:
    assert seconds(text) == number


@pytest.mark.parametrize(("text", "number"), [("500", 500), ("64M", 1 << 26), ("2G", 1 << 31), ("1K", 1024)])
def test_sizes(text: str, number: int) -> None:
    assert octets(text) == number


@pytest.mark.parametrize("text", ["", "m", "15", "15x", "-1m", "1.5h", "１m", "15 m", "9" * 30 + "s"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time like"):
        seconds(text)


def test_options_of_a_recording() -> None:
    assert mrt_options(Path("/mrt"), "15m", 96, "2G") == MrtOptions(Path("/mrt"), 900, 96, 1 << 31)
    for interval, size, said in (
        ("15x", "2G", "'15x' is not a time"),
        ("15m", "two", "'two' is not a size like 64M or 2G"),
        ("0s", "2G", "0s is not allowed; 1s to 1d is"),
        ("2d", "2G", "2d is not allowed; 1s to 1d is"),
        ("15m", "1M", "1M is not allowed; 16M or more is"),
    ):
        with pytest.raises(typer.BadParameter, match=said):
            mrt_options(Path("/mrt"), interval, 96, size)
