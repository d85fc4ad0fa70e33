"""How a log line is written: for a terminal, for the systemd journal, or as JSON for a collector.

All go to standard error, a line for each record; who started us decides where that goes. The watchdog uses
this module too, and imports nothing else of ours, so there is nothing here but the standard library.

JSON has the members `time` (RFC 3339, UTC), `level`, `logger`, `message` and `pid`; `event` (`id`, `kind`,
`subject`, `data`) where the line tells an event, `request` where it tells a request, `exception` with the
traceback, `trace_id` and `span_id` (hexadecimal) within a trace.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

Format = Literal["auto", "console", "journal", "json"]
FORMATS: tuple[Format, ...] = ("auto", "console", "journal", "json")
LEVELS = ("debug", "info", "warning", "error")
CONSOLE = "%(asctime)s %(levelname)s %(name)s: %(message)s"
CHATTY = ("alembic", "uvicorn.error", "opentelemetry", "urllib3")
"""Loggers of libraries; below warnings they are heard at the level debug only."""
STANDARD_ERROR = 2
"""Its descriptor: if that is closed, there is no `sys.stderr`."""
_PRIORITY = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}
"""syslog's severities (RFC 5424 6.2.1), as the journal takes them in front of a line."""

trace_ids: Callable[[], Mapping[str, str]] = dict
"""`trace_id` and `span_id` of the span that runs; traces put theirs in place of it."""


class JournalFormatter(logging.Formatter):
    """Lines with a priority in front (sd-daemon(3)); the journal has the time itself."""

    def __init__(self) -> None:
        super().__init__("%(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Every line of it: a traceback has the priority of what it belongs to."""
        mark = f"<{_PRIORITY.get(record.levelno, 6)}>"
        return "\n".join(mark + line for line in super().format(record).splitlines())


class JsonFormatter(logging.Formatter):
    """A JSON object for each record; see the module."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the message has in it."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "pid": record.process,
        }
        event = getattr(record, "event", None)
        if event is not None:
            line["message"] = event.message
            line["event"] = {
                "id": event.id,
                "kind": event.kind,
                "subject": event.subject,
                "data": dict(event.data),
            }
        request = getattr(record, "request", None)
        if request is not None:
            line["request"] = request
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line | dict(trace_ids()), ensure_ascii=False, default=str)


def to_journal(environment: Mapping[str, str], descriptor: int) -> bool:
    """True if that descriptor leads to the systemd journal (`JOURNAL_STREAM`, systemd.exec(5))."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False  # closed: whoever started us wants no log
    return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def configure(level: str, form: str) -> None:
    """For the process as a whole. ValueError, saying what is allowed, for another level or form."""
    if level not in LEVELS:
        raise ValueError(f"{level!r} is no level; allowed: {', '.join(LEVELS)}")
    if form not in FORMATS:
        raise ValueError(f"{form!r} is no format of the log; allowed: {', '.join(FORMATS)}")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(form))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(logging.DEBUG if level == "debug" else logging.WARNING)


def _formatter(form: str) -> logging.Formatter:
    if form == "json":
        return JsonFormatter()
    if form == "journal" or (form == "auto" and to_journal(os.environ, STANDARD_ERROR)):
        return JournalFormatter()
    return logging.Formatter(CONSOLE)
