"""Measurements in a process of their own: on one core, with no threads of numpy's, its memory counted from nothing."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from typing import Any

from benchmarks.cluster import ROOT

ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def measure(module: str, **order: Any) -> dict[str, Any]:
    """What `module.main(order)` answers, run by `python -m benchmarks.children` on the last of our cores."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.children", module, json.dumps(order)],
        cwd=ROOT,
        env={**os.environ, **ONE_THREAD},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{module} {order} failed: {done.stderr}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def absent(package: str) -> str:
    """What a figure says whose program is missing: what a child says beside its figures, nobody hears."""
    return f"absent (Debian: apt-get install {package})"


def main(module: str, order: str) -> None:
    """The child."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(json.dumps(importlib.import_module(module).main(json.loads(order))))


if __name__ == "__main__":
    main(*sys.argv[1:])
