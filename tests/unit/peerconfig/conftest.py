"""What the tests of peer configurations share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.peerconfig.compiled import compiled_once


@pytest.fixture(autouse=True, scope="package")
def templates_compiled_once() -> Iterator[None]:
    with compiled_once():
        yield
