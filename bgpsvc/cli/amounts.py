"""Amounts as people write them: times (`15m`) and sizes (`2G`)."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from bgpsvc.cli.serving import MrtOptions

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
SHORTEST, LONGEST = 1, 86400
"""Seconds of a file of a recording."""
LEAST_BYTES = 16 * 1024**2


def seconds(text: str) -> int:
    """`10s`, `15m`, `1h` or `1d` in seconds. ValueError if it is none of these."""
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if found is None:
        raise ValueError(f"{text!r} is not a time like 10s, 15m, 1h or 1d")
    return int(found[1]) * _SECONDS[found[2]]


def octets(text: str) -> int:
    """`500000`, `64M`, `2G` in bytes. ValueError if it is none of these."""
    found = re.fullmatch(r"([0-9]{1,15})([KMGT]?)", text)
    if found is None:
        raise ValueError(f"{text!r} is not a size like 64M or 2G")
    return int(found[1]) * _BYTES[found[2]]


def mrt_options(directory: Path, interval: str, keep: int, max_bytes: str) -> MrtOptions:
    """The options of a recording. typer.BadParameter for amounts that are none, or out of range."""
    try:
        every, most = seconds(interval), octets(max_bytes)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--mrt-interval or --mrt-max-bytes") from None
    if not SHORTEST <= every <= LONGEST:
        raise typer.BadParameter(f"{interval} is not allowed; 1s to 1d is", param_hint="--mrt-interval")
    if most < LEAST_BYTES:
        raise typer.BadParameter(f"{max_bytes} is not allowed; 16M or more is", param_hint="--mrt-max-bytes")
    return MrtOptions(directory.absolute(), every, keep, most)
