"""The directory of a recording: names, bounds, what a crash leaves, who may have it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bgpsvc.model import SessionState
from bgpsvc.mrt.codec import Ends, state_change_as4
from bgpsvc.mrt.files import Bounds, CannotRecord, Directory
from tests.mrt_files import bgpdump, records

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
RECORD = state_change_as4(
    NOW,
    Ends(65500, 65530, bytes((169, 254, 10, 2)), bytes((169, 254, 10, 1))),
    SessionState.OPENCONFIRM,
    SessionState.ESTABLISHED,
)
NAME = "updates-20260102T030405Z.mrt"


def opened(path: Path, files: int = 10, size: int = 1 << 20) -> Directory:
    directory = Directory(path, Bounds(files, size))
    directory.open()
    return directory


def names(path: Path) -> list[str]:
    return sorted(file.name for file in path.iterdir())


def test_a_file_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    directory = opened(tmp_path / "mrt")
    assert (tmp_path / "mrt").stat().st_mode & 0o777 == 0o750
    directory.write(RECORD, NOW)
    directory.write(RECORD, NOW + 60)
    assert names(tmp_path / "mrt") == [NAME + ".part"]
    directory.finish()
    assert names(tmp_path / "mrt") == [NAME]
    assert (tmp_path / "mrt" / NAME).stat().st_mode & 0o777 == 0o640
    directory.write(RECORD, NOW + 0.5)  # a second file within the second
    directory.close()
    assert names(tmp_path / "mrt") == [NAME, "updates-20260102T030406Z.mrt"]


def test_the_records_are_read_back_with_their_microseconds(tmp_path: Path) -> None:
    directory = opened(tmp_path)
    directory.write(RECORD.replace(RECORD[12:16], (250_000).to_bytes(4, "big")), NOW)
    directory.close()
    (found,) = records(tmp_path / NAME)
    assert (found["peer_as"], found["local_as"], found["peer_ip"], found["local_ip"]) == (
        "65500",
        "65530",
        "169.254.10.2",
        "169.254.10.1",
    )
    assert found["microsecond_timestamp"] == 250_000
    assert (found["old_state"], found["new_state"]) == ({5: "OpenConfirm"}, {6: "Established"})
    assert bgpdump(tmp_path / NAME, "-m") == ["BGP4MP_ET|1767323045.250000|STATE|169.254.10.2|65500|5|6"]


@pytest.mark.parametrize(
    ("left", "kept"),
    [
        (RECORD * 3, 3),
        (RECORD * 3 + RECORD[:20], 3),
        (RECORD + RECORD[:5], 1),
        (RECORD * 2 + bytes(4096), 2),  # a loss of power can leave zeros
        (RECORD[:-1], 0),
        (b"", 0),
    ],
    ids=["whole", "cut", "cut head", "zeros", "first one cut", "empty"],
)
def test_of_what_a_crash_left_the_whole_records_are_kept(tmp_path: Path, left: bytes, kept: int) -> None:
    (tmp_path / (NAME + ".part")).write_bytes(left)
    (tmp_path / "rib.mrt.part").write_bytes(b"somebody else's")
    opened(tmp_path).close()
    assert names(tmp_path) == sorted(["rib.mrt.part", *([NAME] if kept else [])])
    if kept:
        assert (tmp_path / NAME).read_bytes() == RECORD * kept


def test_the_oldest_files_go_and_nothing_else_does(tmp_path: Path) -> None:
    (tmp_path / "rib.mrt").write_bytes(b"somebody else's")
    directory = opened(tmp_path, files=3)
    for number in range(5):
        directory.write(RECORD, NOW + number)
        directory.finish()
    assert names(tmp_path) == ["rib.mrt", *(f"updates-20260102T03040{7 + n}Z.mrt" for n in range(3))]
    directory.close()
    opened(tmp_path, files=1).close()
    assert names(tmp_path) == ["rib.mrt", "updates-20260102T030409Z.mrt"], "a smaller bound, at the start"


def test_all_files_together_stay_within_their_bytes(tmp_path: Path) -> None:
    most = 40 * len(RECORD)
    directory = opened(tmp_path, files=1000, size=most)
    largest = 0
    for number in range(200):
        directory.write(RECORD, NOW + number)
        if directory.full:
            directory.finish()
        largest = max(largest, sum(file.stat().st_size for file in tmp_path.iterdir()))
    directory.close()
    assert most // 2 < largest <= most
    # The last records are there, without a gap.
    assert len(b"".join((tmp_path / name).read_bytes() for name in names(tmp_path))) % len(RECORD) == 0


def test_a_disk_that_is_full_loses_no_record_that_it_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = opened(tmp_path)
    directory.write(RECORD, NOW)
    write = os.write

    def one_and_a_half(file: int, data: bytes) -> int:
        if len(data) < 2 * len(RECORD):
            raise OSError(28, "No space left on device")
        return write(file, data[: len(RECORD) * 3 // 2])

    with monkeypatch.context() as full:
        full.setattr(os, "write", one_and_a_half)
        with pytest.raises(OSError, match="No space"):
            directory.write(RECORD * 2, NOW)
    assert names(tmp_path) == [NAME]
    directory.write(RECORD * 2, NOW)  # all of it is tried again: none of it may be there already
    directory.close()
    assert [(tmp_path / name).read_bytes() for name in names(tmp_path)] == [RECORD, RECORD * 2]


def test_what_could_not_be_finished_is_finished_with_the_next_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = opened(tmp_path)
    directory.write(RECORD, NOW)
    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", refuse)
        with pytest.raises(OSError, match="broken"):
            directory.finish()
    directory.write(RECORD, NOW + 9)
    directory.close()
    assert names(tmp_path) == [NAME, "updates-20260102T030414Z.mrt"]


def test_a_directory_that_is_removed_is_noticed_at_once_and_used_when_it_is_back(tmp_path: Path) -> None:
    directory = opened(tmp_path / "mrt")
    directory.write(RECORD, NOW)
    shutil.rmtree(tmp_path / "mrt")
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            directory.write(RECORD, NOW)
    (tmp_path / "mrt").mkdir()
    directory.write(RECORD, NOW)
    directory.close()
    assert names(tmp_path / "mrt") == [NAME]


def refuse(*_: object) -> None:
    raise OSError(5, "broken")


def test_one_recording_at_a_time_has_the_directory(tmp_path: Path) -> None:
    first = opened(tmp_path)
    with pytest.raises(CannotRecord, match="another daemon records there"):
        opened(tmp_path)
    first.close()
    opened(tmp_path).close()


def test_a_directory_that_is_not_for_us_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(CannotRecord, match="is no directory"):
        opened(file)
    with pytest.raises(CannotRecord, match="cannot be used: No such file or directory"):
        opened(tmp_path / "missing" / "mrt")
    for_all = tmp_path / "all"
    for_all.mkdir()
    for_all.chmod(0o777)
    with pytest.raises(CannotRecord, match=r"writable by every user \(mode 0777\): chmod o-w"):
        opened(for_all)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    os.chown(foreign, 12345, -1)
    with pytest.raises(CannotRecord, match=f"belongs to user 12345; it must belong to {os.geteuid()}"):
        opened(foreign)


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    directory = opened(tmp_path / "mrt")
    (tmp_path / "mrt" / (NAME + ".part")).symlink_to(elsewhere)
    with pytest.raises(FileNotFoundError):
        directory.write(RECORD, NOW)
    assert not elsewhere.exists()


def test_the_independent_reader_leaves_the_tests_alone() -> None:
    """mrtparse, imported, has a broken pipe end the process: a worker of the tests, between two of them."""
    assert "mrtparse" in sys.modules
    assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN
