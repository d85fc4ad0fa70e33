"""What the kernel refuses while policy rules are read comes out as OSError, which is tried again."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import pytest
from pyroute2.netlink.exceptions import NetlinkDumpInterrupted

from bgpsvc.fib import lookup


class Interrupted:
    """A netlink socket whose dumps somebody else's changes interrupt."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def rule(self, command: str, **_: Any) -> Any:
        async def messages() -> Any:
            yield None
            raise NetlinkDumpInterrupted()

        assert command == "dump"
        return messages()


def test_an_interrupted_dump_of_the_rules_is_an_os_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "AsyncIPRoute", Interrupted)
    with pytest.raises(OSError, match="cannot read the policy rules"):
        asyncio.run(lookup.set_rules([]))
