"""What a scheduler counts, read as Prometheus reads it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import urlopen

SAMPLE_S = 0.05


def find_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def read_metrics(port: int) -> dict[str, float]:
    """The figures of the scheduler on `port`, by their names without its own; {} while it does not answer."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    pairs = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {key.removeprefix("swath_scheduler_"): float(value) for key, _, value in pairs}


class Samples:
    """A counter's values in the course of time."""

    def __init__(self) -> None:
        self.taken: list[tuple[float, float, float]] = []  # (asked at, answered at, value); seconds

    @property
    def per_s(self) -> float:
        """How fast it grew on the whole."""
        (first, _, before), (_, last, after) = self.taken[0], self.taken[-1]
        return (after - before) / (last - first)

    @property
    def most_in_a_second(self) -> float:
        """By how much it grew at most between two samples that surely were no more than a second apart."""
        start, most = 0, 0.0
        for asked, answered, value in self.taken:
            while start < len(self.taken) - 1 and answered - self.taken[start][0] > 1 and self.taken[start][0] < asked:
                start += 1
            most = max(most, value - self.taken[start][2])
        return most


@contextmanager
def sampled(port: int, name: str) -> Iterator[Samples]:
    """Samples of one of a scheduler's counters, taken while the block runs."""
    samples, ended = Samples(), threading.Event()

    def sample() -> None:
        while not ended.wait(SAMPLE_S):
            asked = time.monotonic()
            value = read_metrics(port).get(name)
            if value is not None:
                samples.taken.append((asked, time.monotonic(), value))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()
