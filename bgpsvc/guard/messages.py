"""Messages between daemon and guard: one JSON object a line, `{"type": NAME, …fields}`; keys are in hex."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, cast

from bgpsvc.guard.model import (
    BfdSettings,
    BfdStatus,
    Candidate,
    CheckSettings,
    CheckVerdict,
    Detection,
    GroupPlan,
    Hello,
    Method,
    Plan,
    ProbeSettings,
    ProbeStatus,
    Quit,
    Refused,
    Status,
    ToDaemon,
    ToGuard,
    Watch,
    Watched,
)

PROTOCOL = 1
"""Raised whenever a message changes; a guard that speaks another one is replaced."""


class NotUnderstood(ValueError):
    """A line that is no message of this protocol."""


def pack(message: ToDaemon | ToGuard) -> bytes:
    """A message as one line, its end included."""
    plain = {"type": type(message).__name__} | asdict(message)
    return json.dumps(plain, separators=(",", ":"), default=_plain).encode() + b"\n"


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"{type(value).__name__} has no place in a message")


def unpack(line: bytes) -> ToDaemon | ToGuard:
    """The message of a line. NotUnderstood if it is none."""
    try:
        fields = json.loads(line)
        make = _MAKERS[fields.pop("type")]
        return make(fields)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotUnderstood(f"not a message of protocol {PROTOCOL}: {error!r}") from None


def _watched(fields: dict[str, Any]) -> Watched:
    bfd, probe, check = (fields.pop(name) for name in ("bfd", "probe", "check"))
    if bfd is not None and bfd["key"] is not None:
        bfd["key"] = bytes.fromhex(bfd["key"])
    disbelieved = tuple(Method(name) for name in fields.pop("disbelieved"))
    return Watched(
        **fields,
        disbelieved=disbelieved,
        bfd=None if bfd is None else BfdSettings(**bfd),
        probe=None if probe is None else ProbeSettings(**probe),
        check=None if check is None else CheckSettings(**check),
    )


def _group(fields: dict[str, Any]) -> GroupPlan:
    return GroupPlan(fields["group"], tuple(Candidate(**candidate) for candidate in fields["candidates"]))


def _plan(fields: dict[str, Any]) -> Plan:
    return Plan(tuple(_group(group) for group in fields["groups"]), tuple(fields["gone"]), fields["whole"])


def _hello(fields: dict[str, Any]) -> Hello:
    return Hello(**(fields | {"netlink_ports": tuple(fields["netlink_ports"])}))


def _detection(fields: dict[str, Any]) -> Detection:
    moved = tuple((group, nexthop) for group, nexthop in fields["moved"])
    return Detection(**(fields | {"method": Method(fields["method"]), "moved": moved}))


def _status(fields: dict[str, Any]) -> Status:
    return Status(
        tuple(BfdStatus(**one) for one in fields["bfd"]),
        tuple(ProbeStatus(**one) for one in fields["probes"]),
    )


_MAKERS: dict[str, Callable[[dict[str, Any]], ToDaemon | ToGuard]] = {
    "Watch": lambda fields: Watch(tuple(_watched(one) for one in fields["tunnels"])),
    "Plan": _plan,
    "Quit": lambda fields: cast(ToGuard, Quit(**fields)),
    "Hello": _hello,
    "Detection": _detection,
    "CheckVerdict": lambda fields: CheckVerdict(**fields),
    "Status": _status,
    "Refused": lambda fields: Refused(**fields),
}
