"""Which of the found connections and tunnels are taken, and with which addresses of this side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from bgpsvc.importing.model import Choices, FoundConnection, FoundTunnel
from bgpsvc.importing.notes import Notes, refused

_TUNNELS = 2


def chosen(found: Sequence[FoundConnection], choices: Choices, notes: Notes) -> list[FoundConnection]:
    """The connections that were chosen, or all, each with at most two tunnels, the active one first.

    What stands against a tunnel becomes a problem if the tunnel is among them.
    """
    if not found:
        raise refused("", "has no VPN connection", "one or more")
    wanted = list(found)
    if choices.connections:
        names = {connection.name for connection in found}
        for name in choices.connections:
            if name not in names:
                raise refused("--connection", f"there is no {name!r} in the file", " | ".join(sorted(names)))
        wanted = [connection for connection in found if connection.name in choices.connections]
    if choices.tunnels:
        wanted = _with_tunnels(wanted, choices.tunnels)
    for connection in wanted:
        _check_count(connection, notes)
    return wanted


def _with_tunnels(connections: Iterable[FoundConnection], names: Sequence[str]) -> list[FoundConnection]:
    """The connections that have the tunnels named, with these tunnels in the order of the names."""
    made: list[FoundConnection] = []
    seen: set[str] = set()
    all_names: list[str] = []
    for connection in connections:
        taken = [tunnel for name in names for tunnel in connection.tunnels if _is_called(tunnel, name)]
        all_names += [tunnel.name for tunnel in connection.tunnels]
        seen |= {name for name in names for tunnel in taken if _is_called(tunnel, name)}
        if taken:
            made.append(replace(connection, tunnels=tuple(dict.fromkeys(taken))))
    for name in names:
        if name not in seen:
            raise refused("--tunnel", f"there is no {name!r} in the file", " | ".join(all_names))
    return made


def _is_called(tunnel: FoundTunnel, name: str) -> bool:
    return name in (tunnel.name, str(tunnel.gateway))


def _check_count(connection: FoundConnection, notes: Notes) -> None:
    count = len(connection.tunnels)
    place = connection.where or connection.name
    fitting = [tunnel for tunnel in connection.tunnels if not tunnel.problems]
    instead = f", or only what fits: --tunnel {_names(fitting)}" if fitting else ""
    if count == 0:
        notes.refuse(place, "has no tunnel", "one or two")
    elif count > _TUNNELS:
        text = f"has {count} tunnels ({_names(connection.tunnels)}), and a connection has two here"
        which = f"; {_names(fitting)} fit, the others do not" if 0 < len(fitting) < count else ""
        notes.refuse(place, text, f"--tunnel NAME for each of the two, the active one first{which}")
        if fitting:
            return  # the choice comes first: it may leave these problems out
    for tunnel in connection.tunnels:
        for problem in tunnel.problems:
            notes.refuse(problem.where, problem.text, problem.allowed + instead)


def _names(tunnels: Iterable[FoundTunnel]) -> str:
    return ", ".join(tunnel.name for tunnel in tunnels)


def check_used(connections: Sequence[FoundConnection], choices: Choices, notes: Notes) -> None:
    """What was given beside the file has a use there, and it is clear which."""
    if choices.remote_cidrs and all(connection.bgp or connection.selectors for connection in connections):
        text = "every connection learns the cloud's networks by BGP, or names them"
        notes.refuse("--remote-cidr", text, "a connection without BGP, or no --remote-cidr")
    _check_files("--key-file", choices.key_files, connections, lambda tunnel: tunnel.key is None, notes)
    _check_files("--password-file", choices.password_files, connections, _lacks_password, notes)


def _lacks_password(tunnel: FoundTunnel) -> bool:
    return tunnel.bgp is not None and tunnel.bgp.keyed and tunnel.bgp.password is None


def _check_files(
    option: str,
    files: Sequence[str],
    connections: Iterable[FoundConnection],
    lacks: Callable[[FoundTunnel], bool],
    notes: Notes,
) -> None:
    if not files:
        return
    if len(files) > _TUNNELS:
        notes.refuse(option, f"{len(files)} given", "one for both tunnels, or one for each")
    where = [one for one in connections if any(lacks(tunnel) for tunnel in one.tunnels)]
    if not where:
        notes.warn(option, "is not used: the file has all that it needs")
    elif len(where) > 1:
        names = ", ".join(connection.name for connection in where)
        notes.refuse(option, f"several connections lack keys ({names})", "one of them, by --connection")


def local_addresses(connections: Sequence[FoundConnection], choices: Choices, notes: Notes) -> list[str]:
    """The two addresses of our VPN gateway, for tunnel 1 and tunnel 2.

    As given, or as the cloud has them. A cloud that knows a single one has it for both tunnels.
    """
    given = list(choices.local_addresses)
    if len(given) > _TUNNELS:
        raise refused("--local-address", f"{len(given)} given", "one for both tunnels, or one for each")
    if given:
        return given if len(given) == _TUNNELS else given * _TUNNELS
    known = [_known(connections, number, notes) for number in range(_TUNNELS)]
    first, second = known[0] or known[1], known[1] or known[0]
    if first is None or second is None:
        text = "the file does not say which addresses of this side the cloud knows"
        notes.refuse("--local-address", text, "an address of this side, or one for each tunnel")
        return []
    return [first, second]


def _known(connections: Sequence[FoundConnection], number: int, notes: Notes) -> str | None:
    """The address of this side for the tunnels of a number, which all connections share."""
    found = {
        str(tunnel.device)
        for connection in connections
        for tunnel in connection.tunnels[number : number + 1]
        if tunnel.device is not None
    }
    if len(found) > 1:
        listed = ", ".join(sorted(found))
        text = f"tunnel {number + 1} of the connections leads to different addresses of this side: {listed}"
        notes.refuse(
            "", text, "connections with the same addresses, chosen by --connection, or --local-address"
        )
    return min(found, default=None)
