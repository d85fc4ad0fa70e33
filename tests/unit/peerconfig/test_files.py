"""One text, several files."""

from __future__ import annotations

import pytest

from bgpsvc.peerconfig.files import File, split


def test_each_mark_begins_a_file() -> None:
    text = "# hello\n# file: etc/a.conf\na\n# file: usr/b\n#!/bin/sh\n# file : no\n"
    found = split(text, "x.txt")
    assert found == (
        File("README", "# hello\n"),
        File("etc/a.conf", "a\n"),
        File("usr/b", "#!/bin/sh\n# file : no\n"),
    )
    assert [file.script for file in found] == [False, False, True]


def test_without_a_mark_it_is_one_file() -> None:
    assert split("a\n", "x.txt") == (File("x.txt", "a\n"),)


@pytest.mark.parametrize("name", ["/etc/a", "../a", "a/../b", "a/..", "..", ".", "a//b", "a/", "a\\b"])
def test_no_name_leads_elsewhere(name: str) -> None:
    with pytest.raises(ValueError, match="is not a path below a directory"):
        split(f"# file: {name}\na\n", "x.txt")


def test_no_name_is_there_twice() -> None:
    with pytest.raises(ValueError, match="the file a is there twice"):
        split("# file: a\n# file: a\n", "x.txt")
