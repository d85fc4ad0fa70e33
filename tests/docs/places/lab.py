"""`lab`: the reference scenario runs, as after `bgpsvc lab up`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.docs.places.sandbox import Sandbox, machine

URL = "http://127.0.0.1:8179/v1"
ESTABLISHED = """curl -s {url}/bgp-sessions/conn1-tunnel{number} | grep -q '"state":"established"'"""
UP = f"""curl -s {URL}/tunnels/conn1-tunnel1 | grep -q '"carrying":true'"""


@contextmanager
def lab(commands: Sequence[str]) -> Iterator[Sandbox]:
    """A lab, unless the page begins with starting it."""
    with machine("laptop") as sandbox:
        if not commands or not commands[0].startswith("bgpsvc lab up"):
            sandbox.run("bgpsvc lab up")
            for number in (1, 2):
                sandbox.until(ESTABLISHED.format(url=URL, number=number))
            sandbox.until(UP)
        yield sandbox
