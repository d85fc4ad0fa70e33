"""The place of one measurement: a device in a namespace, the far ends of its tunnels in another.

    device ── p1t1, p1t2, p2t1 … ── far

Everything in it is gone when the `with` block is left, however that happens.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tests.bench.configurations import PEER_ASN, Neighbor, Setup
from tests.bench.devices import Device
from tests.bench.feeder import Feeder
from tests.bench.monitor import RouteMonitor
from tests.bench.namespace import Namespace, wait_for
from tests.bench.networks import IPV4, Family, updates

SESSION_DEADLINE = 90


class Failed(Exception):
    """A measurement did not come to its end; the text says at what, and what the device wrote."""


def cable(near: Namespace, far: Namespace, each: Neighbor) -> None:
    """A tunnel's interface, called the same at both ends, with its addresses."""
    near.veth(each.link, far, each.link, (f"{each.local}/30", f"{each.local6}/126"))
    far.ip(f"address add {each.peer}/30 dev {each.link}")
    far.ip(f"address add {each.peer6}/126 dev {each.link} nodad")


def end_of(each: Neighbor, family: Family) -> str:
    """The far end's address in a family: the next hop of what it announces."""
    return each.peer if family is IPV4 else each.peer6


@contextmanager
def namespaces(count: int) -> Iterator[list[Namespace]]:
    """So many, gone afterwards with all that runs in them."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Namespace()) for _ in range(count)]


Kind = TypeVar("Kind", bound=Device)


@contextmanager
def device(
    kind: Callable[[Namespace, Path, Setup], Kind], namespace: Namespace, setup: Setup
) -> Iterator[Kind]:
    """The device, not yet started; stopped at the end. A deadline that it missed becomes `Failed`."""
    with tempfile.TemporaryDirectory(prefix="bgpsvc-bench-", ignore_cleanup_errors=True) as directory:
        made = kind(namespace, Path(directory), setup)
        try:
            yield made
        except (TimeoutError, AssertionError, OSError) as error:
            raise Failed(f"{made.name}: {error}\nThe end of its output:\n{made.log()}") from error
        finally:
            made.stop()


@contextmanager
def feeders(
    far: Namespace,
    sessions: tuple[Neighbor, ...],
    family: Family,
    count: int,
    per_update: int,
    *,
    hold: bool,
    again: bool = False,
) -> Iterator[list[Feeder]]:
    """A feeder at the far end of each session, all with the same networks; see `Feeder`."""
    made: list[Feeder] = []
    try:
        for each in sessions:
            table = updates(family, count, per_update, PEER_ASN, end_of(each, family))
            made.append(Feeder(far, each.peer, PEER_ASN, table, hold, again))
        yield made
    finally:
        for feeder in made:
            feeder.close()


def until_established(measured: Device, fed: list[Feeder]) -> None:
    """Until the session of every feeder is Established."""

    def established() -> bool:
        measured.check()
        return all(feeder.established_at is not None for feeder in fed)

    wait_for(established, "sessions Established", SESSION_DEADLINE, 0.001)


def check(measured: Device, fed: list[Feeder]) -> None:
    """TimeoutError if what is waited for will not come: a process has ended, or a session broke."""
    measured.check()
    for feeder in fed:
        if feeder.failure is not None:
            raise TimeoutError(f"a feeder's session broke: {feeder.failure}")


def until_sent(measured: Device, fed: list[Feeder], seconds: float) -> None:
    """Until every feeder has handed its table to TCP."""

    def sent() -> bool:
        check(measured, fed)
        return all(feeder.sent_at is not None for feeder in fed)

    wait_for(sent, "the feeders' last byte", seconds)


def until_installed(measured: Device, fed: list[Feeder], monitor: RouteMonitor, seconds: float) -> float:
    """Until the networks that the monitor looks at are in the kernel: see `RouteMonitor.wait`."""
    return monitor.wait(seconds, lambda: check(measured, fed))
