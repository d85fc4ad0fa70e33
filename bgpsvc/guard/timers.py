"""What is due when. Pure."""

from __future__ import annotations

import heapq
import itertools
import math
from typing import Protocol


class Task(Protocol):
    """Something that is to be run now and then; compared and hashed by identity."""

    def run(self, now: float) -> float:
        """Do what is due; when to be run again, math.inf for never."""


class Timers:
    """Tasks by the time when they are due. Setting one again replaces its time."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Task]] = []
        self._when: dict[Task, float] = {}
        self._serial = itertools.count()

    def set(self, task: Task, when: float) -> None:
        """Have a task run at a time; math.inf for never."""
        if when == math.inf:
            self._when.pop(task, None)
        elif self._when.get(task) != when:
            self._when[task] = when
            heapq.heappush(self._heap, (when, next(self._serial), task))

    def cancel(self, task: Task) -> None:
        """Have a task not run any more."""
        self._when.pop(task, None)

    def next(self) -> float:
        """When the next task is due; math.inf if none is."""
        heap = self._heap
        while heap and self._when.get(heap[0][2]) != heap[0][0]:
            heapq.heappop(heap)  # cancelled, or has another time now
        return heap[0][0] if heap else math.inf

    def run(self, now: float, most: int) -> int:
        """Run what is due, the earliest first, at most so many tasks; how many were run."""
        for done in range(most):
            if self.next() > now:
                return done
            _, _, task = heapq.heappop(self._heap)
            del self._when[task]
            self.set(task, task.run(now))
        return most
