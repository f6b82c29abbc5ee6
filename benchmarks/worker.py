"""One contestant in one process: builds its cells, verifies, measures, prints a line for each.

Started by run.py as `python -P worker.py JOB`, where JOB is JSON; the output is that of the floor
programs.
"""

from __future__ import annotations

import gc
import importlib
import json
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

from harness.cells import Cell, Factory, Job, Measurement, Task, Unable
from harness.data import load_offsets


def timed(cell: Cell, ops: int) -> tuple[float, float]:
    """Nanoseconds per operation: of the clock, and of the process's CPUs."""
    cell.prepare(ops)
    cpu, clock = time.process_time_ns(), time.perf_counter_ns()
    cell.run()
    took, used = time.perf_counter_ns() - clock, time.process_time_ns() - cpu
    return took / ops, used / ops


def fill_the_time(cell: Cell, seconds: float) -> int:
    """Warm up, and find how many operations take `seconds`."""
    ops = cell.unit
    most = max(cell.most // cell.unit, 1) * cell.unit
    while True:
        each, _ = timed(cell, ops)
        if each * ops >= seconds / 4 * 1e9 or ops * 2 > most:
            wanted = int(seconds * 1e9 / max(each, 1.0))
            return min(max(wanted // cell.unit, 1) * cell.unit, most)
        ops *= 2


def measure(factory: Factory, task: Task, repeats: int) -> dict[str, Any]:
    cell = factory(task)
    if isinstance(cell, Measurement):
        value = statistics.median(cell.measure() for _ in range(repeats))
        return {"cell": task.cell, "value": value, "cpu": 0.0, "ops": repeats}
    if isinstance(cell, Job):
        return measure_job(cell, task, repeats)
    try:
        cell.verify()
        gc.collect()
        gc.freeze()
        ops = fill_the_time(cell, task.seconds)
        runs = [timed(cell, ops) for _ in range(repeats)]
        cell.verify()
    finally:
        cell.close()
    return {
        "cell": task.cell,
        "value": statistics.median(value for value, _ in runs),
        "cpu": statistics.median(cpu for _, cpu in runs),
        "ops": ops,
    }


def cpu_ns() -> float:
    """Of this process with the kernel's workers in it, and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time_ns() + (children.ru_utime + children.ru_stime) * 1e9


def timed_job(job: Job, ops: int) -> tuple[float, float]:
    cpu, clock = cpu_ns(), time.perf_counter_ns()
    job.run()
    took, used = time.perf_counter_ns() - clock, cpu_ns() - cpu
    return took / ops, used / ops


def measure_job(job: Job, task: Task, repeats: int) -> dict[str, Any]:
    """As a whole, after a first run, or only once if the state of things is good for one."""
    job.warm_up()
    if not task.once:
        job.run()
    gc.collect()
    gc.freeze()
    runs = [timed_job(job, task.count) for _ in range(repeats)]
    notes = job.notes()
    job.verify()
    return {
        "cell": task.cell,
        "value": statistics.median(value for value, _ in runs),
        "cpu": statistics.median(cpu for _, cpu in runs),
        "ops": task.count,
        "notes": notes,
    }


def main() -> int:
    job = json.loads(sys.argv[1])
    contestants = importlib.import_module(job["adapter"]).CONTESTANTS
    factory: Factory = contestants[job["question"]][job["variant"]]
    offsets = load_offsets(job["offsets"]) if job["offsets"] else []
    for name in job["cells"]:
        rest = (job["once"], job["new"])
        task = Task(name, job["file"], job["direct"], offsets, job["seconds"], *rest)
        try:
            line = measure(factory, task, job["repeats"])
        except Unable as reason:
            line = {"cell": name, "unable": str(reason)}
        print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
