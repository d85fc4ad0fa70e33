"""Where the commands of the pages run: each place by its name in `<!-- run: NAME -->`.

A place is a function that gives a `Shell` as a context manager. Its argument is what the page does there,
so that a place need not do what the page does itself (`bgpsvc lab up`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

from tests.docs.places.checkout import checkout
from tests.docs.places.containers import compose, package
from tests.docs.places.gateway import gateway, site
from tests.docs.places.lab import lab
from tests.docs.places.postgresql import postgresql
from tests.docs.places.shell import Shell
from tests.docs.places.standins import standin

Place = Callable[[Sequence[str]], AbstractContextManager[Shell]]

PLACES: Mapping[str, Place] = {
    "checkout": checkout,
    "compose": compose,
    "gateway": gateway,
    "lab": lab,
    "machine": site,
    "package": package,
    "postgresql": postgresql,
}
"""
checkout  a copy of the checkout with its environment, as a new user has it after `git clone`
compose   the containers of compose.yaml, healthy
gateway   a daemon with its database and one connection that is up; default paths and ports; root
lab       `bgpsvc lab up`, both sessions established
machine   the same wires and peer as `gateway`, and nothing of ours runs yet
package   a container with systemd, the Debian package installed
postgresql  a daemon whose database is a PostgreSQL server beside it
"""

OTHER = "other:"
"""In front of the name of a stand-in of `tests/docs/standins`."""


def place(name: str) -> Place:
    """The place of that name. KeyError if there is none."""
    return standin(name.removeprefix(OTHER).strip()) if name.startswith(OTHER) else PLACES[name]
