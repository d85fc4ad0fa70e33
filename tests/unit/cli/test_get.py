"""Lists: tables, forms of output, filters, pages."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
import yaml

from api.render import rfc3339
from bgpsvc.cli import client
from tests.fakes.server import RunningApi
from tests.fakes.service import ACTIVE, STANDBY
from tests.unit.cli.conftest import Run

pytestmark = pytest.mark.usefixtures("running")


NO_SESSION = "bgpsvc: there is no BGP session 'x'; there is conn1-tunnel1, conn1-tunnel2\n"


def column(text: str, number: int) -> list[str]:
    """One column of a table, without its head."""
    return [line.split()[number] for line in text.splitlines()[1:]]


@pytest.mark.parametrize(
    ("kind", "first"),
    [
        ("sessions", [ACTIVE, STANDBY]),
        ("tunnels", [ACTIVE, STANDBY]),
        ("gateways", ["gw1"]),
        ("connections", ["conn1"]),
        ("vpcs", ["vpc1"]),
        ("table", ["172.16.0.0/12", "192.168.0.0/16", "192.168.10.0/24", "2001:db8:2::/48"]),
        ("events", ["1", "2"]),
    ],
)
def test_each_list_in_each_form(bgpsvc: Run, kind: str, first: list[str]) -> None:
    table = bgpsvc("get", kind)
    assert (table.status, table.err) == (0, "")
    assert column(table.out, 0) == first
    wide = bgpsvc("get", kind, "-o", "wide")
    assert column(wide.out, 0) == first
    assert len(wide.out.splitlines()[0]) >= len(table.out.splitlines()[0])
    items = json.loads(bgpsvc("get", kind, "-o", "json").out)["items"]
    assert yaml.safe_load(bgpsvc("get", kind, "-o", "yaml").out)["items"] == items
    rows = list(csv.DictReader(io.StringIO(bgpsvc("get", kind, "-o", "csv").out)))
    assert [next(iter(row.values())) for row in rows] == first
    assert len(items) == len(first)


def test_columns_are_aligned_and_without_colour_off_a_terminal(bgpsvc: Run) -> None:
    out = bgpsvc("get", "sessions").out
    lines = out.splitlines()
    assert "\x1b" not in out
    assert lines[0].startswith("ID             ROLE     PEER             AS  STATE ")
    assert lines[1].startswith("conn1-tunnel1  active   169.254.10.2  65500  established ")
    assert not [line for line in lines if line != line.rstrip()]


def test_a_session_that_is_down_says_why(bgpsvc: Run, running: RunningApi) -> None:
    running.call(lambda service: service.session_down(ACTIVE, "Hold Timer Expired"))
    first, second = bgpsvc("get", "sessions").out.splitlines()[1:]
    assert first.endswith("  1  Hold Timer Expired")
    assert second.endswith("  0  -")


def test_an_error_that_is_over_is_told_from_one_that_lasts(bgpsvc: Run, running: RunningApi) -> None:
    running.call(lambda service: service.session_down(ACTIVE, "Hold Timer Expired"))
    assert bgpsvc("get", "sessions", "-o", "wide").out.splitlines()[1].endswith("  Hold Timer Expired")
    running.call(lambda service: service.session_up(ACTIVE))
    first, second = bgpsvc("get", "sessions", "-o", "wide").out.splitlines()[1:]
    assert first.endswith("  before: Hold Timer Expired")
    assert second.endswith("  -")
    summary = bgpsvc("show", "bgp", "summary", "-o", "wide").out
    assert re.search(r"^169\.254\.10\.2 .*  before: Hold Timer Expired$", summary, re.M)
    found = bgpsvc("show", "session", ACTIVE).out
    assert re.search(r"Last error before: Hold Timer Expired \(NOTIFICATION 4/0 sent\), \S+ ago\n", found)


@pytest.mark.parametrize("name", ["conn1?x=1", "conn1#x", "%63onn1", "ä b"])
def test_a_name_stays_a_name_whatever_it_contains(bgpsvc: Run, name: str) -> None:
    result = bgpsvc("get", "connections", name)
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith("bgpsvc: there is no ")


def test_csv_has_plain_values(bgpsvc: Run) -> None:
    (gateway,) = csv.DictReader(io.StringIO(bgpsvc("get", "gateways", "-o", "csv").out))
    assert (gateway["propagation"], gateway["addresses"]) == ("true", "198.51.100.1 198.51.100.3")
    session = next(csv.DictReader(io.StringIO(bgpsvc("get", "sessions", "-o", "csv").out)))
    assert (session["for"], session["why_down"]) == ("2025-10-09T08:53:20.000Z", "")
    route = next(csv.DictReader(io.StringIO(bgpsvc("get", "routes", "192.168.0.0/16", "-o", "csv").out)))
    assert (route["paths"], route["next_hop"]) == ("2", "169.254.10.2")


def test_one_resource_by_name(bgpsvc: Run) -> None:
    assert column(bgpsvc("get", "tunnels", STANDBY).out, 0) == [STANDBY]
    assert json.loads(bgpsvc("get", "vpcs", "vpc1", "-o", "json").out)["route_table"] == 1001
    assert column(bgpsvc("get", "gateway", "gw1").out, 0) == ["gw1"], "the singular does too"


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["192.168.0.0/16"], ["192.168.0.0/16"]),
        (["192.168.0.0/16", "--longer"], ["192.168.0.0/16", "192.168.10.0/24"]),
        (["192.168.10.0/24", "--covering"], ["0.0.0.0/0", "192.168.0.0/16", "192.168.10.0/24"]),
        (["192.168.10.0/25", "--best"], ["192.168.10.0/24"]),
        (["192.168.10.7"], ["192.168.10.0/24"]),
        (["192.168.99.7", "--covering"], ["0.0.0.0/0", "192.168.0.0/16"]),
        (["2001:db8:2::1", "--covering"], ["2001:db8:2::/48"]),
        (["--session", STANDBY, "--state", "not_installed"], ["10.0.5.0/24"]),
        (["--asn", "65502"], ["172.16.0.0/12"]),
        (["--asn", "0.65502"], ["172.16.0.0/12"]),
        (["--community", "65500:100"], ["192.168.0.0/16"]),
        (["--family", "ipv6", "--gateway", "gw1"], ["2001:db8:2::/48"]),
        (["--limit", "2"], ["0.0.0.0/0", "10.0.5.0/24"]),
    ],
)
def test_filters_of_routes(bgpsvc: Run, arguments: list[str], found: list[str]) -> None:
    result = bgpsvc("get", "routes", *arguments)
    assert result.status == 0
    assert column(result.out, 0) == found


def test_a_route_that_is_not_installed_says_why(bgpsvc: Run) -> None:
    line = bgpsvc("get", "routes", "10.0.5.0/24").out.splitlines()[1]
    assert line.endswith("the prefix lies inside the VPC's own CIDRs")


def test_all_pages_are_followed(bgpsvc: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAGE", 2)
    whole = column(bgpsvc("get", "routes").out, 0)
    assert len(set(whole)) == len(whole) == 6
    for form in ("json", "yaml"):
        items = yaml.safe_load(bgpsvc("get", "routes", "-o", form).out)["items"]
        assert [item["prefix"] for item in items] == whole
    rows = csv.DictReader(io.StringIO(bgpsvc("get", "routes", "-o", "csv").out))
    assert [row["prefix"] for row in rows] == whole
    assert column(bgpsvc("get", "routes", "--limit", "3").out, 0) == whole[:3]


def test_nothing_found_is_a_message_and_no_data(bgpsvc: Run) -> None:
    empty = bgpsvc("get", "routes", "--asn", "1")
    assert (empty.status, empty.out, empty.err) == (0, "", "nothing found\n")
    assert json.loads(bgpsvc("get", "routes", "--asn", "1", "-o", "json").out) == {"items": []}
    assert yaml.safe_load(bgpsvc("get", "routes", "--asn", "1", "-o", "yaml").out) == {"items": []}
    assert bgpsvc("get", "routes", "--asn", "1", "-o", "csv").out.startswith("prefix,state,")


def test_events_of_a_kind_and_behind_an_id(bgpsvc: Run, running: RunningApi) -> None:
    running.call(lambda service: service.session_down(ACTIVE))
    assert column(bgpsvc("get", "events", "--kind", "session.down").out, 0) == ["3"]
    assert column(bgpsvc("get", "events", "--after", "2", "--limit", "1").out, 0) == ["3"]


def test_events_of_some_subjects_severities_and_times(bgpsvc: Run, running: RunningApi) -> None:
    running.call(lambda service: service.session_down(ACTIVE))

    def ids(*options: str) -> list[str]:
        return column(bgpsvc("get", "events", *options).out, 0)

    assert ids("--subject", ACTIVE, "--subject", "conn1") == ["1", "3", "4"]
    assert ids("--severity", "warning", "--severity", "error") == ["3", "4"]
    at = running.service.log[-1].time
    assert ids("--since", rfc3339(at), "--severity", "warning") == ["3", "4"]
    assert ids("--until", rfc3339(at + 1)) == ["1", "2", "3", "4"]
    assert "nothing found" in bgpsvc("get", "events", "--since", "15m").err, "the fake's clock stands"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["routes", "--longer"], "--longer, --covering and --best need a PREFIX"),
        (
            ["routes", "10.0.0.0/8", "--longer", "--best"],
            "--longer, --covering and --best exclude each other",
        ),
        (["routes", "--asn", "65536.1"], "'65536.1' is not an AS number: 0 to 4294967295, or asdot as 1.10"),
        (["events", "--watch", "-o", "json"], "events can be watched with -o table or wide"),
        (["routes", "--state", "gone"], "'gone' is not one of"),
        (["routes", "10.0.0.1/8"], "bgpsvc: prefix: '10.0.0.1/8' is not a prefix: host bits are set\n"),
        (["routes", "--community", "1" * 65], "bgpsvc: community: "),
        (["events", "--kind", "session.gone"], "bgpsvc: kind: must be "),
        (["events", "--since", "yesterday"], "'yesterday' is no time: give 15m, 12h, 7d"),
        (["events", "--watch", "--until", "1h"], "--watch has no end"),
        (["events", "--kind", "session.gone", "--watch"], "bgpsvc: kind: must be "),
        (["events", "--after", str(2**63)], "bgpsvc: after: must be "),
        (["sessions", ""], "'' is not the name of anything"),
        (["vpcs", "vpc1/routes"], "'vpc1/routes' is not the name of anything"),
        (["sessions", ".."], "'..' is not the name of anything"),
        (["routes", "-g", ""], "'' is not the name of anything"),
        (["table", "--vpc", ""], "'' is not the name of anything"),
        (["table", "--session", ""], "'' is not the name of anything"),
        (["root"], "bgpsvc: 'root' is nothing to list; there is sessions, tunnels, vpcs, "),
    ],
)
def test_wrong_calls_end_with_status_2(bgpsvc: Run, arguments: list[str], message: str) -> None:
    result = bgpsvc("get", *arguments)
    assert (result.status, result.out) == (2, "")
    assert message in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sessions", "x"], NO_SESSION),
        (["routes", "--session", "x"], NO_SESSION),
        (["table", "--session", "x"], NO_SESSION),
        (["routes", "-g", "x"], "bgpsvc: there is no VPN gateway 'x'; there is gw1\n"),
        (["table", "--vpc", "x"], "bgpsvc: there is no VPC 'x'; there is vpc1\n"),
    ],
)
def test_what_the_api_refuses_ends_with_status_1(bgpsvc: Run, arguments: list[str], message: str) -> None:
    result = bgpsvc("get", *arguments)
    assert (result.status, result.out, result.err) == (1, "", message)
