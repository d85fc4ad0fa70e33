"""What the daemon itself needs: its parts, its directory, its configuration; and how it does if it runs."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from bgpsvc.configfile import load_file
from bgpsvc.doctor.report import Finding
from bgpsvc.resources import ConfigError

EXABGP = "5.0.15"
"""The version whose inner workings the speakers' launcher relies on; so does the list of dependencies."""
DISK = 256 << 20
"""Bytes: database, audit log and the files of speakers and charons stay far below."""


def look(state_dir: Path, config: Path | None) -> Iterator[Finding]:
    """Its parts and its files."""
    yield exabgp(importlib.metadata.version("exabgp"))
    yield from directory(state_dir)
    if config is not None:
        yield configuration(config)


def exabgp(version: str) -> Finding:
    """Judge the version of ExaBGP."""
    if version != EXABGP:
        return Finding(
            "daemon",
            "exabgp",
            "failed",
            f"ExaBGP {version} is installed, and {EXABGP} is needed",
            f"pip install exabgp=={EXABGP}",
        )
    return Finding("daemon", "exabgp", "ok", f"ExaBGP {version}")


def directory(path: Path) -> Iterator[Finding]:
    """Judge the state directory, or the place where it would be made."""
    existing = next(parent for parent in (path, *path.parents) if parent.exists())
    if not existing.is_dir():
        yield Finding(
            "daemon", "state_dir", "failed", f"{existing} is no directory", "Give another --state-dir."
        )
        return
    if not os.access(existing, os.W_OK | os.X_OK):
        yield Finding(
            "daemon",
            "state_dir",
            "failed",
            f"{existing} cannot be written by this user",
            "Run it as the user of the daemon, or give another --state-dir.",
        )
        return
    free = shutil.disk_usage(existing).free
    if free < DISK:
        yield Finding(
            "daemon",
            "disk",
            "warning",
            f"only {free >> 20} MiB are free at {existing}",
            "When the disk is full, changes are refused; forwarding goes on.",
        )
    if existing != path:
        yield Finding("daemon", "state_dir", "ok", f"{path} will be made at the first start")
    elif stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield Finding(
            "daemon",
            "state_dir",
            "warning",
            f"{path} may be entered by others (mode {stat.S_IMODE(path.stat().st_mode):04o})",
            f"chmod 0700 {path}: keys are kept there.",
        )
    else:
        yield Finding("daemon", "state_dir", "ok", f"{path} is private, {free >> 20} MiB are free")


def configuration(path: Path) -> Finding:
    """Judge a configuration file."""
    try:
        loaded = load_file(path)
    except OSError as error:
        return Finding("daemon", "config", "failed", f"{path} cannot be read: {error.strerror or error}")
    except ConfigError as error:
        return Finding("daemon", "config", "failed", f"{path} is not valid", str(error))
    connections = len(loaded.intent.vpn_connections)
    return Finding("daemon", "config", "ok", f"{path} is valid: VPN connections {connections}")
