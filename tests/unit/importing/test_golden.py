"""Files as the clouds give them out, and what is made of them: resources and warnings, to the letter.

`python -m tests.unit.importing.test_golden` writes the golden files anew.
"""

from __future__ import annotations

import pytest

from bgpsvc.resources import load
from tests.unit.importing.base import CASES, HERE, imported, read_secret, warnings

GOLDEN = HERE / "golden"


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    found = imported(name)
    assert found.text == (GOLDEN / f"{name}.yaml").read_text()
    assert warnings(found) == (GOLDEN / f"{name}.warnings").read_text()


@pytest.mark.parametrize("name", CASES)
def test_what_is_made_is_a_valid_file_that_means_the_same(name: str) -> None:
    found = imported(name)
    assert load(found.text, "made.yaml", read_secret).intent == found.intent


def main() -> None:
    """Writes the golden files."""
    for name in CASES:
        found = imported(name)
        (GOLDEN / f"{name}.yaml").write_text(found.text)
        (GOLDEN / f"{name}.warnings").write_text(warnings(found))


if __name__ == "__main__":
    main()
