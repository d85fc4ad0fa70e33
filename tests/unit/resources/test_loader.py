"""The loader: all problems at once and no echoes of them, places, secrets, speed."""

from __future__ import annotations

import time

import pytest

from bgpsvc.resources import ConfigError, Loaded, Problem, load
from tests.unit.resources.base import BASE, line_of, replaced


def problems_of(text: str, **options: object) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        load(text, "gw.yaml", **options)  # type: ignore[arg-type]
    return caught.value.problems


def test_all_problems_at_once_in_the_order_of_the_file() -> None:
    text = BASE
    edits = (
        ("route_table: 202", "route_table: 201"),
        ("auto_propagate: true", "auto_propogate: true"),
        ("    asn: 65501\n", ""),
        ("local_asn: 65530", "local_asn: 65530\n    local_asn: 65531"),
        ("hold_time: 30", "hold_time: 1"),
        ("tunnel_cidr: 169.254.20.0/30", "tunnel_cidr: 169.254.0.0/30"),
        ("interface: t4", "interface: t1"),
        ("      - customer_gateway: customer3\n        interface: t3\n", "      - interface: t3\n"),
    )
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    found = problems_of(text)
    assert [(problem.path, problem.message) for problem in found] == [
        ("vpcs[1].route_table", "table 201 is that of VPC vpc1, and the one of VPCs that name none"),
        ("vpn_gateways[0].auto_propogate", "unknown key, did you mean 'auto_propagate'?"),
        (
            "vpn_connections[0].enable_bgp",
            "customer gateway customer2 has no asn, and BGP needs the ASN of the peer",
        ),
        (
            "vpn_connections[0].local_asn",
            f"the key is given twice, first on line {line_of(text, 'local_asn')}",
        ),
        ("vpn_connections[0].tunnels[0].bgp.hold_time", "is out of range"),
        ("vpn_connections[0].tunnels[1].bgp.tunnel_cidr", "reserved by the system"),
        ("vpn_connections[1].tunnels[0].customer_gateway", "is missing"),
        ("vpn_connections[1].tunnels[1].interface", "is used by tunnel 1 of conn1"),
    ]
    assert [problem.line for problem in found] == sorted(problem.line for problem in found)


def test_the_text_of_a_problem() -> None:
    text = replaced("tunnel_cidr: 169.254.20.0/30", "tunnel_cidr: 169.254.0.0/30")
    with pytest.raises(ConfigError) as caught:
        load(text, "gw.yaml")
    line = line_of(text, "tunnel_cidr: 169.254.0.0/30")
    assert str(caught.value) == (
        f"gw.yaml:{line}:24: vpn_connections[0].tunnels[1].bgp.tunnel_cidr: '169.254.0.0/30': "
        "reserved by the system; allowed: a /30 inside 169.254.0.0/16 except 169.254.0.0/30, "
        "169.254.1.0/30, 169.254.2.0/30, 169.254.3.0/30, 169.254.4.0/30, 169.254.5.0/30, "
        "169.254.6.0/30, 169.254.169.252/30"
    )


def test_a_long_value_is_shortened() -> None:
    (problem,) = problems_of(replaced("interface: t1", f"interface: {'x' * 5000}"))
    assert len(str(problem)) < 400


def test_references_to_refused_resources_are_no_second_problem() -> None:
    text = replaced("- 192.168.0.0/16", "- 192.168.0.1/16").replace("198.51.100.6", "127.0.0.6")
    assert [problem.path for problem in problems_of(text)] == [
        "vpcs[1].cidrs[0]",
        "customer_gateways[2].address",
    ]
    misnamed = BASE.replace("customer3", "Customer3")
    assert [problem.path for problem in problems_of(misnamed)] == [
        "customer_gateways[2].name",
        "vpn_connections[1].tunnels[0].customer_gateway",
        "vpn_connections[1].tunnels[1].customer_gateway",
    ]


def test_a_list_that_is_none_breaks_no_references() -> None:
    text = BASE[: BASE.index("vpcs:")] + "vpcs: 5\n" + BASE[BASE.index("vpn_gateways:") :]
    assert [(problem.path, problem.message) for problem in problems_of(text)] == [("vpcs", "is not a list")]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", (1, 1), "the file is empty"),
        ("# only a comment\n", (1, 1), "the file is empty"),
        ("null\n", (1, 1), "the file is empty"),
        ("vpcs:\n  - {name: a\nvpn_gateways: []\n", (3, 13), "not valid YAML"),
        ("vpcs: []\n\tx: 1\n", (2, 1), "not valid YAML"),
        ("vpcs: []\n---\nvpcs: []\n", (2, 1), "not valid YAML"),
        ("vpcs: []\n# \x07\n", (2, 3), "a character that YAML does not allow"),
        ("vpcs: []\n# \ud800\n", (2, 3), "a character that YAML does not allow"),
        ("vpcs: *nowhere\n", (1, 7), "not valid YAML"),
        ("[" * 100_000, (1, 50), "nested more than 50 levels"),
        ("- " * 100_000, (1, 99), "nested more than 50 levels"),
        ("vpcs", (1, 1), "is not a mapping"),
        ("- vpcs", (1, 1), "is not a mapping"),
        ("? [vpcs]\n: 1\n", (1, 3), "is not a key"),
        ("vpcs: &me [*me]\n", (1, 7), "is not a mapping"),
        ("vpcs: [null]\n", (1, 8), "is empty"),
        ("vpcs: {}\n", (1, 7), "is not a list"),
        ("vpcs: !set []\nroutes: 1\n", (2, 1), "unknown key"),
        ("<<: {vpcs: []}\n", (1, 1), "merge keys are not supported"),
    ],
)
def test_structure(text: str, place: tuple[int, int], message: str) -> None:
    (problem,) = problems_of(text)
    assert (problem.line, problem.column) == place
    assert message in problem.message


def test_a_tag_is_refused() -> None:
    (problem,) = problems_of(replaced("name: conn2", "name: !secret conn2"))
    assert "!secret" in problem.message


def test_a_key_without_a_value_counts_as_not_given() -> None:
    loaded = load(replaced("hold_time: 30", "hold_time:"), "gw.yaml")
    bgp = loaded.intent.connection("conn1").tunnels[0].bgp
    assert bgp is not None
    assert bgp.hold_time == 30
    (problem,) = problems_of(replaced("vpn_gateway: gw2", "vpn_gateway:"))
    assert (problem.path, problem.message) == ("vpn_connections[1].vpn_gateway", "is missing")


def test_scalars_keep_their_spelling() -> None:
    text = replaced("asn: 65500", "asn: 1.10").replace("password: s3cret", "password: 012345")
    intent = load(text, "gw.yaml").intent
    bgp = intent.connection("conn1").tunnels[0].bgp
    assert bgp is not None
    assert bgp.password is not None
    assert intent.customer_gateway("customer1").asn == (1 << 16) + 10
    assert bgp.password.get_secret_value() == "012345"


def test_secrets_are_masked_everywhere() -> None:
    text = replaced("password: s3cret", "password: my hidden word").replace("Pr3shared", "'hush\" hush'")
    found = problems_of(text)
    assert [problem.value for problem in found] == ["********", "********"]
    assert all("hidden" not in str(problem) and "hush" not in str(problem) for problem in found)
    assert "s3cret" not in repr(load(BASE, "gw.yaml"))
    assert "Pr3shared" not in repr(load(BASE, "gw.yaml"))


FILES = {"good": "from-file\r\n", "two": "a b", "empty": "\n"}


def read_secret(name: str) -> str:
    if name == "binary":
        raise ValueError("it has characters that are not ASCII")
    if name not in FILES:
        raise FileNotFoundError(2, "No such file or directory")
    return FILES[name]


def with_file(name: str) -> str:
    return replaced("password: s3cret", f"password_file: {name}")


def test_secret_files_are_read_by_the_caller() -> None:
    bgp = load(with_file("good"), "gw.yaml", read_secret).intent.connection("conn1").tunnels[0].bgp
    assert bgp is not None
    assert bgp.password is not None
    assert (bgp.password.get_secret_value(), bgp.password_file) == ("from-file", "good")
    unread = load(with_file("good"), "gw.yaml").intent.connection("conn1").tunnels[0].bgp
    assert unread is not None
    assert (unread.password, unread.password_file) == (None, "good")
    key = load(replaced("pre_shared_key: Pr3shared", "pre_shared_key_file: good"), "gw.yaml", read_secret)
    ike = key.intent.connection("conn1").tunnels[0].ike
    assert ike is not None
    assert ike.pre_shared_key is not None
    assert ike.pre_shared_key.get_secret_value() == "from-file"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "can't be read: No such file or directory"),
        ("binary", "can't be read: it has characters that are not ASCII"),
        ("two", "what the file holds has a character that is not allowed"),
        ("empty", "what the file holds is empty"),
    ],
)
def test_bad_secret_files(name: str, message: str) -> None:
    (problem,) = problems_of(with_file(name), read_secret=read_secret)
    assert problem.path == "vpn_connections[0].tunnels[0].bgp.password_file"
    assert (problem.value, problem.message) == (name, message)


def test_warnings_say_what_is_not_applied_and_what_is_legacy() -> None:
    warnings = load(BASE, "gw.yaml").warnings
    tunnel = "vpn_connections[0].tunnels[0]"
    assert [warning.path for warning in warnings] == [
        "vpcs[0]",
        "vpcs[1]",
        "vpn_connections[0].tunnels",
        f"{tunnel}.ike",
        f"{tunnel}.ipsec",
        f"{tunnel}.dpd",
        f"{tunnel}.nat_traversal",
    ]
    assert "different ASNs" in warnings[2].message
    assert all("checked and not applied" in warning.message for warning in warnings[3:])


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("version: ikev2", "version: ikev1", "ike.version"),
        ("encryption: aes256", "encryption: des", "ike.encryption"),
        ("encryption: aes192", "encryption: 3des", "ipsec.encryption"),
        ("authentication: sha256", "authentication: md5", "ike.authentication"),
        ("authentication: sha512", "authentication: sha1", "ipsec.authentication"),
        ("pfs: group14", "pfs: group1", "ike.pfs"),
        ("pfs: group14", "pfs: group2", "ike.pfs"),
        ("pfs: disabled", "pfs: group5", "ipsec.pfs"),
    ],
)
def test_legacy_values_are_accepted_with_a_warning(old: str, new: str, path: str) -> None:
    before = load(BASE, "gw.yaml").warnings
    text = replaced(old, new)
    (warning,) = [item for item in load(text, "gw.yaml").warnings if item not in before]
    assert (warning.path, warning.line) == (f"vpn_connections[0].tunnels[0].{path}", line_of(text, new))
    assert "legacy" in warning.message


def test_aggressive_mode_is_legacy() -> None:
    text = replaced("version: ikev2\n          mode: main", "version: ikev1\n          mode: aggressive")
    legacy = [
        item.path.rpartition(".")[2] for item in load(text, "gw.yaml").warnings if "legacy" in item.message
    ]
    assert legacy == ["version", "mode"]


def test_a_tunnel_cidr_of_another_gateway_is_a_warning() -> None:
    text = replaced(
        "interface: t3\n",
        "interface: t3\n        bgp: {tunnel_cidr: 169.254.10.0/30, local_ip: 169.254.10.2}\n",
    )
    assert "VPN gateway gw1 of this file uses it too" in load(text, "gw.yaml").warnings[-1].message


def test_the_time_to_load_published_routes_grows_as_they_do() -> None:
    def seconds(count: int) -> tuple[float, Loaded]:
        prefixes = "".join(f"      - 11.{n >> 16}.{n >> 8 & 255}.{n & 255}/32\n" for n in range(count))
        text = replaced("      - 172.16.0.0/12\n      - 172.16.1.0/24\n", prefixes)
        begin = time.process_time()
        loaded = load(text, "gw.yaml")
        return time.process_time() - begin, loaded

    few = min(seconds(5_000)[0] for _ in range(3))
    many, loaded = seconds(100_000)
    assert many < 4 * 20 * few, "twenty times as many take twenty times as long, not four hundred times"
    assert len(loaded.intent.gateway("gw1").advertise) == 100_000
    assert str(loaded.intent.gateway("gw1").advertise[-1]) == "11.1.134.159/32"


@pytest.mark.parametrize(
    ("written", "hops"), [("true", 1), ("yes", 1), ("false", None), ("", None), ("7", 7)]
)
def test_ttl_security_is_hops_or_a_truth_value(written: str, hops: int | None) -> None:
    loaded = load(replaced("ttl_security: 1", f"ttl_security: {written}"), "gw.yaml")
    bgp = loaded.intent.connection("conn1").tunnels[0].bgp
    assert bgp is not None
    assert bgp.ttl_security == hops
