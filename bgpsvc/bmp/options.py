"""Which stations are told what: the options of `bgpsvc serve`, as text and as values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bgpsvc.bmp.wire import Rib
from bgpsvc.model import parse_address

DEFAULT_RIBS = (Rib.PRE_POLICY, Rib.LOC_RIB)
MOST_STATIONS = 8


@dataclass(frozen=True, slots=True)
class BmpOptions:
    """Stations as host and port, what they are told, and seconds between statistics (0: none)."""

    stations: tuple[tuple[str, int], ...] = ()
    ribs: frozenset[Rib] = frozenset(DEFAULT_RIBS)
    statistics: float = 60.0


def name_of(host: str, port: int) -> str:
    """`192.0.2.9:1790` or `[2001:db8::9]:1790`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_station(text: str) -> tuple[str, int]:
    """ADDRESS:PORT, [ADDRESS]:PORT or NAME:PORT to host and port; ValueError says what is wrong."""
    host, colon, port = text.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not colon or not host or not (port.isascii() and port.isdigit()) or not 1 <= int(port) <= 65535:
        raise ValueError(f"{text!r} is not ADDRESS:PORT or [ADDRESS]:PORT with a port from 1 to 65535")
    if bracketed or ":" in host:
        if not bracketed or len(parse_address(host)) != 16:
            raise ValueError(f"{text!r}: an IPv6 address, and nothing else, stands in brackets")
    elif not all(part.isalnum() and part.isascii() for part in host.replace("-", "x").split(".")):
        raise ValueError(f"{text!r}: {host!r} is neither an address nor a name")
    return host, int(port)


def parse_ribs(text: str) -> frozenset[Rib]:
    """Names of RIBs with commas between them; ValueError says which there are."""
    names = [name.strip() for name in text.split(",")]
    known = [rib.value for rib in Rib]
    wrong = [name for name in names if name not in known]
    if wrong:
        raise ValueError(f"{', '.join(map(repr, wrong))}: a RIB is one of {', '.join(known)}")
    return frozenset(Rib(name) for name in names)


def bmp_options(stations: Iterable[str], ribs: str, statistics: float) -> BmpOptions:
    """The options, checked; ValueError says what is wrong. A station that is named twice counts once."""
    found: Sequence[tuple[str, int]] = list(dict.fromkeys(map(parse_station, stations)))
    if len(found) > MOST_STATIONS:
        raise ValueError(f"{len(found)} stations are too many, {MOST_STATIONS} are allowed")
    return BmpOptions(tuple(found), parse_ribs(ribs), statistics)
