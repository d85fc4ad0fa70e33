"""Patterns of AS paths: what routers mean by them, and no pattern that takes for ever."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bgpsvc.as_path_regex import MAX_NESTING, MAX_REPEAT, REMEMBERED, AsPathRegex
from bgpsvc.resources.models import PolicyMatch


@pytest.mark.parametrize(
    ("pattern", "path", "found"),
    [
        ("^65500$", "65500", True),
        ("^65500$", "65500 65501", False),
        ("_65501_", "65500 65501 65502", True),
        ("_65501_", "65500 65501", True),
        ("_65501_", "65501", True),
        ("_65501_", "165501 655010", False),
        ("_65501_", "65500 {65501,65502}", True),
        ("_65502_", "65500 {65501,65502}", True),
        ("_65001_", "(65001 65002) 65500", True),
        ("^65500_", "65500", True),
        ("^65500_65501$", "65500 65501", True),
        ("^65500_65501$", "65500 1 65501", False),
        ("^$", "", True),
        ("^$", "1", False),
        ("_", "", True),
        ("65[0-9]{3}$", "1 65123", True),
        ("^(1|22)( (1|22))*$", "1 22 1", True),
        ("^(1|22)( (1|22))*$", "1 22 3", False),
        ("^[^ ]+ [^ ]+$", "1 2", True),
        ("^[^ ]+ [^ ]+$", "1 2 3", False),
        ("[{]65501", "65500 {65501}", True),
        ("{65501", "65500 {65501}", True),
        ("^1[_2]3", "1 3", True),
        ("^1{2,3}$", "1111", False),
        ("^1{2,3}$", "111", True),
        ("^1{2,}$", "11111", True),
        ("[]]", "[1]", True),
    ],
)
def test_patterns(pattern: str, path: str, found: bool) -> None:
    assert AsPathRegex(pattern).search(path) is found


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("(65500", "an opening parenthesis"),
        ("65500)", "opening one"),
        ("[0-9", "an opening bracket"),
        ("*1", "nothing before"),
        ("(|?)", "nothing before"),
        ("1**", "repeats a repetition"),
        ("1{3,2}", "backwards"),
        (f"1{{{MAX_REPEAT + 1}}}", "more than"),
        ("[9-1]", "none of digits"),
        ("((1{50}){50}){50}", "too complex"),
        ("(" * (MAX_NESTING + 1) + ")" * (MAX_NESTING + 1), "nested deeper"),
    ],
)
def test_what_is_no_pattern_is_told(pattern: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        AsPathRegex(pattern)


def test_a_configuration_with_such_a_pattern_is_refused() -> None:
    with pytest.raises(ValidationError, match="repetitions multiply"):
        PolicyMatch(as_path="((1{50}){50}){50}")


@pytest.mark.parametrize(
    "pattern",
    ["(1+)+$", "^(1|1)*2$", ".*" * 90 + "{", "^((1*)*)*2$", "[12]*1[12]{200}3", "(.{1,9}){1,9}3"],
)
def test_no_pattern_takes_for_ever(pattern: str) -> None:
    # Longer than UPDATEs of the usual size can make it, and with a mixture of digits that never repeats.
    digits = "".join("12"[bin(n * n).count("1") % 2] for n in range(20_000))
    compiled = AsPathRegex(pattern)
    began = time.process_time()
    compiled.search(digits + "4")
    assert time.process_time() - began < 5


def test_what_a_pattern_remembers_is_bounded() -> None:
    compiled = AsPathRegex("[12]*1[12]{200}3")
    compiled.search("".join("12"[bin(n * n).count("1") % 2] for n in range(3 * REMEMBERED)))
    assert len(compiled._known) <= REMEMBERED


ATOMS = st.sampled_from(["1", "2", "12", " ", ",", "{", ".", "_", "[12]", "[^1]", "[0-9]", "^", "$"])
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"({'|'.join(parts)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{1,}"])).map(
            lambda pair: f"({pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=8,
)


@given(PATTERNS, st.text("12 ,{}", max_size=8))
def test_it_finds_what_a_backtracking_matcher_finds(pattern: str, path: str) -> None:
    reference = re.sub(r"_", r"(?:^|[ ,{}()\\[\\]]|$)", pattern)
    assert AsPathRegex(pattern).search(path) == bool(re.search(reference, path))
