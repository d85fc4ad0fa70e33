"""The directory of a recording: files that are whole once they have their names, and a bound on them.

A file is written as `updates-20260102T030405Z.mrt.part`, the moment of its first record, and loses `.part`
when it is finished. After a crash or a loss of power the whole records of a `.part` are kept, and a record
that was not written to its end is cut off. One daemon at a time has the directory, by a lock on it. Nothing
here may be called in the event loop: disks take their time.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bgpsvc.mrt.codec import BGP4MP_ET

PART = ".part"
NAMED = re.compile(r"updates-\d{8}T\d{6}Z\.mrt")
DIRECTORY_MODE, FILE_MODE = 0o750, 0o640
_HEADER = struct.Struct("!IHHI")


class CannotRecord(Exception):
    """The directory cannot be used; the text says why and what helps."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept: finished files, and bytes of all files, the one that is written included."""

    files: int
    bytes: int

    @property
    def one(self) -> int:
        """Bytes at which a file is finished early, so that there is something left when an old one goes."""
        return self.bytes // 4


class Directory:
    """The files of one recording. OSError from all methods if the disk does not do it."""

    def __init__(self, path: Path, bounds: Bounds) -> None:
        self.path = path
        self.bounds = bounds
        self._lock: int | None = None
        self._file: int | None = None
        self._name = ""
        self._size = 0

    def open(self) -> None:
        """Make or check the directory, lock it, finish what a crash left. CannotRecord."""
        try:
            self.path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            _check(self.path, os.fstat(self._lock))
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for part in self._parts():
                self._finish(part)
            self.prune()
        except BlockingIOError:
            raise CannotRecord(f"{self.path}: another daemon records there") from None
        except FileExistsError:
            raise CannotRecord(f"{self.path} is no directory") from None
        except OSError as error:
            raise CannotRecord(f"{self.path} cannot be used: {error.strerror or error}") from None

    def close(self) -> None:
        """Finish the file and give the directory free."""
        try:
            self.finish()
        finally:
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    @property
    def writing(self) -> bool:
        """A file is open."""
        return self._file is not None

    @property
    def full(self) -> bool:
        """The file that is open is to be finished early."""
        return self._size >= self.bounds.one

    def write(self, data: bytes, now: float) -> None:
        """Append whole records; a file is begun if none is open. After an OSError none of them is there."""
        if self._file is None:
            self._begin(now)
        assert self._file is not None, "just begun"
        try:
            if not os.fstat(self._file).st_nlink:
                # It would be taken, and gone with the file when that is over.
                raise FileNotFoundError(errno.ENOENT, "the file was removed")
            written = 0
            while written < len(data):
                written += os.write(self._file, data[written:])
            self._size += written
        except OSError:
            self._give_up()
            raise

    def finish(self) -> None:
        """Give the open file its name, if there is one; then remove what is over the bounds."""
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            os.fsync(file)
        finally:
            os.close(file)
        self._rename(self.path / (self._name + PART))
        self.prune()

    def prune(self) -> None:
        """Remove the oldest files until the bounds hold, with room for another one."""
        found = sorted(self.finished())
        sizes = {path: path.stat().st_size for path in found}
        total = sum(sizes.values())
        room = self.bounds.bytes - self.bounds.one
        while found and (len(found) > self.bounds.files or total > room):
            path = found.pop(0)
            path.unlink()
            total -= sizes[path]

    def finished(self) -> list[Path]:
        """The whole files, in no order."""
        return [path for path in self.path.iterdir() if NAMED.fullmatch(path.name)]

    def _parts(self) -> list[Path]:
        return [
            p for p in self.path.iterdir() if NAMED.fullmatch(p.name.removesuffix(PART)) and p.suffix == PART
        ]

    def _begin(self, now: float) -> None:
        for part in self._parts():
            self._finish(part)  # one that could not be finished when it was over
        for moment in _seconds(now):
            name = f"updates-{moment:%Y%m%dT%H%M%SZ}.mrt"
            if (self.path / name).exists():
                continue  # the daemon was restarted within a second
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with suppress(FileExistsError):
                self._file = os.open(self.path / (name + PART), flags, FILE_MODE)
                self._name, self._size = name, 0
                return

    def _give_up(self) -> None:
        """The disk refused: keep what it took before. Raises nothing, as the refusal is told already."""
        file, self._file = self._file, None
        assert file is not None, "it was written to"
        # Should this fail too, the next start finds the rest of a record at its end and cuts it off.
        with suppress(OSError):
            os.ftruncate(file, self._size)
        with suppress(OSError):
            os.close(file)
        with suppress(OSError):
            self._finish(self.path / (self._name + PART))

    def _finish(self, part: Path) -> None:
        whole = _whole(part)
        if not whole:
            part.unlink()
            return
        if whole < part.stat().st_size:
            os.truncate(part, whole)
        self._rename(part)

    def _rename(self, part: Path) -> None:
        os.replace(part, part.with_suffix(""))
        # The name is to outlive a loss of power as the content does.
        if self._lock is not None:
            os.fsync(self._lock)


def _check(path: Path, found: os.stat_result) -> None:
    """Whoever else may write there could have us write elsewhere, or remove what is not ours."""
    if found.st_uid != os.geteuid():
        raise CannotRecord(f"{path} belongs to user {found.st_uid}; it must belong to {os.geteuid()}")
    if found.st_mode & stat.S_IWOTH:
        raise CannotRecord(
            f"{path} is writable by every user (mode {stat.S_IMODE(found.st_mode):04o}): chmod o-w {path}"
        )
    if not os.access(path, os.W_OK | os.X_OK):
        raise OSError(errno.EACCES, "it is not writable")


def _seconds(now: float) -> Iterator[datetime]:
    """This second and those behind it."""
    second = int(now)
    while True:
        yield datetime.fromtimestamp(second, UTC)
        second += 1


def _whole(part: Path) -> int:
    """Bytes from the file's beginning that are whole records."""
    at, size = 0, part.stat().st_size
    with part.open("rb") as file:
        while at + _HEADER.size <= size:
            file.seek(at)
            _, kind, _, length = _HEADER.unpack(file.read(_HEADER.size))
            following = at + _HEADER.size + length
            # After a loss of power there may be zeros in the place of what was not written.
            if following > size or kind != BGP4MP_ET:
                break
            at = following
    return at
