"""The examples of docs/routing-policies.md do what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bgpsvc.as_path_regex import AsPathRegex
from bgpsvc.engine import Engine
from bgpsvc.model import Reason, SessionId, parse_prefix
from bgpsvc.policy import Judgement, judge
from bgpsvc.resources import Intent, load
from tests.unit.support import T1, T2, path

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "routing-policies.md").read_text()
CONFIGURATION = re.findall(r"```yaml\n(.*?)```", (DOCS / "configuration.md").read_text(), re.DOTALL)[0]
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def loaded(number: int) -> Intent:
    """The configuration page's example with what one of this page's adds to it."""
    document: dict[str, Any] = yaml.safe_load(CONFIGURATION)
    added = yaml.safe_load(EXAMPLES[number])
    document["routing_policies"] = added["routing_policies"]
    document["vpn_connections"][0] |= added["vpn_connections"][0]
    return load(yaml.safe_dump(document), "example").intent


def imported(number: int, session: SessionId, prefix: str, **attributes: Any) -> Judgement:
    engine = Engine(loaded(number), 0.0)
    settings = engine.sessions[session].settings
    received = path(session, **attributes)
    return judge(settings, engine.gateways["gw1"].filter, parse_prefix(prefix), received)


def test_a_peer_is_preferred_by_community() -> None:
    marked = {"communities": (65500 << 16 | 200,)}
    for session, attributes, preference in ((T2, marked, 300), (T2, {}, None), (T1, marked, None)):
        made = imported(0, session, "192.168.0.0/16", **attributes).attributes
        assert made is not None
        assert made.preference == preference


@pytest.mark.parametrize(
    ("prefix", "rule", "reason"),
    [
        ("10.66.1.0/24", 1, Reason.REJECTED_BY_POLICY),
        ("10.1.0.0/16", 2, None),
        ("10.1.1.0/24", 2, None),
        ("10.1.1.0/25", None, Reason.REJECTED_BY_POLICY),
        ("10.0.0.0/8", None, Reason.REJECTED_BY_POLICY),
        ("192.168.0.0/16", 2, None),
        ("192.168.1.0/24", None, Reason.REJECTED_BY_POLICY),
    ],
)
def test_a_list_of_prefixes_is_refused(prefix: str, rule: int | None, reason: Reason | None) -> None:
    made = imported(1, T1, prefix)
    assert (made.rule, made.reason) == (rule, reason)


def test_what_a_rejected_path_says() -> None:
    assert f"  State: not_installed: {imported(1, T1, '10.66.1.0/24').text} (" in PAGE


def test_the_standby_is_prepended() -> None:
    engine = Engine(loaded(2), 0.0)
    gateway = engine.gateways["gw1"]
    for session, prepend, communities in ((T1, 0, ()), (T2, 2, (65530 << 16 | 2,))):
        (told,) = gateway.advertisements(engine.sessions[session].settings).values()
        assert (told.prepend, told.communities) == (prepend, communities)


def test_the_patterns_of_the_table() -> None:
    found = {
        pattern: [
            text for text in ("", "65500", "65500 65501", "1 65501 2") if AsPathRegex(pattern).search(text)
        ]
        for pattern in re.findall(r"^\| `(.*?)` \| (?:that|of) ", PAGE, re.MULTILINE)
    }
    assert found == {
        "^65500$": ["65500"],
        "^65500_": ["65500", "65500 65501"],
        "_65501$": ["65500 65501"],
        "_65501_": ["65500 65501", "1 65501 2"],
        "^[0-9]+$": ["65500"],
        "^$": [""],
    }
