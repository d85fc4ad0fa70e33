"""The event list and the event stream, the stream over a real server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import httpx
import pytest

from api import sse
from api.render import rfc3339
from bgpsvc.journal import Journal
from bgpsvc.port import EventFilter
from bgpsvc.views import EventView
from tests.fakes.server import DEADLINE, RunningApi, until
from tests.fakes.service import ACTIVE, CONNECTION, FakeService
from tests.unit.api.conftest import Client
from tests.unit.api.contract import Contract, Json


def test_the_latest_events_oldest_first(client: Client, service: FakeService) -> None:
    service.session_down(ACTIVE)
    page = client.get("/v1/events?limit=2")
    assert [(e["id"], e["kind"]) for e in page["items"]] == [
        (3, "session.down"),
        (4, "connection.switchover"),
    ]
    assert page["next_cursor"] is None
    assert page["items"][0]["data"] == {"code": 4, "subcode": 0}


def test_events_page_forward_from_an_id(client: Client, service: FakeService) -> None:
    service.session_down(ACTIVE)
    first = client.get("/v1/events?after=0&limit=3")
    assert [e["id"] for e in first["items"]] == [1, 2, 3]
    last = client.get(f"/v1/events?limit=3&cursor={first['next_cursor']}")
    assert ([e["id"] for e in last["items"]], last["next_cursor"]) == ([4], None)


def test_events_of_some_kinds(client: Client, service: FakeService) -> None:
    service.session_down(ACTIVE)
    page = client.get("/v1/events?kind=session.down&kind=connection.switchover")
    assert [e["id"] for e in page["items"]] == [3, 4]
    wrong = client("GET", "/v1/events?kind=session.gone")
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["pointer"] == "#/kind/0"


def numbers(page: Json) -> list[int]:
    return [event["id"] for event in page["items"]]


def test_the_newest_first_and_back_in_time(client: Client, service: FakeService) -> None:
    service.session_down(ACTIVE)
    first = client.get("/v1/events?order=newest&limit=3")
    assert numbers(first) == [4, 3, 2]
    last = client.get(f"/v1/events?order=newest&limit=3&cursor={first['next_cursor']}")
    assert (numbers(last), last["next_cursor"]) == ([1], None)
    assert numbers(client.get("/v1/events?order=newest&after=2")) == [4, 3]


def test_events_of_some_subjects_and_severities(client: Client, service: FakeService) -> None:
    service.session_down(ACTIVE)
    assert numbers(client.get(f"/v1/events?subject={ACTIVE}&subject={CONNECTION}")) == [1, 3, 4]
    assert numbers(client.get("/v1/events?subject=nobody")) == []
    bad = {event.id for event in service.log if event.severity != "info"}
    assert bad
    assert set(numbers(client.get("/v1/events?severity=warning&severity=error"))) == bad
    wrong = client("GET", "/v1/events?severity=bad")
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "#/severity/0")


def test_events_of_some_time(client: Client, service: FakeService) -> None:
    begin = service.log[-1].time
    service.now += 10
    service.session_down(ACTIVE)
    middle = rfc3339(begin + 5)
    assert numbers(client.get(f"/v1/events?since={middle}")) == [3, 4]
    assert numbers(client.get(f"/v1/events?until={middle}")) == [1, 2]
    at = rfc3339(service.log[-1].time)
    assert numbers(client.get(f"/v1/events?since={at}")) == [3, 4], "at that time or later"
    assert numbers(client.get(f"/v1/events?until={at}&after=0")) == [1, 2], "before that time"
    assert numbers(client.get("/v1/events?since=2025-10-09T10:53:30%2B02:00")) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("since=1760000000", "#/since"),
        ("since=2025-10-09", "#/since"),
        ("until=2025-10-09T08:41:07", "#/until"),
        ("until=2025-13-09T08:41:07Z", "#/until"),
        ("since=2025-10-09T08:41:07Z&until=2025-10-09T08:41:07Z", "#"),
        ("order=latest", "#/order"),
    ],
)
def test_times_and_orders_that_are_none(client: Client, query: str, pointer: str) -> None:
    response = client("GET", f"/v1/events?{query}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == pointer


class Stream:
    """The messages of an open event stream; comments are counted."""

    def __init__(self, response: httpx.Response, contract: Contract) -> None:
        self.response = response
        self.comments = 0
        self._contract = contract
        self._lines = response.iter_lines()

    def next(self) -> tuple[int, Json]:
        """The next event: its id on the wire, and its data."""
        number: int | None = None
        for line in self._lines:
            if line.startswith(":"):
                self.comments += 1
            elif line.startswith("id: "):
                number = int(line[4:])
            elif line.startswith("data: "):
                assert number is not None
                event = json.loads(line[6:])
                self._contract.valid(event, {"$ref": "#/components/schemas/Event"}, "event")
                return number, event
        raise EOFError

    def ended(self) -> bool:
        """Reads to the end of the stream; False if events come instead."""
        try:
            self.next()
        except EOFError:
            return True
        return False


@contextmanager
def stream(api: RunningApi, contract: Contract, query: str = "", **headers: str) -> Iterator[Stream]:
    with (
        httpx.Client(timeout=10) as client,
        client.stream("GET", f"{api.url}/v1/events/stream{query}", headers=headers) as response,
    ):
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Stream(response, contract)


def test_the_stream_begins_now_and_shows_what_happens(running: RunningApi, contract: Contract) -> None:
    with stream(running, contract) as events:
        until(lambda: running.service.subscribers == 1, "subscription")
        running.call(lambda service: service.session_down(ACTIVE))
        assert [events.next()[1]["kind"] for _ in range(2)] == ["session.down", "connection.switchover"]


def test_the_stream_resumes_behind_the_last_event_seen(running: RunningApi, contract: Contract) -> None:
    running.call(lambda service: service.session_down(ACTIVE))
    with stream(running, contract, "?after=0", **{"Last-Event-ID": "2"}) as events:
        assert [events.next()[0] for _ in range(2)] == [3, 4]
    with stream(running, contract, "?after=1&kind=connection.switchover") as events:
        assert events.next()[0] == 4
    with stream(running, contract, f"?after=0&severity=warning&subject={ACTIVE}") as events:
        assert events.next()[0] == 3


def test_an_idle_stream_sends_comments(running: RunningApi, contract: Contract) -> None:
    with stream(running, contract) as events:
        until(lambda: running.service.subscribers == 1, "subscription")
        lines = events.response.iter_lines()
        assert next(line for line in lines if line.startswith(":")) == ": keep-alive"


def test_a_stream_of_which_nothing_is_wanted_sends_comments_too() -> None:
    class Busy(FakeService):
        async def subscribe(self, after: int | None) -> AsyncIterator[EventView]:
            while True:
                await asyncio.sleep(0)
                yield self.log[0]

    async def allowed() -> bool:
        return True

    async def first_comment() -> bytes:
        wanted = EventFilter(subjects=frozenset({"nobody"}))
        messages = sse.stream(Busy(), None, wanted, asyncio.Event(), 0.01, allowed)
        async with contextlib.aclosing(messages), asyncio.timeout(DEADLINE):
            assert (await anext(messages)).startswith(b"retry")
            return await anext(messages)

    assert asyncio.run(first_comment()) == sse.KEEP_ALIVE


def test_a_client_that_goes_ends_its_subscription(running: RunningApi, contract: Contract) -> None:
    with stream(running, contract):
        until(lambda: running.service.subscribers == 1, "subscription")
    until(lambda: running.service.subscribers == 0, "end of the subscription")


def test_open_streams_do_not_hold_up_the_end_of_the_server(running: RunningApi, contract: Contract) -> None:
    with stream(running, contract) as one, stream(running, contract) as two:
        until(lambda: running.service.subscribers == 2, "subscription")
        assert running.stop() < 1.5
        assert one.ended()
        assert two.ended()


HUGE = "99999999999999999999"


@pytest.mark.parametrize(
    ("target", "parameter"),
    [("events", "after"), ("events", "cursor"), ("events/stream", "after")],
)
@pytest.mark.parametrize("number", [HUGE, str(2**63)])
def test_an_id_that_none_can_be_is_refused(client: Client, target: str, parameter: str, number: str) -> None:
    response = client("GET", f"/v1/{target}?{parameter}={number}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == f"#/{parameter}"


def test_the_largest_id_finds_nothing() -> None:
    journal = Journal()
    journal.add(0.0, "session.up", "info", ACTIVE, "up")
    for after in (2**63 - 1, int(HUGE)):
        assert journal.entries(after, 10) == ()
        assert journal.latest(None, 10, after=after) == ()


@pytest.mark.parametrize("number", ["x", "-1", HUGE])
def test_a_last_event_id_that_is_none(client: Client, number: str) -> None:
    response = client("GET", "/v1/events/stream", headers={"Last-Event-ID": number})
    assert response.status_code == 422
    assert response.json()["errors"][0]["in"] == "header"
    assert response.json()["errors"][0]["pointer"] == "#/Last-Event-ID"
