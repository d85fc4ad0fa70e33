"""Which driver is chosen, and what is said about it: every combination of what a machine may have."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import product

import pytest

from bgpsvc.ipsec.choose import USERSPACE, XFRM, CannotChoose, Choice, Finding, Findings, Wish, choose

NAMES = tuple(field.name for field in fields(Findings))


def having(*names: str) -> Findings:
    return Findings(
        **{name: Finding(name in names, f"{'has' if name in names else 'no'} {name}") for name in NAMES}
    )


@pytest.mark.parametrize("flags", list(product((False, True), repeat=len(NAMES))))
def test_auto_takes_the_kernel_then_user_space_then_leaves_it_to_others(flags: tuple[bool, ...]) -> None:
    found = {name for name, flag in zip(NAMES, flags, strict=True) if flag}
    choice = choose("auto", having(*found))
    if found >= set(XFRM):
        assert choice.name == "xfrm"
        assert choice.missing == (() if "vici" in found else ("no vici",))
    elif found >= set(USERSPACE):
        assert choice.name == "userspace"
        assert choice.missing == tuple(f"no {name}" for name in XFRM if name not in found)
    else:
        assert choice.name == "external"
        lacking = dict.fromkeys(name for name in (*XFRM, *USERSPACE) if name not in found)
        assert choice.missing == tuple(f"no {name}" for name in lacking)
    assert all(text in choice.why for text in choice.missing)


@pytest.mark.parametrize(("wish", "needs"), [("xfrm", XFRM), ("userspace", USERSPACE)])
def test_a_wish_needs_just_its_own_things(wish: Wish, needs: tuple[str, ...]) -> None:
    assert choose(wish, having(*needs)).name == wish
    for lacking in needs:
        with pytest.raises(CannotChoose, match=rf"^--ipsec {wish} cannot work here: no {lacking}$"):
            choose(wish, having(*(name for name in NAMES if name != lacking)))


def test_external_needs_nothing() -> None:
    assert choose("external", having()) == Choice(
        "external", "asked for: tunnels are made by somebody else", ()
    )


@pytest.mark.parametrize("wish", ["auto", "xfrm"])
def test_a_charon_that_does_not_answer_is_waited_for(wish: Wish) -> None:
    without = replace(having(*NAMES), vici=Finding(False, "no charon answers at /x: start strongSwan"))
    choice = choose(wish, without)
    assert choice.name == "xfrm"
    assert "but no charon answers at /x: start strongSwan; tried again" in choice.why
