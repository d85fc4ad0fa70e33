"""What an operator's wish at run time moves, or would move: a switch, and a tunnel negotiated anew. Pure."""

from __future__ import annotations

from bgpsvc.engine import Engine
from bgpsvc.gateway import Gateway
from bgpsvc.model import SessionId, SwitchMode
from bgpsvc.tunnels import Hop, choose
from bgpsvc.views import RestartPlan, SwitchPlan


def switch_plan(engine: Engine, connection: str, mode: SwitchMode, same: bool) -> SwitchPlan:
    """What a switch of a connection that exists moves. `same`: the choice was made before, as it is."""
    board = engine.switchboard
    wished = {**engine.modes, connection: mode}
    before = board.switches[connection].carrying
    after = board.carrying(connection, wished)
    prefixes, groups = _gateway(engine, connection).moved_by(connection, wished)
    drained = [t.session for t in board.tunnels_of(connection) if mode.avoids(t.role)]
    return SwitchPlan(
        connection=connection,
        mode=mode,
        from_tunnel=before,
        to_tunnel=after,
        prefixes_moved=prefixes,
        groups_replaced=groups,
        changed=not same,
        note=_switch_note(engine, mode, before, after),
        drained=drained[0] if drained and engine.intent.connection(connection).enable_bgp else None,
    )


def _gateway(engine: Engine, connection: str) -> Gateway:
    return engine.gateways[engine.intent.connection(connection).vpn_gateway]


def _switch_note(engine: Engine, mode: SwitchMode, before: SessionId | None, after: SessionId | None) -> str:
    if after is None:
        return "no tunnel is live: the choice takes effect when one comes back"
    role = engine.tunnels[after].role
    if mode is not SwitchMode.AUTO and role.value != mode.value:
        return f"the {mode.value} tunnel is not usable: traffic stays on {after} until it is"
    if before == after:
        return f"traffic stays on {after}"
    return f"traffic moves from {before or 'no tunnel'} to {after}"


def restart_plan(engine: Engine, tunnel: SessionId) -> RestartPlan:
    """What ending the SAs of a tunnel that exists moves, until they are negotiated anew."""
    connection = engine.tunnels[tunnel].connection
    carrying = engine.switchboard.switches[connection].carrying == tunnel
    fates = _gateway(engine, connection).forwarding.moved_without(tunnel)
    lost = fates.pop(None, 0)
    after = _carrying_without(engine, connection, tunnel)
    return RestartPlan(
        tunnel=tunnel,
        connection=connection,
        carrying=carrying,
        to_tunnel=after,
        prefixes_moved=sum(fates.values()),
        prefixes_lost=lost,
        note=_restart_note(engine, tunnel, carrying, after),
    )


def _carrying_without(engine: Engine, connection: str, tunnel: SessionId) -> SessionId | None:
    """The tunnel that carries the connection's traffic while this one does not."""
    others = [Hop(t.session, b"") for t in engine.switchboard.tunnels_of(connection) if t.session != tunnel]
    modes = engine.modes
    found = choose(others, engine.tunnels.__getitem__, lambda name: modes.get(name, SwitchMode.AUTO))
    return None if found is None else found.session


def _restart_note(engine: Engine, tunnel: SessionId, carrying: bool, after: SessionId | None) -> str:
    if not carrying:
        return f"{tunnel} carries no traffic now: nothing moves"
    if after is None:
        return f"no other tunnel is usable: traffic stops until {tunnel} is negotiated anew"
    if engine.modes.get(engine.tunnels[tunnel].connection, SwitchMode.AUTO).avoids(
        engine.tunnels[after].role
    ):
        return f"traffic moves to {after}, which is out of use, until {tunnel} is negotiated anew"
    return f"traffic moves to {after}, and back when {tunnel} is live again"
