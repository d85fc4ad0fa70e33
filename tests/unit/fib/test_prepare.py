"""Sysctls that forwarding needs, on a folder that stands for /proc/sys."""

from __future__ import annotations

from pathlib import Path

import pytest

from bgpsvc.fib.prepare import SYSCTLS, prepare


@pytest.fixture
def sysctls(tmp_path: Path) -> Path:
    for name in SYSCTLS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("7\n")
    return tmp_path


def test_sets_what_differs_and_says_so(sysctls: Path) -> None:
    (sysctls / "net/ipv4/ip_forward").write_text("1\n")
    changed = {"net.ipv4.nexthop_compat_mode": "0", "net.ipv6.conf.all.forwarding": "1"}
    assert prepare(sysctls) == changed
    assert (sysctls / "net/ipv4/nexthop_compat_mode").read_text() == "0"
    assert prepare(sysctls) == {}


def test_an_old_kernel_is_named(sysctls: Path) -> None:
    (sysctls / "net/ipv4/nexthop_compat_mode").unlink()
    with pytest.raises(OSError, match=r"net\.ipv4\.nexthop_compat_mode does not exist: Linux 5\.3"):
        prepare(sysctls)


def test_a_read_only_setting_is_fine_if_it_is_right(sysctls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(sysctls)

    def read_only(path: Path, text: str) -> int:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "write_text", read_only)
    assert prepare(sysctls) == {}


def test_a_read_only_setting_that_is_wrong_names_the_remedy(
    sysctls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(path: Path, text: str) -> int:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "write_text", read_only)
    remedy = r"Read-only file system.*--sysctl net\.ipv4\.nexthop_compat_mode=0"
    with pytest.raises(OSError, match=remedy) as caught:
        prepare(sysctls)
    assert caught.value.errno == 30
