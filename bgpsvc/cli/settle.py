"""Waiting until a change has reached the kernel and the speakers, or telling what it is waiting for."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import typer

from bgpsvc.cli.client import Client, Json, Refused, path_to
from bgpsvc.cli.errors import CliError
from bgpsvc.cli.kinds import STORED, label_of

POLL_SECONDS = 0.2
TOO_OFTEN_SECONDS = 1.0
ONE_BY_ONE = 10
"""Up to as many resources are asked for one by one; more are looked for in lists, which take longer."""
SHOWN = 5
"""As many stuck resources are named."""

_PATHS = {kind.key: kind.path for kind in STORED}


def wait_until_done(client: Client, resources: Sequence[Json], timeout: float) -> None:
    """Waits until all are active, or gone if they were deleted; progress goes to standard error.

    CliError with the reasons if that takes longer than `timeout` seconds.
    """
    end = time.monotonic() + timeout
    waiting = {(r["kind"], r["name"]): r["action"] == "delete" for r in resources}
    said = ""
    while True:
        began = time.monotonic()
        try:
            stuck = list(_unfinished(client, waiting))
        except Refused as refused:
            if refused.http_status != 429 or began >= end:
                raise
            # The change is stored; being asked to wait is no reason to call it a failure.
            time.sleep(TOO_OFTEN_SECONDS)
            continue
        if not stuck:
            typer.echo(f"done: {len(resources)} resource{'' if len(resources) == 1 else 's'}", err=True)
            return
        waiting = {key: waiting[key] for key, _ in stuck}
        progress = f"waiting for {len(stuck)} of {len(resources)}: {stuck[0][1]}"
        if progress != said:
            typer.echo(progress, err=True)
            said = progress
        if time.monotonic() >= end:
            shown = "".join(f"\n  {text}" for _, text in stuck[:SHOWN])
            more = f"\n  and {len(stuck) - SHOWN} more" if len(stuck) > SHOWN else ""
            raise CliError(f"stored, but not done after {timeout:g} s; it goes on:{shown}{more}")
        time.sleep(max(POLL_SECONDS, time.monotonic() - began))


def _unfinished(
    client: Client, waiting: dict[tuple[str, str], bool]
) -> Iterator[tuple[tuple[str, str], str]]:
    """(kind, name) of those that are not done, and the state of each in words."""
    deleted = [key for key, gone in waiting.items() if gone]
    kept = [key for key, gone in waiting.items() if not gone]
    # One change takes all its deletions down together, so that some of them speak for the rest.
    found = {key: _one(client, *key) for key in deleted[:ONE_BY_ONE]}
    if len(kept) <= ONE_BY_ONE:
        found |= {key: _one(client, *key) for key in kept}
    else:
        for kind in dict.fromkeys(kind for kind, _ in kept):
            items = {item["name"]: item for item in client.items(path_to(_PATHS[kind]))}
            found |= {key: items.get(key[1]) for key in kept if key[0] == kind}
    for key, item in found.items():
        # One that somebody else deleted, or made again, meanwhile is waited for no more.
        if item is not None and item["status"] != "active":
            reason = f": {item['status_reason']}" if item["status_reason"] else ""
            yield key, f"{label_of(key[0])} {key[1]} is {item['status']}{reason}"


def _one(client: Client, kind: str, name: str) -> Json | None:
    """A resource; None if there is none."""
    try:
        return client.get(path_to(_PATHS[kind], name))
    except Refused as refused:
        if refused.http_status != 404:
            raise
        return None
