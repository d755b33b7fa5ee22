"""`python -m benchmarks [NAME ...]`: run the named benchmarks, or all: one JSON document, and tables beside it.

The document goes to the standard output, the tables to the other one, each as soon as it is there.
"""

from __future__ import annotations

import importlib
import json
import os
import sys

from benchmarks.machine import describe
from benchmarks.table import render

ALL = (
    *("submit", "latency", "refill", "throughput", "slots", "idle", "updates", "launches", "failover", "wire", "flood"),
    *("containers", "logs", "matching", "firstfit", "packing", "fairness", "whole_agent", "preemption", "rivals"),
    *("bands", "composites", "mosaics", "subsets", "atmosphere"),
)


def main(names: list[str]) -> int:
    """Run and print; exit code 2 for an unknown name."""
    unknown = set(names) - set(ALL)
    if unknown:
        sys.stderr.write(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(ALL)}\n")
        return 2
    machine = describe()
    figures = {name: _run(name) for name in names or ALL}
    print(json.dumps({"machine": machine, **figures}, indent=2))
    return 0


def _run(name: str) -> dict[str, object]:
    """The figures of one benchmark, and how busy the machine was when it began."""
    load = round(os.getloadavg()[0], 2)
    figures = {**importlib.import_module(f"benchmarks.{name}").run(), "load_before": load}
    sys.stderr.write(render(name, figures) + "\n\n")
    return figures


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
