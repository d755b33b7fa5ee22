"""`python -m benchmarks [NAME ...]`: run the named benchmarks, or all, and print one JSON document."""

from __future__ import annotations

import importlib
import json
import sys

from benchmarks.machine import describe

ALL = ("submit", "latency", "refill", "throughput", "idle", "updates", "launches", "failover", "wire", "flood")


def main(names: list[str]) -> int:
    """Run and print; exit code 2 for an unknown name."""
    unknown = set(names) - set(ALL)
    if unknown:
        sys.stderr.write(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(ALL)}\n")
        return 2
    figures = {name: importlib.import_module(f"benchmarks.{name}").run() for name in names or ALL}
    print(json.dumps({"machine": describe(), **figures}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
