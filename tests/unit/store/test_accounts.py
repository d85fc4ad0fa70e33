"""The text of tokens: made, taken apart, compared."""

from __future__ import annotations

import hashlib
import os

import pytest

from bgpsvc.store.accounts import digest, make_token, matches, parse_token

ZEROS = "bgpsvc_000000000000." + "A" * 43


def test_a_token_is_made_of_random_bytes_alone() -> None:
    text, ident, stored = make_token(bytes)
    assert text == ZEROS
    assert ident == "000000000000"
    assert stored == hashlib.sha256(b"A" * 43).digest()


def test_secret_and_id_have_their_size() -> None:
    asked: list[int] = []

    def random(size: int) -> bytes:
        asked.append(size)
        return os.urandom(size)

    make_token(random)
    assert sorted(asked) == [6, 32]


def test_what_is_made_is_parsed_and_matches() -> None:
    seen = set()
    for _ in range(200):
        text, ident, stored = make_token(os.urandom)
        parsed = parse_token(text)
        assert parsed is not None
        assert parsed[0] == ident
        assert matches(stored, parsed[1])
        assert parsed[1] not in repr(stored)
        seen.add(text)
    assert len(seen) == 200


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bgpsvc_",
        ZEROS[:-1],
        ZEROS + "A",
        ZEROS + "\n",
        " " + ZEROS,
        ZEROS.replace(".", ""),
        ZEROS.replace(".", ":"),
        ZEROS.replace("bgpsvc_", "BGPSVC_"),
        ZEROS.replace("bgpsvc_0", "bgpsvc_g"),
        ZEROS.replace("bgpsvc_00", "bgpsvc_0A"),
        ZEROS.replace("bgpsvc_0", "bgpsvc_\u0660"),
        ZEROS[:-1] + "+",
        ZEROS[:-1] + "=",
        ZEROS[:-1] + "\0",
        ZEROS[:-1] + "\u00e9",
    ],
)
def test_anything_else_is_no_token(text: str) -> None:
    assert parse_token(text) is None


def test_another_secret_does_not_match() -> None:
    stored = digest("A" * 43)
    assert matches(stored, "A" * 43)
    assert not matches(stored, "A" * 42 + "B")
    assert not matches(stored, "")
    assert not matches(b"", "A" * 43)
    assert not matches(stored[:-1], "A" * 43)
