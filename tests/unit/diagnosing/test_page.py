"""docs/diagnosis.md names every code, with the words that the code has."""

from __future__ import annotations

import re
from pathlib import Path

from bgpsvc.diagnosing.codes import COMMON, FAULTS

PAGE = (Path(__file__).parents[3] / "docs" / "diagnosis.md").read_text()


def test_the_page_has_every_code_in_order() -> None:
    told = re.findall(r"^\| `([a-z0-9_]+)` \| (.*) \|$", PAGE, flags=re.MULTILINE)
    codes = [*COMMON.items(), *(item for layer in FAULTS.values() for item in layer.items())]
    assert told == codes
