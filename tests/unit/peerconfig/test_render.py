"""Templates: the operator's before ours, in a sandbox, and mistakes in them with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bgpsvc.peerconfig.platforms import PLATFORMS
from bgpsvc.peerconfig.render import BrokenTemplate, UnknownPlatform, platforms, render
from bgpsvc.peerconfig.words import Unsupported, pick
from tests.unit.peerconfig.scenarios import REFERENCE, TRAFFIC

FACTS = REFERENCE.facts


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A directory with a template of the operator's."""
    (tmp_path / "acme.j2").write_text(
        "{#\ntitle: ACME VPN box\nextension: conf\nnotes: All releases.\ncomment: !!\n#}\n"
        "{{ header() }}\n{% include '_part.j2' %}\n{{ peer.gateway_networks[0] | netmask }}\n"
    )
    (tmp_path / "_part.j2").write_text("part of {{ peer.connection }}\n")
    return tmp_path


def test_a_platform_of_the_operators(own: Path) -> None:
    found = platforms(own)
    assert [*found] == [*PLATFORMS, "acme"]
    assert (found["acme"].title, found["acme"].notes) == ("ACME VPN box", "All releases.")
    made = render(FACTS, "acme", own)
    assert (made.filename, made.media_type) == ("conn1-acme.conf", "text/plain")
    first, second, *_, last = made.text.splitlines()
    assert first == "!! ACME VPN box: the other side of VPN connection conn1 (VPN gateway gw1, VPC vpc1)."
    assert second.startswith("!! ")
    assert "part of conn1" in made.text
    assert last == "255.255.0.0"


def test_one_of_the_same_name_replaces_ours_and_has_its_helpers(own: Path) -> None:
    (own / "strongswan-frr.j2").write_text("{{ ike_settings(peer.tunnels[0])[0] }}")
    assert platforms(own)["strongswan-frr"].title == PLATFORMS["strongswan-frr"].title
    assert render(FACTS, "strongswan-frr", own).text == "proposals = aes256-sha256-modp2048\n"
    # A part that ours includes is replaced as well.
    (own / "_strongswan.j2").write_text("# parts of our own\n")
    assert "# parts of our own\n" in render(FACTS, "strongswan-bird", own).text


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a\n{{ peer.nothing }}\n", 2, "PeerFacts object' has no attribute 'nothing'"),
        ("a\nb\n{{ nothing }}\n", 3, "'nothing' is undefined"),
        ("a\n{% if %}\n", 2, "Expected an expression"),
        ("{% include 'none.j2' %}\n", 1, "there is no template 'none.j2'"),
        ("{% include '/etc/passwd' %}\n", 1, "there is no template '/etc/passwd'"),
        ("{% include '../facts.py' %}\n", 1, "there is no template"),
        ("\n{{ ''.__class__.__mro__ }}\n", 2, "is unsafe"),
        ("\n{{ peer.tunnels[0].ike.parse_file('/etc/passwd') }}\n", 2, "'parse_file' of 'IkeSettings'"),
        ("\n{{ peer.tunnels[0].ipsec.parse_raw('{}') }}\n", 2, "is unsafe"),
        ("\n{{ (peer.tunnels | map(attribute='dpd.parse_file') | first)('/etc/passwd') }}\n", 2, "is unsafe"),
        ("\n{{ 1 / 0 }}\n", 2, "division by zero"),
        ("\n{{ peer.tunnels[7] }}\n", 2, "has no element 7"),
        ("\n{{ peer.connection + 1 }}\n", 2, "can only concatenate str"),
        ("{% for n in range(1000000) %}{% endfor %}", 1, "Range too big"),
    ],
)
def test_a_mistake_is_told_with_file_and_line(own: Path, text: str, line: int, said: str) -> None:
    (own / "acme.j2").write_text(text)
    with pytest.raises(BrokenTemplate) as caught:
        render(FACTS, "acme", own)
    assert (caught.value.file, caught.value.line) == (f"{own}/acme.j2", line)
    assert said in caught.value.what
    assert str(caught.value).startswith(f"{own}/acme.j2:{line}: ")


@pytest.mark.parametrize("secret", ["pre_shared_key", "bgp.password"])
def test_a_mistake_tells_no_secret(own: Path, secret: str) -> None:
    (own / "acme.j2").write_text("{{ {}[peer.tunnels[0]." + secret + "] }}")
    with pytest.raises(BrokenTemplate) as caught:
        render(FACTS, "acme", own)
    assert caught.value.what == "fails, and the reason has a secret in it"
    assert caught.value.line == 1


def test_a_mistake_in_a_part_names_the_part(own: Path) -> None:
    (own / "_part.j2").write_text("\n\n{{ nothing }}")
    with pytest.raises(BrokenTemplate, match=r"/_part\.j2:3: 'nothing' is undefined"):
        render(FACTS, "acme", own)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("Acme.j2", b"", "is not the name of a platform"),
        ("acme.j2", b"one\n\xff\n", "acme.j2:2: is not UTF-8"),
        ("acme.j2", b"x" * 2_000_000, "is longer than 1048576 bytes"),
        ("acme.j2", b"{# extension: ../x #}", "extension '../x'; allowed: 1 to 8 of a-z and 0-9"),
    ],
)
def test_files_that_cannot_be_templates(own: Path, name: str, content: bytes, said: str) -> None:
    (own / name).write_bytes(content)
    with pytest.raises(BrokenTemplate, match=said.replace(".", r"\.")):
        platforms(own)


def test_a_directory_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(BrokenTemplate, match="none: cannot be read: No such file or directory"):
        platforms(tmp_path / "none")


def test_unknown_platforms_are_told_with_those_there_are() -> None:
    for name in ("pix", "../bgpsvc", "_strongswan"):
        with pytest.raises(UnknownPlatform, match="there is bgpsvc, strongswan-frr"):
            render(FACTS, name)


def test_what_a_platform_cannot_do_is_told_not_written() -> None:
    with pytest.raises(Unsupported) as caught:
        pick({"aes256": "AES-256"}, "des", "IKE encryption", FACTS.tunnels[1])
    assert str(caught.value) == "tunnel 2: IKE encryption des is not possible there; allowed: aes256"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_no_secret_where_none_was_asked_for(platform: str) -> None:
    """And all that the operator must fill in can be found."""
    text = render(TRAFFIC.facts, platform).text if _can(platform) else "EDIT <pre-shared key of tunnel 1>"
    assert "key-1" not in text
    assert "pre-shared key of tunnel 1" in text


def _can(platform: str) -> bool:
    try:
        render(TRAFFIC.facts, platform)
    except Unsupported:
        return False
    return True
