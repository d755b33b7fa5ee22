"""`python -m tests.simulation SEEDS`: run seeds until one fails, or all have passed."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.simulation.run import PROCESSES, Result, parse_seeds, run_seed, run_seeds


def main() -> int:
    """0 when every seed passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument(
        "seeds", help='"100": so many fresh seeds; "0-999": these; "s:12345": this one; "commit": those of the tests'
    )
    parser.add_argument("--processes", type=int, default=PROCESSES)
    parser.add_argument("--trace", type=Path, help="write everything that happens to this file (one seed)")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first failure")
    arguments = parser.parse_args()
    seeds = parse_seeds(arguments.seeds)
    if len(seeds) == 1:
        result = run_seed(seeds[0], trace=arguments.trace)
        print(result, f"trace {result.digest}", sep="\n")
        return int(result.error is not None)
    return _run_many(seeds, arguments.processes, keep_going=arguments.keep_going)


def _run_many(seeds: list[int], processes: int, *, keep_going: bool) -> int:
    begun, passed, failed = time.monotonic(), 0, []
    for result in run_seeds(seeds, processes=processes):
        if result.error is None:
            passed += 1
            print(result, flush=True)
        else:
            failed.append(result)
            print(result, flush=True)
            if not keep_going:
                break
    _sum_up(passed, failed, time.monotonic() - begun)
    return int(bool(failed))


def _sum_up(passed: int, failed: list[Result], seconds: float) -> None:
    print(f"{passed} seeds passed, {len(failed)} failed, in {seconds:.0f} s")
    for result in failed:
        print(f"  {result.replay}    # {(result.error or '').splitlines()[0]}")


if __name__ == "__main__":
    sys.exit(main())
