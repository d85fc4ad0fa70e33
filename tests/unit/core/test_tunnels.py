from __future__ import annotations

from dataclasses import replace

import pytest

from bgpsvc.model import Role, SessionId, SwitchMode
from bgpsvc.tunnels import Hop, Tunnel, TunnelSettings, TunnelState, assess, choose

DOWN, SYNCING, STALE, WARMING, LIVE = TunnelState
UP = Tunnel(
    TunnelSettings(
        *(SessionId("c-tunnel1"), "c", "gw", 1, Role.ACTIVE, "t1", "198.51.100.2", True), hold_down=5.0
    ),
    link_up=True,
    established_at=100.0,
)


@pytest.mark.parametrize(
    ("change", "best_other", "now", "state", "deadline"),
    [
        ({"link_up": False}, DOWN, 100, DOWN, None),
        ({"established_at": None}, DOWN, 100, DOWN, None),
        ({"established_at": None, "graceful_until": 120.0}, LIVE, 119, STALE, 120.0),
        ({"established_at": None, "graceful_until": 120.0}, LIVE, 120, DOWN, None),
        ({"established_at": None, "graceful_until": 120.0, "link_up": False}, LIVE, 100, DOWN, None),
        # Alone it carries traffic at once, beside a usable one it waits for its table.
        ({}, DOWN, 100, LIVE, None),
        ({}, SYNCING, 100, LIVE, None),
        ({}, STALE, 100, SYNCING, None),
        ({}, LIVE, 1000, SYNCING, None),
        ({"failed_before": True}, LIVE, 1000, SYNCING, None),
        ({"synced_at": 101.0}, LIVE, 101, LIVE, None),
        # Only a tunnel that failed before has to prove itself, and only beside a live one.
        ({"synced_at": 101.0, "failed_before": True}, LIVE, 105.9, WARMING, 106.0),
        ({"synced_at": 101.0, "failed_before": True}, LIVE, 106, LIVE, None),
        ({"synced_at": 101.0, "failed_before": True}, STALE, 101, LIVE, None),
        ({"synced_at": 101.0, "failed_before": True}, DOWN, 101, LIVE, None),
        # Once live it stays live whatever its table does.
        ({"state": LIVE}, LIVE, 100, LIVE, None),
    ],
)
def test_assess(
    change: dict[str, object], best_other: TunnelState, now: float, state: TunnelState, deadline: float | None
) -> None:
    result = assess(replace(UP, **change), best_other, now)  # type: ignore[arg-type]
    assert (result.state, result.deadline) == (state, deadline)


A1, A2, B1 = SessionId("a-tunnel1"), SessionId("a-tunnel2"), SessionId("b-tunnel1")
HOPS = [Hop(A1, b"1"), Hop(A2, b"2"), Hop(B1, b"3")]


@pytest.mark.parametrize(
    ("states", "mode", "chosen"),
    [
        ((LIVE, LIVE, LIVE), SwitchMode.AUTO, A1),
        ((DOWN, LIVE, LIVE), SwitchMode.AUTO, A2),
        ((DOWN, DOWN, LIVE), SwitchMode.AUTO, B1),
        ((DOWN, DOWN, DOWN), SwitchMode.AUTO, None),
        ((WARMING, LIVE, DOWN), SwitchMode.AUTO, A2),
        ((WARMING, STALE, DOWN), SwitchMode.AUTO, A1),
        ((SYNCING, STALE, DOWN), SwitchMode.AUTO, A2),
        ((SYNCING, DOWN, DOWN), SwitchMode.AUTO, A1),
        ((STALE, DOWN, DOWN), SwitchMode.AUTO, A1),
        ((LIVE, LIVE, LIVE), SwitchMode.STANDBY, A2),
        # The wish may cut the hold-down short, but not the table.
        ((LIVE, WARMING, LIVE), SwitchMode.STANDBY, A2),
        ((LIVE, SYNCING, LIVE), SwitchMode.STANDBY, A1),
        ((LIVE, DOWN, LIVE), SwitchMode.STANDBY, A1),
        ((LIVE, STALE, LIVE), SwitchMode.STANDBY, A1),
        ((DOWN, LIVE, LIVE), SwitchMode.ACTIVE, A2),
        ((WARMING, LIVE, LIVE), SwitchMode.ACTIVE, A1),
        # The switch of one connection does not reach into another.
        ((DOWN, DOWN, LIVE), SwitchMode.STANDBY, B1),
    ],
)
def test_choose(states: tuple[TunnelState, ...], mode: SwitchMode, chosen: SessionId | None) -> None:
    tunnels = {
        hop.session: replace(
            UP,
            settings=replace(
                UP.settings,
                id=hop.session,
                connection=hop.session[0],
                role=Role.STANDBY if hop.session == A2 else Role.ACTIVE,
            ),
            state=state,
        )
        for hop, state in zip(HOPS, states, strict=True)
    }
    modes = {"a": mode, "b": SwitchMode.AUTO}
    found = choose(HOPS, tunnels.__getitem__, modes.__getitem__)
    assert (found.session if found is not None else None) == chosen
