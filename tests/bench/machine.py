"""What the figures were measured on and with."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any


def machine(repository: Path) -> dict[str, Any]:
    """Processors, memory, kernel, versions, and the commit; what cannot be told is null."""
    changed = _output(["git", "-C", str(repository), "status", "--porcelain", "--", "bgpsvc", "api"])
    return {
        "processors": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": _first(r"\d+\.\d+(\.\d+)?", platform.release()),
        "python": platform.python_version(),
        "bgpsvc": version("bgpsvc"),
        "commit": _output(["git", "-C", str(repository), "rev-parse", "--short", "HEAD"]),
        "changed_since": None if changed is None else bool(changed),
        "bird": _first(r"\d[\d.]+", _output(["bird", "--version"])),
        "frr": _first(r"\d[\d.]+", _output(["/usr/lib/frr/bgpd", "--version"])),
        "date": datetime.now(UTC).date().isoformat(),
    }


def _output(words: list[str]) -> str | None:
    """What a program prints, on either stream; None if there is no such program or it fails."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    except FileNotFoundError:
        return None
    return (done.stdout + done.stderr).strip() if done.returncode == 0 else None


def _first(pattern: str, text: str | None) -> str | None:
    """The first match in a text, None if there is none."""
    found = re.search(pattern, text or "")
    return None if found is None else found[0]
