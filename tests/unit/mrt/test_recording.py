"""A recording beside everything else: intervals, disks that refuse, hang and come back, stops."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bgpsvc.effects import Log
from bgpsvc.events import (
    Announced,
    EndOfRib,
    MessagesLost,
    Notification,
    OpenMessages,
    SessionDown,
    SessionResync,
    SessionUp,
    Withdrawn,
)
from bgpsvc.model import Attributes, Family, SessionId
from bgpsvc.mrt import recording
from bgpsvc.mrt.codec import Ends
from bgpsvc.mrt.files import Bounds, Directory
from bgpsvc.mrt.recording import Recording
from bgpsvc.tap import Tap
from tests.fakes import bgp_wire as wire
from tests.mrt_files import bgpdump, first, records, replayed
from tests.unit.support import T1, T2, engine, negotiated, path, prefixes

START = 1_767_322_800.0
"""A multiple of 15 minutes."""
ONE, TWO = "169.254.10.2", "169.254.20.2"
ENDS = {
    T1: Ends(65500, 65530, bytes((169, 254, 10, 2)), bytes((169, 254, 10, 1))),
    T2: Ends(65500, 65530, bytes((169, 254, 20, 2)), bytes((169, 254, 20, 1))),
}


class Disk(Directory):
    """A directory whose disk can be told to refuse, and to hang."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, Bounds(100, 1 << 30))
        self.refuses = False
        self.answers = threading.Event()
        self.answers.set()

    def write(self, data: bytes, now: float) -> None:
        assert self.answers.wait(60)
        if self.refuses:
            raise OSError(28, "No space left on device")
        super().write(data, now)


@dataclass
class Bench:
    """A recording with a clock of its own and what it told."""

    path: Path
    now: float = START + 1.0
    told: list[Log] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.disk = Disk(self.path)
        self.disk.open()
        self.recording = Recording(self.disk, 900, ENDS.get, self.told.append, lambda: self.now)
        self.recording.start()

    def hear(self, *events: Any) -> None:
        self.recording.heard(events, self.now)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110  another thread changes what is waited for
                await asyncio.sleep(0.001)

    async def written(self) -> None:
        """All that was heard is with the disk."""
        figures = self.recording.figures
        await self.until(lambda: not figures.waiting_prefixes and figures.written_bytes > 0)

    @property
    def files(self) -> list[Path]:
        return sorted(self.path.iterdir())

    @property
    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.told]


def on_bench(path: Path, work: Callable[[Bench], Coroutine[Any, Any, None]], *ended: SessionId) -> Bench:
    """Runs the work on a bench, and stops the recording."""

    async def run() -> Bench:
        bench = Bench(path)
        await work(bench)
        await bench.recording.stop(ended)
        return bench

    return asyncio.run(run())


def up(session: SessionId) -> SessionUp:
    sent, received = (wire.open_message(65500, 90, f"192.0.2.{n}") for n in (1, 2))
    return SessionUp(session, negotiated(), OpenMessages(sent, received, 179, 40000))


def announced(session: SessionId, *texts: str, **more: Any) -> Announced:
    return Announced(session, path(session, **more), prefixes(*texts))


def test_what_sessions_say_is_read_back(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        bench.hear(up(T1), announced(T1, "20.1.0.0/16", "20.2.0.0/16"), up(T2))
        bench.hear(announced(T2, "20.1.0.0/16"), EndOfRib(T1, Family.IPV4), EndOfRib(T1, Family.IPV6))
        bench.hear(Withdrawn(T1, prefixes("20.2.0.0/16", "2001:db9::/32")))
        bench.hear(SessionDown(T2, "notification", Notification(False, 6, 2, "", wire.notification(6, 2))))

    bench = on_bench(tmp_path, work)
    (file,) = bench.files
    routes, states = replayed([file])
    assert {key: found.as_path for key, found in routes.items()} == {(ONE, "20.1.0.0/16"): "65500"}
    assert states == [
        (ONE, "OpenConfirm", "Established"),
        (TWO, "OpenConfirm", "Established"),
        (TWO, "Established", "Idle"),
    ]
    kinds = [first(r["bgp_message"]["type"]) for r in records(file) if "bgp_message" in r]
    assert kinds == ["OPEN", *["UPDATE"] * 1, "OPEN", *["UPDATE"] * 5, "NOTIFICATION"]
    assert "BGP4MP_ET|1767322801.000000|W|169.254.10.2|65500|20.2.0.0/16" in bgpdump(file, "-m")
    assert bench.told == []


def test_files_end_at_multiples_of_the_interval(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        bench.hear(up(T1))
        await bench.written()
        assert [file.suffix for file in bench.files] == [".part"]
        bench.now = START + 901
        bench.hear(announced(T1, "20.1.0.0/16"))
        await bench.until(lambda: len(bench.files) == 2)

    bench = on_bench(tmp_path, work)
    assert [file.name for file in bench.files] == [
        "updates-20260102T030001Z.mrt",
        "updates-20260102T031501Z.mrt",
    ]
    assert len(replayed(bench.files)[0]) == 1


def test_a_file_is_finished_in_time_although_nothing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(bench: Bench) -> None:
        bench.now = START + 899.99
        bench.hear(up(T1))
        await bench.written()
        bench.now = START + 900.0
        await bench.until(lambda: [file.suffix for file in bench.files] == [".mrt"])

    on_bench(tmp_path, work)


def test_a_clock_that_is_set_back_begins_another_file(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        bench.hear(up(T1))
        await bench.written()
        bench.now -= 86400.0
        bench.hear(announced(T1, "20.1.0.0/16"))
        await bench.until(lambda: len(bench.files) == 2)

    on_bench(tmp_path, work)


def test_sessions_that_were_up_already_or_lost_messages_begin_anew(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        bench.hear(SessionResync(T1, negotiated()), announced(T1, "20.1.0.0/16"))
        bench.hear(SessionResync(T1, negotiated()), announced(T1, "20.2.0.0/16"))
        bench.hear(MessagesLost(T1, 3), announced(T1, "20.3.0.0/16"))

    routes, states = replayed(on_bench(tmp_path, work).files)
    assert [*routes] == [(ONE, "20.3.0.0/16")]
    anew = [(ONE, "Established", "Idle"), (ONE, "Idle", "Established")]
    assert states == [(ONE, "Idle", "Established"), *anew, *anew]


def test_sessions_that_end_with_the_daemon_are_told_of_others_go_on(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        bench.hear(up(T1), up(T2))

    states = replayed(on_bench(tmp_path, work, T1, SessionId("unknown")).files)[1]
    assert states[2:] == [(ONE, "Established", "Idle")]


def test_attributes_of_two_octets_a_number_that_fit_no_message_with_four_are_recorded(tmp_path: Path) -> None:
    numbers = tuple(range(1, 1500))

    async def work(bench: Bench) -> None:
        bench.hear(up(T1), Announced(T1, path(T1, *numbers), prefixes("20.1.0.0/16")))

    ((key, found),) = replayed(on_bench(tmp_path, work).files)[0].items()
    assert (key, found.as_path) == ((ONE, "20.1.0.0/16"), " ".join(map(str, numbers)))


def test_a_disk_that_refuses_is_told_of_and_tried_again_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "RETRY", 0.01)

    async def work(bench: Bench) -> None:
        bench.disk.refuses = True
        bench.hear(up(T1), announced(T1, "20.1.0.0/16"))
        figures = bench.recording.figures
        await bench.until(lambda: figures.failures >= 3)
        assert (bench.kinds, figures.problem) == (["recording.failed"], "No space left on device")
        bench.hear(announced(T1, "20.2.0.0/16"))
        bench.disk.refuses = False
        await bench.until(lambda: bench.kinds == ["recording.failed", "recording.resumed"])
        assert figures.problem is None

    bench = on_bench(tmp_path, work)
    assert "No space left on device" in bench.told[0].message
    assert sorted(replayed(bench.files)[0]) == [(ONE, "20.1.0.0/16"), (ONE, "20.2.0.0/16")]


def test_a_disk_that_hangs_holds_nobody_up_and_costs_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "RETRY", 0.01)
    monkeypatch.setattr(recording, "LAST_SECONDS", 0.05)
    monkeypatch.setattr(recording, "MOST_WAITING", 100)

    async def work(bench: Bench) -> None:
        bench.disk.answers.clear()
        bench.hear(up(T1))
        figures = bench.recording.figures
        await bench.until(lambda: figures.problem == "the disk does not answer")
        for number in range(100):
            bench.hear(announced(T1, f"20.{number}.0.0/16", f"21.{number}.0.0/16"))
        assert figures.waiting_prefixes <= 100
        assert figures.lost_events == 67
        bench.hear(SessionDown(T1, "lost"))
        assert bench.kinds == ["recording.failed"] * 2
        bench.disk.answers.set()
        await bench.until(lambda: any("67 were left out" in entry.message for entry in bench.told))
        monkeypatch.setattr(recording, "LAST_SECONDS", 30.0)

    bench = on_bench(tmp_path, work)
    assert replayed(bench.files)[1][-1] == (ONE, "Established", "Idle"), (
        "comings and goings are never left out"
    )


def test_a_stop_does_not_wait_for_a_disk_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "LAST_SECONDS", 0.05)

    async def run() -> None:
        bench = Bench(tmp_path)
        bench.disk.answers.clear()
        bench.hear(up(T1))
        await bench.recording.stop([])
        bench.disk.answers.set()

    asyncio.run(run())


def test_a_mistake_of_ours_ends_the_recording_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def work(bench: Bench) -> None:
        bench.hear(up(T1), Announced(T1, Attributes(b"\0" * 5, med=-1), prefixes("20.1.0.0/16")))
        await bench.until(lambda: "the recording has ended" in caplog.text)
        bench.hear(up(T2))
        assert bench.recording.figures.waiting_prefixes < 4, "nothing is kept for nobody"
        assert "mistake" in (bench.recording.figures.problem or "")

    assert on_bench(tmp_path, work).kinds == ["recording.failed"]


def test_a_recording_that_the_tap_drops_says_so_and_writes_what_it_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake in noting down. The disk, which refuses at first, goes on to take what was heard before; that
    it does, and that less waits now, is no sign that all is well."""
    monkeypatch.setattr(recording, "RETRY", 0.01)
    monkeypatch.setattr(recording, "MOST_WAITING", 4)
    tap = Tap(engine())

    async def work(bench: Bench) -> None:
        figures = bench.recording.figures
        tap.watch_sessions(bench.recording, bench.now)
        bench.disk.refuses = True
        tap.heard([up(T1), announced(T1, "20.1.0.0/16"), announced(T1, "20.2.0.0/16")], bench.now)
        assert figures.lost_events == 1
        tap.heard([Announced(T1, path(T1), None)], bench.now)  # type: ignore[arg-type]  # the mistake
        failures = figures.failures
        await bench.until(lambda: figures.failures > failures + 2)
        assert "mistake" in (figures.problem or "")
        bench.disk.refuses = False
        await bench.until(lambda: figures.written_bytes > 0)
        assert figures.waiting_prefixes == 0

    bench = on_bench(tmp_path, work)
    assert bench.kinds == ["recording.failed"] * 2, "the first is of what was left out"
    assert "mistake" in (bench.recording.figures.problem or "")
    (file,) = bench.files
    assert list(replayed([file])[0]) == [(ONE, "20.1.0.0/16")]
