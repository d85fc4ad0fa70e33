"""The order in which workers get tests, and that only one worker runs beside the emulated machine."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.scheduling import Scheduling, rank

VM = [f"tests/vm/test_kernel.py::test_on_a_kernel_with_esp[{n}]" for n in range(3)]
OTHERS = [f"tests/unit/test_{n}.py::test_it" for n in range(20)]


class Worker:
    """What the scheduler knows of one: it runs what it was given, except the last test, until it may end."""

    def __init__(self, tests: list[str]) -> None:
        self.tests = tests
        self.given: list[int] = []
        self.done = 0
        self.shutting_down = False
        self.gateway = SimpleNamespace(id="gw")

    def send_runtest_some(self, indices: list[int]) -> None:
        assert not self.shutting_down
        self.given += indices

    def shutdown(self) -> None:
        self.shutting_down = True

    @property
    def may_run(self) -> bool:
        return len(self.given) - self.done > (0 if self.shutting_down else 1)

    def run_one(self, scheduling: Scheduling) -> str:
        index = self.given[self.done]
        self.done += 1
        scheduling.mark_test_complete(self, index)  # type: ignore[arg-type]
        return self.tests[index]


def scheduled(tests: list[str], count: int) -> tuple[Scheduling, list[Worker]]:
    """The scheduler and its workers, at the beginning of a run."""
    config: Any = SimpleNamespace(
        option=SimpleNamespace(loadscopereorder=True), getvalue=lambda _: [f"{count}*popen"]
    )
    scheduling = Scheduling(config)
    workers: list[Any] = [Worker(tests) for _ in range(count)]
    for worker in workers:
        scheduling.add_node(worker)
        scheduling.add_node_collection(worker, tests)
    scheduling.schedule()
    return scheduling, workers


def finish(scheduling: Scheduling, workers: list[Worker]) -> list[str]:
    """Let all run to the end, as xdist does; the tests in the order of their ends."""
    ended = []
    while True:
        running = [worker for worker in workers if worker.may_run]
        ended += [worker.run_one(scheduling) for worker in running]
        if scheduling.tests_finished:
            for worker in workers:
                worker.shutdown()
        if not running and not any(worker.may_run for worker in workers):
            return ended


def test_one_worker_runs_beside_the_machine_and_the_rest_afterwards() -> None:
    scheduling, (machine, beside, *held) = scheduled(VM + OTHERS, 4)
    assert [len(worker.given) for worker in (machine, beside)] == [len(VM), 2]
    assert [worker.given for worker in held] == [[], []]
    for _ in range(5):
        beside.run_one(scheduling)
    for _ in VM[1:]:
        machine.run_one(scheduling)
    assert [worker.given for worker in held] == [[], []], "the machine's last test still runs"
    machine.run_one(scheduling)
    assert all(worker.may_run for worker in held)
    rest = finish(scheduling, [machine, beside, *held])
    assert len(rest) == len(OTHERS) - 5


@pytest.mark.parametrize("others", [0, 1, 2, 3, 20])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_every_test_runs_once_and_then_all_workers_end(count: int, others: int) -> None:
    tests = VM + OTHERS[:others]
    scheduling, workers = scheduled(tests, count)
    assert sorted(finish(scheduling, workers)) == sorted(tests)
    assert scheduling.tests_finished
    assert all(worker.shutting_down for worker in workers)


def test_what_waits_begins_before_what_calculates_and_the_quick_ones_at_the_end() -> None:
    files = ["vm/test_kernel.py", "package/test_package.py", "docs/test_commands.py", "e2e/test_lab_up.py"]
    files += ["browser/lab/test_pages.py", "e2e/test_bench.py", "interop/test_bfd.py", "unit/test_one.py"]
    items: list[Any] = [SimpleNamespace(nodeid=f"tests/{file}::test_it") for file in files]
    ranks = [rank(item) for item in items]
    assert ranks == sorted(set(ranks))


def test_without_the_machine_nobody_is_held_back() -> None:
    _, workers = scheduled(OTHERS, 3)
    assert all(worker.may_run for worker in workers)


def test_one_that_dies_beside_the_machine_is_replaced() -> None:
    tests = VM + OTHERS
    scheduling, (machine, beside, held) = scheduled(tests, 3)
    first: Any = beside
    assert scheduling.remove_node(first) == OTHERS[0]
    replacement: Any = Worker(tests)
    scheduling.add_node(replacement)
    scheduling.add_node_collection(replacement, tests)
    scheduling.schedule()
    assert held.may_run
    assert not replacement.given
    assert len(finish(scheduling, [machine, held, replacement])) == len(tests)
