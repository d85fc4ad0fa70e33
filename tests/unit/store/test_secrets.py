"""The key file, and what is sealed with its keys."""

from __future__ import annotations

import base64
import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from bgpsvc.store.errors import SecretError
from bgpsvc.store.secrets import KeyRing

WHO = ("vpn_connections", "conn1", "/tunnels/0/ike/pre_shared_key")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secret.key"


def test_what_is_sealed_is_unsealed_by_the_next_life(path: Path) -> None:
    sealed = KeyRing.create(path).seal(WHO, "pässwörd ☃")
    assert KeyRing.load(path).unseal(WHO, sealed) == "pässwörd ☃"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secret.key"]


def test_equal_secrets_look_different(path: Path) -> None:
    ring = KeyRing.create(path)
    one, other = ring.seal(WHO, "same"), ring.seal(WHO, "same")
    assert one.nonce != other.nonce
    assert one.ciphertext != other.ciphertext


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_secret_belongs_to_its_place(path: Path, place: int) -> None:
    ring = KeyRing.create(path)
    sealed = ring.seal(WHO, "secret")
    other = tuple(part + "x" if n == place else part for n, part in enumerate(WHO))
    with pytest.raises(SecretError, match=f"does not fit key {sealed.key_id} of {path}"):
        ring.unseal(other, sealed)
    # Where one part ends and the next begins counts too.
    with pytest.raises(SecretError):
        ring.unseal((WHO[0] + WHO[1], WHO[2]), sealed)


@pytest.mark.parametrize("part", ["nonce", "ciphertext"])
def test_every_changed_byte_is_noticed(path: Path, part: str) -> None:
    ring = KeyRing.create(path)
    sealed = ring.seal(WHO, "secret")
    content = getattr(sealed, part)
    for n in range(len(content)):
        changed = content[:n] + bytes([content[n] ^ 1]) + content[n + 1 :]
        with pytest.raises(SecretError):
            ring.unseal(WHO, replace(sealed, **{part: changed}))


def test_errors_name_key_and_file_and_no_secret(path: Path) -> None:
    ring = KeyRing.create(path)
    sealed = ring.seal(WHO, "very secret")
    with pytest.raises(SecretError) as caught:
        ring.unseal(WHO, replace(sealed, key_id="feedbeef"))
    assert f"key feedbeef, which {path} does not have (it has {ring.ids[0]})" in str(caught.value)
    with pytest.raises(SecretError) as caught:
        ring.unseal(("other",), sealed)
    assert "very secret" not in str(caught.value)
    assert "very secret" not in repr(sealed)


def test_the_newest_key_encrypts_and_all_decrypt(path: Path) -> None:
    ring = KeyRing.create(path)
    first = ring.seal(WHO, "old")
    added = ring.add()
    second = ring.seal(WHO, "new")
    assert (first.key_id, second.key_id) == ring.ids
    assert second.key_id == added
    for known in (ring, KeyRing.load(path)):
        assert known.unseal(WHO, first) == "old"
        assert known.unseal(WHO, second) == "new"
    ring.keep({first.key_id})
    assert list(ring.ids) == [first.key_id, added]
    ring.keep(())
    assert list(ring.ids) == list(KeyRing.load(path).ids) == [added]
    with pytest.raises(SecretError, match=first.key_id):
        ring.unseal(WHO, first)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_existing_file_is_never_replaced_by_a_first_key(path: Path) -> None:
    ring = KeyRing.create(path)
    with pytest.raises(FileExistsError):
        KeyRing.create(path)
    assert KeyRing.load(path).ids == ring.ids
    assert [entry.name for entry in path.parent.iterdir()] == ["secret.key"]


def test_a_change_that_cannot_be_written_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = KeyRing.create(path)
    before, ids = path.read_bytes(), ring.ids

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        ring.add()
    assert ring.ids == ids
    assert path.read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666, 0o610])
def test_a_file_open_to_others_is_refused(path: Path, mode: int) -> None:
    KeyRing.create(path)
    path.chmod(mode)
    with pytest.raises(SecretError, match=rf"mode {mode:04o}\). Allowed: 0600. Run: chmod 600 {path}"):
        KeyRing.load(path)


def test_files_are_made_for_the_owner_alone_whatever_the_umask(path: Path) -> None:
    old = os.umask(0)
    try:
        KeyRing.create(path).add()
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def short_key(document: dict[str, list[dict[str, str]]]) -> object:
    document["keys"][0]["key"] = base64.b64encode(b"x" * 16).decode()
    return document


@pytest.mark.parametrize(
    "damage",
    [
        lambda document: {"keys": []},
        lambda document: {},
        lambda document: [],
        lambda document: {"keys": [{"id": "a"}]},
        lambda document: {"keys": [{"id": "a", "key": "*not base64*"}]},
        lambda document: {"keys": [{"id": "a", "key": 5}]},
        short_key,
    ],
)
def test_a_damaged_file_is_refused_without_showing_it(path: Path, damage: object) -> None:
    KeyRing.create(path)
    whole = json.loads(path.read_text())
    value = whole["keys"][0]["key"]
    path.write_text(json.dumps(damage(whole)))  # type: ignore[operator]
    with pytest.raises(SecretError, match="is damaged") as caught:
        KeyRing.load(path)
    assert value not in str(caught.value)
    for cut in (0, 1, 40):
        path.write_text(path.read_text()[:cut])
        with pytest.raises(SecretError, match="is damaged"):
            KeyRing.load(path)


def test_a_file_of_bytes_is_refused(path: Path) -> None:
    KeyRing.create(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SecretError, match="is damaged"):
        KeyRing.load(path)


def test_no_file_is_said_as_such(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        KeyRing.load(path)
    path.mkdir(mode=0o700)
    with pytest.raises((SecretError, IsADirectoryError)):
        KeyRing.load(path)


def test_a_link_planted_in_place_of_the_new_file_is_not_followed(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    path.with_name("secret.key.new").symlink_to(target)
    KeyRing.create(path)
    assert not target.exists()


def test_ids_are_not_given_twice(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = iter(["0000000a", "0000000a", "0000000b"])
    monkeypatch.setattr("secrets.token_hex", lambda size: next(given))
    ring = KeyRing.create(path)
    ring.add()
    assert ring.ids == ("0000000a", "0000000b")
