"""What tunnels carried lately, over REST."""

from __future__ import annotations

import pytest

from bgpsvc.measuring.rates import Counters
from bgpsvc.measuring.recorder import Reading
from bgpsvc.model import SessionId
from bgpsvc.views import PrefixCounts
from tests.fakes.service import ACTIVE, STANDBY, FakeService
from tests.unit.api.conftest import Client


@pytest.fixture
def measured(service: FakeService) -> FakeService:
    """100 bytes per second for the last quarter of a minute, less five seconds."""
    for seconds, total in ((-10, 0), (-5, 500), (0, 1000)):
        at = service.now + seconds
        counters = Counters(total, 2 * total, total // 100, total // 100)
        counts = PrefixCounts(received=4, accepted=3, rejected=1, advertised=1)
        service.recorder.take(at, Reading(SessionId(ACTIVE), 7, counters, 10.0 + seconds, True, counts))
        service.recorder.finish(at, {SessionId(ACTIVE), SessionId(STANDBY)})
    return service


def test_a_quarter_of_an_hour(client: Client, measured: FakeService) -> None:
    history = client.get(f"/v1/tunnels/{ACTIVE}/history?window=15m")
    columns = {name: values for name, values in history.items() if isinstance(values, list)}
    assert {len(values) for values in columns.values()} == {180}
    assert {name: values[-3:] for name, values in columns.items()} == {
        "bytes_in": [None, 100.0, 100.0],
        "bytes_out": [None, 200.0, 200.0],
        "packets_in": [None, 1.0, 1.0],
        "packets_out": [None, 1.0, 1.0],
        "carrying": [None, 1.0, 1.0],
        "session_up": [None, 1.0, 1.0],
        "prefixes_received": [None, 4, 4],
        "prefixes_accepted": [None, 3, 3],
        "prefixes_advertised": [None, 1, 1],
    }
    assert (history["tunnel"], history["window"], history["interval"]) == (ACTIVE, "15m", 5)
    assert history["start"] == "2025-10-09T09:38:20.000Z"


@pytest.mark.parametrize(("query", "interval", "count"), [("", 20, 180), ("?window=24h", 300, 288)])
def test_longer_windows_have_longer_intervals(
    client: Client, measured: FakeService, query: str, interval: int, count: int
) -> None:
    history = client.get(f"/v1/tunnels/{ACTIVE}/history{query}")
    assert (history["interval"], len(history["bytes_in"])) == (interval, count)
    assert history["bytes_in"][-1] == 100.0


def test_a_tunnel_that_was_not_measured_yet(client: Client, measured: FakeService) -> None:
    history = client.get(f"/v1/tunnels/{STANDBY}/history")
    assert set(history["bytes_in"]) == set(history["carrying"]) == {None}


def test_what_there_is_no_history_of(client: Client) -> None:
    assert client("GET", "/v1/tunnels/nowhere/history").status_code == 404
    wrong = client("GET", f"/v1/tunnels/{ACTIVE}/history?window=2h")
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "#/window")
