"""The options of `bgpsvc serve`, apart from both the command line and what they are for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bgpsvc.control import Scope

if TYPE_CHECKING:  # a watchdog needs the options, and nothing of what they are for
    from bgpsvc.ipsec.choose import Wish


@dataclass(frozen=True, slots=True)
class MrtOptions:
    """A recording of what sessions say: where, seconds of a file, how many files and bytes are kept."""

    directory: Path
    interval: float
    keep: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Options:
    """As they were given; each is described where the command line names it."""

    config: Path | None
    state_dir: Path
    database: str | None
    listen: str
    tls_cert: Path | None
    tls_key: Path | None
    anonymous: Scope | None
    rate_limit: int
    netns: str | None
    ipsec: Wish
    charon_socket: Path
    peer_config_dir: Path | None
    keep_speakers: bool
    log_requests: bool
    otlp_endpoint: str | None
    mrt: MrtOptions | None
    bmp: tuple[str, ...]
    bmp_ribs: str
    bmp_statistics: float
