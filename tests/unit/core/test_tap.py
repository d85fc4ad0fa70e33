"""The tap: what observers hear, and that they harm nobody."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bgpsvc.events import (
    Announced,
    Event,
    OpenMessages,
    SessionDown,
    SessionResync,
    SessionUp,
    SpeakerDown,
)
from bgpsvc.model import Prefix, Role, SessionId
from bgpsvc.tap import REMOVED, SessionEvent, Tap
from tests.unit.support import T1, T2, engine, intent, negotiated, path, prefixes, up

OPENS = OpenMessages(b"sent", b"received", 1, 2)
SOME = prefixes("192.168.0.0/16")


class Heard:
    """An observer of both kinds that keeps what it hears."""

    def __init__(self) -> None:
        self.events: list[SessionEvent] = []
        self.routes: list[tuple[str, SessionId | None, tuple[Prefix, ...]]] = []
        self.moved: list[str] = []
        self.drops = 0

    def heard(self, events: Sequence[SessionEvent], at: float) -> None:
        self.events += events

    def routes_changed(self, gateway: str, session: SessionId | None, prefixes: tuple[Prefix, ...]) -> None:
        self.routes.append((gateway, session, prefixes))

    def forwarding_changed(self, gateway: str) -> None:
        self.moved.append(gateway)

    def advertisements_changed(self, session: SessionId) -> None:
        pass

    def dropped(self) -> None:
        self.drops += 1


def test_a_session_that_is_up_is_told_of_first_with_its_opens() -> None:
    made = engine()
    tap, heard = Tap(made), Heard()
    made.handle(SessionUp(T1, negotiated(), OPENS), 1.0)
    tap.watch_sessions(heard, 1.0)
    assert heard.events == [SessionResync(T1, negotiated(), OPENS)]


def test_every_up_has_one_down() -> None:
    made = engine()
    tap, heard = Tap(made), Heard()
    tap.watch_sessions(heard, 1.0)
    ups = [SessionUp(T1, negotiated()), SessionUp(T2, negotiated())]
    attempt = SessionDown(T1, "no connection: refused")
    batches: list[list[Event]] = [[attempt, *ups], [SpeakerDown(Role.ACTIVE, "crashed")], [attempt]]
    for batch in batches:
        for event in batch:
            made.handle(event, 1.0)
        tap.heard(batch, 1.0)
    empty = intent().model_copy(update={"vpn_connections": ()})
    tap.reconfigured(made.reconfigure(empty, 2.0), 2.0)
    assert heard.events == [
        *ups,
        SessionDown(T1, "speaker ended: crashed"),
        SessionDown(T2, REMOVED),
    ]


def test_whoever_watches_routes_hears_of_every_cause() -> None:
    made = engine()
    tap, heard = Tap(made), Heard()
    tap.watch_routes(heard)
    up(made, T1, 1.0, "192.168.0.0/16")
    up(made, T2, 1.0, "192.168.0.0/16")
    assert {(session, prefixes) for _, session, prefixes in heard.routes} == {(T1, SOME), (T2, SOME)}
    heard.moved.clear()
    made.handle(SessionDown(T1, "test"), 2.0)
    assert heard.moved == ["gw1"], "the prefix leads over the other tunnel"
    tap.forget(heard)
    heard.routes.clear()
    made.handle(Announced(T2, path(T2, 65500, 1), SOME), 3.0)
    assert heard.routes == []


def test_an_observer_that_raises_is_dropped_alone(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Heard):
        def heard(self, events: Sequence[SessionEvent], at: float) -> None:
            raise KeyError("broken")

        def routes_changed(self, *_: object) -> None:
            raise KeyError("broken")

        def dropped(self) -> None:
            super().dropped()
            raise KeyError("broken here too")

    made = engine()
    tap, heard, broken = Tap(made), Heard(), Broken()
    for one in (broken, heard):
        tap.watch_sessions(one, 1.0)
        tap.watch_routes(one)
    event = SessionUp(T1, negotiated())
    made.handle(event, 1.0)
    tap.heard([event], 1.0)
    made.handle(Announced(T1, path(T1), SOME), 1.0)
    assert (heard.events, heard.routes) == ([event], [("gw1", T1, SOME)])
    assert caplog.text.count("an observer failed and hears no more") == 1
    assert (broken.drops, heard.drops) == (1, 0)
