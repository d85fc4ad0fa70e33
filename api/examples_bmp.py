"""Examples of BMP stations."""

from __future__ import annotations

from typing import Any

STATION: dict[str, Any] = {
    "station": "192.0.2.9:1790",
    "state": "connected",
    "since": "2025-10-09T08:41:14.100Z",
    "ribs": ["loc-rib", "pre-policy"],
    "peers": 3,
    "dumping": 0,
    "pending": 0,
    "connections": 1,
    "messages": 1204,
    "bytes": 3561870,
    "last_error": None,
    "last_error_at": None,
}
