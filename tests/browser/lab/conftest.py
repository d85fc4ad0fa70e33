"""One lab for all tests of this folder: to make it takes longer than they do. Each leaves it whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.daemons import Lab


@pytest.fixture(scope="package")
def lab() -> Iterator[Lab]:
    running = Lab()
    try:
        running.be_patient()
        running.until_carrying(1)
        yield running
    finally:
        running.close()
