"""`checkout`: a copy of the checkout in the reader's home, with its environment made.

The environment is the one that the tests run in: what a new user's `make env` loads from a package index
is the same by hash, and the run of the tests itself begins with it.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.docs.places.sandbox import HOME, Sandbox, machine
from tests.docs.places.shell import ROOT

COPY = f"""
mkdir {HOME}/bgpsvc
cd {shlex.quote(str(ROOT))}
git -c safe.directory='*' ls-files -z --cached --others --exclude-standard \\
  | while IFS= read -r -d '' file; do if [ -e "$file" ]; then printf '%s\\0' "$file"; fi; done \\
  | tar --create --null --files-from=- | tar --extract --directory {HOME}/bgpsvc
cd {HOME}/bgpsvc
ln -s {shlex.quote(sys.prefix)} .venv
{{ sha256sum requirements.lock pyproject.toml scripts/make-env; pwd -P; }} > .venv/.bgpsvc-installed
"""


@contextmanager
def checkout(_commands: Sequence[str]) -> Iterator[Sandbox]:
    """The shell stands in the copy."""
    with machine("laptop") as sandbox:
        sandbox.run(COPY)
        yield sandbox
