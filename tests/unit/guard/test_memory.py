"""What one worker leaves to the next, wherever it is killed."""

from __future__ import annotations

import os

import pytest

from bgpsvc.guard.memory import Memory


@pytest.fixture
def memory() -> Memory:
    return Memory()


def torn(memory: Memory, monkeypatch: pytest.MonkeyPatch, write: object, length: int) -> None:
    """Carry out a write of which only the first bytes get into the file."""
    whole = os.pwrite

    def partial(fd: int, data: bytes, offset: int) -> int:
        return whole(fd, data[:length], offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", partial)
        patch.setattr(os, "ftruncate", lambda *_: None)
        assert callable(write)
        write()


def test_what_was_written_last_is_read(memory: Memory) -> None:
    assert memory.orders.read() is None
    assert list(memory.tunnels.read()) == []
    for value in (["a" * 5000], ["b"], ["c" * 100]):
        memory.orders.write(value)
        assert memory.orders.read() == value
    memory.tunnels.write(3, {"x": 1})
    memory.tunnels.write(1, [1])
    memory.tunnels.write(3, {"x": 2})
    assert list(memory.tunnels.read()) == [(1, [1]), (3, {"x": 2})]
    memory.tunnels.write(3, None)
    assert list(memory.tunnels.read()) == [(1, [1])]
    memory.clear()
    assert (memory.orders.read(), list(memory.tunnels.read())) == (None, [])


@pytest.mark.parametrize("length", [0, 3, 8, 15, 16, 17, 30])
def test_a_torn_write_leaves_what_was_there_before(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    for value in ("first" * 9, "second" * 9, "third" * 9):
        memory.orders.write(value)
        memory.tunnels.write(0, value)
    torn(memory, monkeypatch, lambda: memory.orders.write("torn" * 9), length)
    torn(memory, monkeypatch, lambda: memory.tunnels.write(0, "torn" * 9), length)
    assert memory.orders.read() == "third" * 9
    assert list(memory.tunnels.read()) == [(0, "third" * 9)]
    memory.orders.write("after")
    memory.tunnels.write(0, "after")
    assert memory.orders.read() == "after"
    assert list(memory.tunnels.read()) == [(0, "after")]


def test_another_process_goes_on_in_its_files(memory: Memory) -> None:
    memory.tunnels.write(0, "of the parent")
    child = os.fork()
    if not child:
        list(memory.tunnels.read())
        memory.tunnels.write(0, "of the child")
        memory.takeovers += 1
        memory.promise = 12.5
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert list(memory.tunnels.read()) == [(0, "of the child")]
    assert (memory.takeovers, memory.promise) == (1, 12.5)


def test_a_record_that_is_too_long_is_refused(memory: Memory) -> None:
    memory.tunnels.write(0, "short")
    with pytest.raises(ValueError, match="2048 are the most"):
        memory.tunnels.write(0, "x" * 2048)
    assert list(memory.tunnels.read()) == [(0, "short")]
