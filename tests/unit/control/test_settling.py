"""Changes on their way: numbers, passes, and another try."""

from __future__ import annotations

import asyncio

import pytest

from bgpsvc.model import SessionId
from bgpsvc.settling import Settling

A, B = SessionId("a-tunnel1"), SessionId("b-tunnel1")


def test_a_change_is_done_when_a_pass_behind_it_succeeded() -> None:
    async def run() -> None:
        settling = Settling(retry=60)
        first = settling.request(frozenset({A}))
        assert await settling.next() == (first, {A})
        second = settling.request(frozenset({B}))  # while the pass runs: it is not part of it
        settling.succeeded(first)
        assert settling.done == first < second
        assert await settling.next() == (second, {B})

    asyncio.run(run())


def test_quick_changes_share_a_pass() -> None:
    async def run() -> None:
        settling = Settling(retry=60)
        settling.request(frozenset({A}))
        last = settling.request(frozenset({B}))
        assert await settling.next() == (last, {A, B})
        settling.succeeded(last)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(settling.next(), 0.01)

    asyncio.run(run())


def test_a_failed_pass_is_told_and_tried_again_with_what_it_left() -> None:
    async def run() -> None:
        settling = Settling(retry=0.01)
        number = settling.request(frozenset({A}))
        waiting = asyncio.create_task(settling.wait(number))
        taken, made_anew = await settling.next()
        settling.failed(taken, OSError("no such device"), made_anew)
        with pytest.raises(OSError, match="no such device"):
            await waiting
        assert settling.problem == "no such device"
        assert await settling.next() == (number, {A})  # by itself, after a while
        settling.succeeded(number)
        await settling.wait(number)
        assert (settling.problem, settling.done) == (None, number)

    asyncio.run(run())


def test_waiting_for_a_change_that_came_behind_a_failure_goes_on() -> None:
    async def run() -> None:
        settling = Settling(retry=60)
        first = settling.request(frozenset())
        await settling.next()
        settling.failed(first, OSError("stuck"), frozenset())
        second = settling.request(frozenset())
        waiting = asyncio.create_task(settling.wait(second))
        assert (await settling.next())[0] == second
        assert not waiting.done(), "the failure is not its own"
        settling.succeeded(second)
        await waiting

    asyncio.run(run())
