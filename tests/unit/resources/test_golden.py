"""Golden files: `X.in.yaml` is printed as `X.out.yaml`; its problems or warnings are `X.err`."""

from __future__ import annotations

from pathlib import Path

import pytest

from bgpsvc.resources import ConfigError, dump, load

FOLDER = Path(__file__).parent / "golden"
CASES = sorted(path.name.removesuffix(".in.yaml") for path in FOLDER.glob("*.in.yaml"))


def read_secret(name: str) -> str:
    assert name == "secrets/conn1"
    return "key-of-conn1\n"


def expected(case: str, suffix: str) -> str:
    path = FOLDER / f"{case}{suffix}"
    return path.read_text() if path.exists() else ""


def test_there_are_cases() -> None:
    assert {"issue", "full", "broken"} <= set(CASES)


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str) -> None:
    name = f"{case}.in.yaml"
    printed, messages = "", ""
    try:
        loaded = load((FOLDER / name).read_text(), name, read_secret)
    except ConfigError as error:
        messages = f"{error}\n"
    else:
        printed = dump(loaded.intent, reveal=True)
        messages = "".join(f"warning: {warning}\n" for warning in loaded.warnings)
        assert load(printed, name, read_secret).intent == loaded.intent
    assert printed == expected(case, ".out.yaml")
    assert messages == expected(case, ".err")
