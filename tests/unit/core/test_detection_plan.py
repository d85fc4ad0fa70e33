"""What a change of BFD, probes and flap damping is said to do: no session is reset."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from bgpsvc.planning import plan
from bgpsvc.resources.models import BfdSettings, ProbeSettings
from tests.unit.core.test_engine import both_up
from tests.unit.support import T1, T2, intent

KEYED = BfdSettings(key_id=1, key=SecretStr("one"))


@pytest.mark.parametrize(
    ("before", "after", "detail"),
    [
        (
            {},
            {"bfd": BfdSettings(interval_ms=50)},
            "bfd begins: 50 ms, 3 times, and the BGP session stays",
        ),
        ({"probe": ProbeSettings()}, {}, "probe ends, and the BGP session stays"),
        (
            {"bfd": BfdSettings()},
            {"bfd": BfdSettings(interval_ms=50, multihop=True)},
            "bfd goes on with interval_ms 300 → 50, multihop False → True, and the BGP session stays",
        ),
        (
            {"bfd": KEYED},
            {"bfd": BfdSettings(key_id=1, key=SecretStr("two"))},
            "bfd goes on with another key, and the BGP session stays",
        ),
    ],
)
def test_what_becomes_of_detection(before: dict[str, object], after: dict[str, object], detail: str) -> None:
    made = plan(intent(**before), intent(**after), both_up(**before).engine)
    assert [(e.action, e.subject, e.detail) for e in made.tunnels] == [
        ("update", T1, detail),
        ("update", T2, detail),
    ]
    assert made.sessions == ()


def test_flap_damping_is_told_too() -> None:
    made = plan(intent(), intent(connection={"failback_hold_down_max": 0.0}), both_up().engine)
    assert [e.detail for e in made.tunnels] == ["failback_hold_down_max 300.0 s → 0.0 s"] * 2
    assert plan(intent(), intent(max_prefixes=7), both_up().engine).tunnels == ()
