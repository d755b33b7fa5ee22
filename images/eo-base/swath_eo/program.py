"""What the main function of every processing image does: parameters, memory, progress, results and exit codes."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from swath_eo.errors import EoError, OutputError, ParameterError
from swath_eo.output.files import open_output

WINDOW = 1024  # pixels a side that are worked on at a time
_SMALLEST_WINDOW, _LARGEST_WINDOW = 16, 8192
_LEAST_WINDOW = 256  # pixels a side; smaller ones would save nothing
# Measured: a program with GDAL's cache takes 240 MiB, beside its windows.
_PROGRAM_MIB = 300

T = TypeVar("T")


class Parser(argparse.ArgumentParser):
    """Raises ParameterError where others end the process."""

    def error(self, message: str) -> NoReturn:
        raise ParameterError(message)


def make_parser(name: str, description: str | None) -> Parser:
    """With what every program takes: `--window` and `--output`."""
    parser = Parser(prog=name, description=description, allow_abbrev=False)
    parser.add_argument("--window", type=int, default=WINDOW, help="pixels a side that are worked on at a time")
    parser.add_argument("--output", type=Path, required=True, help="directory for all that is made")
    return parser


def check_common(window: int, output: Path) -> None:
    """Raises ParameterError and OutputError."""
    if not _SMALLEST_WINDOW <= window <= _LARGEST_WINDOW:
        raise ParameterError(f"WINDOW is {window}, not within {_SMALLEST_WINDOW}..{_LARGEST_WINDOW}")
    if not output.is_dir():
        raise OutputError(f"{output} is no directory")


def fit_window(window: int, environ: Mapping[str, str], *, bytes_per_pixel: float) -> int:
    """`window`, or what ALLOCATED_MEM (MiB) holds where that is less; no result depends on it. Raises ParameterError."""
    mib = allocated_mib(environ)
    if mib is None:
        return window
    largest = largest_window(mib, bytes_per_pixel=bytes_per_pixel)
    if window <= largest:
        return window
    say(f"windows of {largest} pixels a side instead of {window}: {mib:g} MiB are allocated")
    return largest


def allocated_mib(environ: Mapping[str, str]) -> float | None:
    """ALLOCATED_MEM, None where nobody allocates memory. Raises ParameterError."""
    allocated = environ.get("ALLOCATED_MEM")
    if allocated is None:
        return None
    try:
        return float(allocated)
    except ValueError as error:
        raise ParameterError(f"ALLOCATED_MEM is {allocated!r}, no number of MiB") from error


def largest_window(mib: float, *, bytes_per_pixel: float) -> int:
    """Pixels a side of the largest window that `mib` MiB hold beside the program, in steps of 256."""
    pixels = max(mib - _PROGRAM_MIB, 0) * 2**20 / bytes_per_pixel
    return max(math.isqrt(int(pixels)) // _LEAST_WINDOW * _LEAST_WINDOW, _LEAST_WINDOW)


def with_progress(items: Iterable[T], total: int, what: str = "windows") -> Iterator[T]:
    """The items, with a line at each tenth of `total` that is done."""
    told = 0
    for number, item in enumerate(items, 1):
        yield item
        if number * 10 // total > told:
            told = number * 10 // total
            say(f"progress {told * 10} % ({number} of {total} {what})")


def say(line: str) -> None:
    """A line of the log, at once."""
    print(line, flush=True)


def warn(line: str) -> None:
    """A line that a user should look at."""
    print(f"warning: {line}", file=sys.stderr, flush=True)


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """The file appears when it is complete. Raises OutputError."""
    with open_output(path) as file:
        file.write((json.dumps(document, indent=1, allow_nan=False) + "\n").encode())


def write_values(output: Path, values: Mapping[str, Any]) -> None:
    """What the manifest's `outputs.json` promises, where the platform looks for it."""
    write_json(output / "seed.outputs.json", values)


def run_program(
    process: Callable[[Sequence[str], Mapping[str, str]], Mapping[str, Any]],
    arguments: Sequence[str],
    environ: Mapping[str, str],
) -> int:
    """Runs `process`, tells its summary as one line of JSON, and returns the exit code that the manifest names."""
    started = time.monotonic()
    try:
        summary = process(arguments, environ)
    except EoError as error:
        print(f"{error.name}: {error}", file=sys.stderr, flush=True)
        say(json.dumps({"status": "failed", "error": error.name, "message": str(error)}))
        return error.exit_code
    say(json.dumps({"status": "done", **summary, "seconds": round(time.monotonic() - started, 3)}))
    return 0
