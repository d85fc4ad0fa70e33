"""The dashboard's modules that need no page: their tests are JavaScript, and node runs them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

HERE = Path(__file__).parent


def test_modules_without_a_page() -> None:
    tests = sorted(HERE.glob("*.test.mjs"))
    ran = subprocess.run(
        ["node", "--test", *map(str, tests)], capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stdout
    counts = dict(re.findall(r"^# (\w+) (\d+)$", ran.stdout, re.M))
    assert counts["skipped"] == counts["todo"] == "0"
    assert int(counts["pass"]) > 0
