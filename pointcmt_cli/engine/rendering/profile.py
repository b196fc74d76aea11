"""Where the time of a run goes. In: the ends of stages, in this process or others; out: seconds per stage, summed.

A process is never without a stage: what has passed since the last end belongs to the stage that ends now. Two looks at
the clocks, a microsecond in all, so that nobody has to switch it on.
"""

import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, TypeAlias

Times: TypeAlias = dict[str, tuple[float, float]]
"""Seconds of processor and of wall clock by stage."""
START = "start-up and first shapes"
"""Libraries, compiled code and the renderer are loaded when the first shape of a process asks for them."""
ORDER = [
    *(START, "find what to draw", "read and parse", "draw", "sample points", "hash", "compress"),
    *("write", "between shapes", "main process meanwhile", "put into one file"),
]
"""Stages as they are shown; "between shapes" a process waits for the next one."""


class Laps:
    """The stages of this process. `cpu`: processor seconds of it that are spent already and not counted."""

    def __init__(self, cpu: float | None = None) -> None:
        self._cpu = time.process_time() if cpu is None else cpu
        self._wall = self.began = time.perf_counter()
        self._times: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self.starting = False
        """While it is set, everything counts as START."""
        self.processes = 1
        """Those that draw."""

    def end(self, stage: str) -> None:
        """What has passed since the last end was `stage`."""
        cpu, wall = time.process_time(), time.perf_counter()
        spent = self._times[START if self.starting else stage]
        spent[0] += cpu - self._cpu
        spent[1] += wall - self._wall
        self._cpu, self._wall = cpu, wall

    def add(self, times: Mapping[str, tuple[float, float]]) -> None:
        """Those of another process."""
        for stage, (cpu, wall) in times.items():
            self._times[stage][0] += cpu
            self._times[stage][1] += wall

    def take(self) -> Times:
        """All so far, which is then forgotten."""
        times = {stage: (cpu, wall) for stage, (cpu, wall) in self._times.items()}
        self._times.clear()
        return times


def summary(laps: Laps, views: int) -> dict[str, Any]:
    """A run up to now, which has drawn so many views, as plain values. Forgets them."""
    seconds, times = time.perf_counter() - laps.began, laps.take()
    cpu = sum(spent for spent, _ in times.values())
    stages = {
        stage: {
            "cpu_seconds": times[stage][0],
            "share": times[stage][0] / cpu,
            "seconds": times[stage][1],
        }
        for stage in ORDER
        if stage in times
    }
    return {
        "processes": laps.processes,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "views": views,
        "views_per_second": views / seconds,
        "views_per_cpu_second": views / cpu,
        "stages": stages,
    }
