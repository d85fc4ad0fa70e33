"""Searches beside everything else: what is kept between them, and what an abandoned one leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from functools import partial

import pytest

from bgpsvc import searching
from bgpsvc.events import Announced
from bgpsvc.model import Prefix, parse_prefix
from bgpsvc.port import RouteFilter
from bgpsvc.queries import RouteQueries
from bgpsvc.route_filters import Refused
from bgpsvc.searching import Searches
from bgpsvc.turns import in_turns
from bgpsvc.views import Page
from tests.unit.core.harness import Node
from tests.unit.support import T1, engine, path, up

DEADLINE = 20.0


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Refused]:
    """A list to which each look at all refused paths is added."""
    found: list[Refused] = []
    original = Refused.find

    def find(refused: Refused) -> Generator[None, None, list[Prefix]]:
        found.append(refused)
        return original(refused)

    monkeypatch.setattr(Refused, "find", find)
    return found


def with_refused(*prefixes: str) -> Node:
    """A gateway whose peer announces prefixes with our own AS in the path."""
    node = Node(engine())
    up(node.engine, T1, 1.0, "20.1.0.0/16")
    refuse(node, *prefixes)
    node.settle()
    return node


def refuse(node: Node, *prefixes: str) -> None:
    own = node.engine.sessions[T1].settings.local_asn
    node.engine.handle(Announced(T1, path(T1, 65500, own), tuple(map(parse_prefix, prefixes))), 2.0)


def listed(page: Page) -> list[str]:
    return [item.prefix for item in page.items]


def test_refused_paths_are_looked_at_once_while_nothing_changes(looks: list[Refused]) -> None:
    node = with_refused("20.2.0.0/16", "20.3.0.0/16")
    queries = RouteQueries(node.engine, lambda: 0.0)
    gateway = node.engine.gateways["gw1"]

    async def search() -> None:
        searches = Searches(queries)
        first = await searches.page(queries.routes(gateway, RouteFilter(), 2, None), "me")
        assert (listed(first), first.matching) == (["20.1.0.0/16", "20.2.0.0/16"], 3)
        last = await searches.page(queries.routes(gateway, RouteFilter(), 2, first.next_cursor), "me")
        assert listed(last) == ["20.3.0.0/16"]
        assert len(looks) == 1
        none = await searches.page(queries.routes(gateway, RouteFilter(state="not_installed"), 1, None), "me")
        assert (listed(none), len(looks)) == (["20.2.0.0/16"], 1), "whatever their state"
        refuse(node, "20.4.0.0/16")
        last = await searches.page(queries.routes(gateway, RouteFilter(), 2, first.next_cursor), "me")
        assert (listed(last), len(looks)) == (["20.3.0.0/16", "20.4.0.0/16"], 2)
        searches.stop()

    asyncio.run(search())


def test_nothing_is_kept_of_searches_that_were_long_ago(
    looks: list[Refused], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = with_refused("20.2.0.0/16")
    queries = RouteQueries(node.engine, lambda: 0.0)
    gateway = node.engine.gateways["gw1"]
    forgotten = asyncio.Event()
    original = queries.forget

    def forget() -> None:
        original()
        forgotten.set()

    async def search() -> None:
        monkeypatch.setattr(queries, "forget", forget)
        searches = Searches(queries)
        monkeypatch.setattr(searching, "IDLE", 1000.0)
        await searches.page(queries.routes(gateway, RouteFilter(), 2, None), "me")
        assert not forgotten.is_set()
        monkeypatch.setattr(searching, "IDLE", 0.0)
        await searches.page(queries.routes(gateway, RouteFilter(), 2, None), "me")
        assert len(looks) == 1
        async with asyncio.timeout(DEADLINE):
            await forgotten.wait()
        await searches.page(queries.routes(gateway, RouteFilter(), 2, None), "me")
        assert len(looks) == 2
        searches.stop()

    asyncio.run(search())


def test_a_search_that_is_given_up_is_ended_and_lets_the_next_one_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(searching, "TURN", 0.0)
    ended: list[str] = []

    def endless(name: str) -> Generator[None, None, Page]:
        try:
            while True:
                yield
        finally:
            ended.append(name)

    def short() -> Generator[None, None, Page]:
        yield
        return Page((), None)

    async def search() -> None:
        searches = Searches(RouteQueries(engine(), lambda: 0.0))
        running = asyncio.create_task(searches.page(endless("running"), "me"))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(searches.page(endless("waiting"), "me"))
        patient = asyncio.create_task(searches.page(short(), "you"))
        await asyncio.sleep(0)
        waiting.cancel()
        running.cancel()
        async with asyncio.timeout(DEADLINE):
            assert (await patient).items == ()
            await asyncio.gather(running, waiting, return_exceptions=True)
        searches.stop()

    asyncio.run(search())
    assert ended == ["running"], "the other one had not begun"


def test_nobody_waits_for_more_than_one_search_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "TURN", 0.0)
    monkeypatch.setattr(searching, "in_turns", partial(in_turns, turn=0.0))
    done: list[str] = []

    def search_of(caller: str) -> Generator[None, None, Page]:
        yield
        done.append(caller)
        return Page((), None)

    async def search() -> None:
        searches = Searches(RouteQueries(engine(), lambda: 0.0))
        callers = ["greedy"] * 5 + ["patient"] * 2
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*(searches.page(search_of(caller), caller) for caller in callers))
        searches.stop()

    asyncio.run(search())
    assert done[:4] == ["greedy", "patient", "greedy", "patient"]
    assert len(done) == 7
