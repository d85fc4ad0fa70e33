"""Templates that are compiled once for many renderings: compiling takes most of the time of a rendering."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import jinja2
import pytest
from jinja2.bccache import Bucket
from jinja2.sandbox import ImmutableSandboxedEnvironment

from bgpsvc.peerconfig import render


class _Compiled(jinja2.BytecodeCache):
    """Keeps what templates were compiled to, as long as their text stays the same."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self.kept:
            bucket.bytecode_from_string(self.kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self.kept[bucket.key] = bucket.bytecode_to_string()


@contextmanager
def compiled_once() -> Iterator[None]:
    """Renderings inside compile each template once."""
    with pytest.MonkeyPatch.context() as patch:
        made = partial(ImmutableSandboxedEnvironment, bytecode_cache=_Compiled())
        patch.setattr(render, "ImmutableSandboxedEnvironment", made)
        yield
