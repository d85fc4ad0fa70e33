"""Examples of configurations for the other side."""

from __future__ import annotations

from api.examples import Json

PLATFORM: Json = {
    "name": "strongswan-frr",
    "title": "Linux with strongSwan and FRR",
    "extension": "txt",
    "notes": "Several files; strongSwan 5.9 and FRR 8 or later, a kernel with XFRM interfaces (4.19).",
    "media_type": "text/plain",
    "built_in": True,
}
PLATFORMS: Json = {"items": [PLATFORM], "next_cursor": None}
TEXT = """\
# file: etc/swanctl/conf.d/conn1.conf
connections {
  # Tunnel 1, the active one.
  conn1-tunnel1 {
    version = 2
    local_addrs = 198.51.100.2
    remote_addrs = 198.51.100.1
  }
}
"""
