"""The forms of a log line: for a terminal, for the journal, as JSON."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bgpsvc import logs
from bgpsvc.views import EventView


def record(message: str = "all is well", level: int = logging.INFO, **extra: Any) -> logging.LogRecord:
    """A record as a logger makes it."""
    made = logging.LogRecord("bgpsvc.test", level, __file__, 1, message, (), extra.pop("exc_info", None))
    made.__dict__.update(extra)
    return made


def raised() -> Any:
    try:
        raise ValueError("no such thing")
    except ValueError:
        return sys.exc_info()


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, whose handlers come back afterwards."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


def test_json_is_one_object_in_one_line() -> None:
    line = logs.JsonFormatter().format(record('two\nlines and "quotes", ünïcode'))
    assert "\n" not in line
    told = json.loads(line)
    assert told["message"] == 'two\nlines and "quotes", ünïcode'
    assert (told["level"], told["logger"], told["pid"]) == ("info", "bgpsvc.test", os.getpid())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told["time"])
    assert set(told) == {"time", "level", "logger", "message", "pid"}


def test_json_tells_an_event_by_its_members() -> None:
    event = EventView(7, 1.0, "tunnel.down", "warning", "conn1-tunnel1", "BFD is down", {"after_ms": 150})
    told = json.loads(
        logs.JsonFormatter().format(record("tunnel.down conn1-tunnel1: BFD is down", event=event))
    )
    assert told["message"] == "BFD is down"
    assert told["event"] == {
        "id": 7,
        "kind": "tunnel.down",
        "subject": "conn1-tunnel1",
        "data": {"after_ms": 150},
    }


def test_json_has_the_traceback_and_the_span(monkeypatch: pytest.MonkeyPatch) -> None:
    ids: Mapping[str, str] = {"trace_id": "0" * 31 + "1", "span_id": "0" * 15 + "2"}
    monkeypatch.setattr(logs, "trace_ids", lambda: ids)
    told = json.loads(logs.JsonFormatter().format(record(level=logging.ERROR, exc_info=raised())))
    assert told["exception"].endswith("ValueError: no such thing")
    assert told["level"] == "error"
    assert ids.items() <= told.items()


@pytest.mark.parametrize(
    ("level", "mark"),
    [
        (logging.DEBUG, "<7>"),
        (logging.INFO, "<6>"),
        (logging.WARNING, "<4>"),
        (logging.ERROR, "<3>"),
        (logging.CRITICAL, "<2>"),
    ],
)
def test_the_journal_gets_a_priority_in_front_of_every_line(level: int, mark: str) -> None:
    assert logs.JournalFormatter().format(record(level=level)) == f"{mark}bgpsvc.test: all is well"
    lines = logs.JournalFormatter().format(record("a\nb", level, exc_info=raised())).splitlines()
    assert len(lines) > 3
    assert all(line.startswith(mark) for line in lines)


def test_auto_is_the_journal_only_where_standard_error_leads_to_it(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        found = os.fstat(file.fileno())
        here = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        assert logs.to_journal(here, file.fileno())
        assert not logs.to_journal({"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino + 1}"}, file.fileno())
        assert not logs.to_journal({}, file.fileno())
    assert not logs.to_journal(here, 10**6)  # closed


def test_libraries_are_heard_from_warnings_on(root: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = io.StringIO()
    monkeypatch.setattr(sys, "stderr", heard)
    logs.configure("info", "json")
    logging.getLogger("alembic").info("context impl")
    logging.getLogger("bgpsvc").info("started")
    logging.getLogger("bgpsvc").debug("not now")
    assert [json.loads(line)["message"] for line in heard.getvalue().splitlines()] == ["started"]
    logs.configure("debug", "json")
    logging.getLogger("alembic").info("context impl")
    assert json.loads(heard.getvalue().splitlines()[-1])["logger"] == "alembic"


@pytest.mark.parametrize(("level", "form"), [("loud", "json"), ("info", "xml")])
def test_what_is_allowed_is_said(level: str, form: str, root: logging.Logger) -> None:
    with pytest.raises(
        ValueError, match=r"allowed: (debug, info, warning, error|auto, console, journal, json)"
    ):
        logs.configure(level, form)


def test_without_standard_error_there_is_no_log(
    root: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    logs.configure("info", "auto")
    logging.getLogger("bgpsvc").info("nobody hears")
