"""One lab for all tests of this folder: to make it takes longer than they do. Each leaves it whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.daemons import Lab


@pytest.fixture(scope="package")
def lab() -> Iterator[Lab]:
    # As most who try it: root is in the other labs (tests/e2e, tests/docs).
    running = Lab(ordinary_user=True)
    try:
        running.be_patient()
        running.until_carrying(1)
        yield running
    finally:
        running.close()
