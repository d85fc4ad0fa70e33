"""The package as a later version of itself: the same files under another version, without building anything.

A .deb is an `ar` archive of three members (deb(5)); the second has the control file.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

_MAGIC = b"!<arch>\n"
_HEADER = 60


def as_version(deb: Path, version: str, folder: Path) -> Path:
    """Writes the package with that version into a folder; returns its path."""
    found = folder / re.sub(r"_[^_]*_", f"_{version}_", deb.name)
    parts = [
        ("control.tar", _control(data, version)) if name.startswith("control.tar") else (name, data)
        for name, data in _members(deb.read_bytes())
    ]
    found.write_bytes(_MAGIC + b"".join(_member(name, data) for name, data in parts))
    return found


def _members(archive: bytes) -> Iterator[tuple[str, bytes]]:
    place = len(_MAGIC)
    while place < len(archive):
        header = archive[place : place + _HEADER]
        size = int(header[48:58])
        place += _HEADER
        yield header[:16].decode().strip().rstrip("/"), archive[place : place + size]
        place += size + size % 2


def _member(name: str, data: bytes) -> bytes:
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
    return header + data + b"\n" * (len(data) % 2)


def _control(data: bytes, version: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as before, tarfile.open(fileobj=out, mode="w") as after:
        for entry in before:
            file = before.extractfile(entry)
            content = b"" if file is None else file.read()
            if entry.name.rpartition("/")[2] == "control":
                content = re.sub(rb"(?m)^Version: .*$", f"Version: {version}".encode(), content)
                entry.size = len(content)
            after.addfile(entry, None if file is None else io.BytesIO(content))
    return out.getvalue()
