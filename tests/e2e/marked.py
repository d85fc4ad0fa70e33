"""Finding the processes that a test started, and all that descend from them, by their environment."""

from __future__ import annotations

import uuid
from pathlib import Path


def new_mark() -> str:
    """A variable's assignment for `env`, found nowhere else."""
    return f"BGPSVC_TEST_MARK={uuid.uuid4()}"


def marked(mark: str) -> dict[int, str]:
    """Living processes that have the mark: pid to command line."""
    found = {}
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit():
            continue
        try:
            if mark.encode() in (directory / "environ").read_bytes().split(b"\0"):
                text = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                found[int(directory.name)] = text
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # ended meanwhile, or none that we started
    return found
