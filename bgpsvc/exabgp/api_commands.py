"""Commands added to ExaBGP's API, in the speaker's process.

All begin with `bgpsvc` and are answered with lines that begin with `#`:

    bgpsvc sync TOKEN     per session one JSON line of type `sync` with its state, then `#synced TOKEN`
    bgpsvc mark TOKEN     `#marked TOKEN ERRORS` when all commands before it are done
    bgpsvc routes TOKEN   `#routes LOCAL PEER PREFIX…` lines with what is in Adj-RIB-Out, then `#routed TOKEN`
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from bgpsvc.exabgp.verbatim import opens_json

ROUTES_PER_LINE = 2000
_errors: dict[str, int] = {}


def count_errors() -> None:
    """Counts failed commands, for `bgpsvc mark`: ExaBGP's own answers are nameless and out of order."""
    from exabgp.reactor.api.processes import Processes

    original = Processes.answer_error

    def answer_error(self: Any, service: str) -> None:
        _errors[service] = _errors.get(service, 0) + 1
        original(self, service)

    Processes.answer_error = answer_error


def add_commands() -> None:
    """`bgpsvc …` in ExaBGP's API."""
    from exabgp.reactor.api.command.command import Command

    subcommands: dict[str, Callable[[Any, str, str], Iterator[bool]]] = {
        "sync": _sync,
        "mark": _mark,
        "routes": _routes,
    }

    def bgpsvc(self: Any, reactor: Any, service: str, line: str, use_json: bool) -> bool:
        words = line.split()
        if len(words) != 3 or words[1] not in subcommands:
            reactor.processes.answer_error(service)
            return False
        reactor.asynchronous.schedule(service, line, subcommands[words[1]](reactor, service, words[2]))
        return True

    Command.register("bgpsvc", False, None, True)(bgpsvc)


def _sync(reactor: Any, service: str, token: str) -> Iterator[bool]:
    for peer in list(reactor._peers.values()):
        encoder = reactor.processes._encoder[service]
        content = {"state": peer.fsm.name().lower()}
        proto = peer.proto
        if peer.established() and proto is not None:
            content |= encoder._negotiated(proto.negotiated)
            content["open"] = encoder._json(_open_json(encoder, proto.negotiated.received_open))
            content["opens"] = encoder._json(opens_json(proto))
        line = encoder._header(
            encoder._neighbor(peer.neighbor, None, encoder._kv(content)),
            "",
            "",
            peer.neighbor,
            message_type="sync",
        )
        reactor.processes.write(service, line)
        yield False
    reactor.processes.write(service, f"#synced {token}")


def _open_json(encoder: Any, message: Any) -> str:
    capabilities = encoder._json_kv(message.capabilities)
    return (
        f'{{ "version": {int(message.version)}, "asn": {int(message.asn)}, '
        f'"hold_time": {int(message.hold_time)}, "router_id": {json.dumps(str(message.router_id))}, '
        f'"capabilities": {{ {capabilities} }} }}'
    )


def _mark(reactor: Any, service: str, token: str) -> Iterator[bool]:
    reactor.processes.write(service, f"#marked {token} {_errors.pop(service, 0)}")
    yield False


def _routes(reactor: Any, service: str, token: str) -> Iterator[bool]:
    for peer in list(reactor._peers.values()):
        neighbor = peer.neighbor
        head = f"#routes {neighbor['local-address']} {neighbor['peer-address']}"
        prefixes = [str(change.nlri.cidr) for change in neighbor.rib.outgoing.cached_changes(None)]
        for start in range(0, len(prefixes), ROUTES_PER_LINE):
            reactor.processes.write(service, f"{head} {' '.join(prefixes[start : start + ROUTES_PER_LINE])}")
            yield False
    reactor.processes.write(service, f"#routed {token}")


def install() -> None:
    """Once per process, before ExaBGP starts."""
    count_errors()
    add_commands()
