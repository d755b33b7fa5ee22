"""Threads that hang are replaced and left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from executor.workers import Workers
from tests.executor.agent import PATIENCE_S, wait_until


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What hanging work waits for; opened at the end."""
    gate = threading.Event()
    yield gate
    gate.set()


def test_all_work_is_done() -> None:
    """By few threads, an exception in some of it notwithstanding."""
    workers = Workers(most=2)
    done: list[tuple[int, int]] = []

    def work(number: int) -> None:
        done.append((number, threading.get_ident()))
        if number % 2:
            raise ValueError(number)

    for number in range(100):
        workers.submit(lambda number=number: work(number))  # type: ignore[misc]
    assert workers.close(PATIENCE_S)
    assert sorted(number for number, _ in done) == list(range(100))
    assert len({thread for _, thread in done}) <= 2


def test_work_that_hangs_holds_up_nothing_else(gate: threading.Event) -> None:
    """Its threads are replaced, though nothing new comes; and closing does not wait for it."""
    workers = Workers(most=2, slow_s=0.0)
    done = threading.Event()

    def hang() -> None:
        gate.wait()

    for _ in range(5):
        workers.submit(hang)
    workers.submit(done.set)

    def is_done() -> bool:
        workers.relieve()
        return done.is_set()

    wait_until(is_done, "the last piece of work")
    assert not workers.close(0.05)


def test_those_that_hang_are_not_replaced_too_soon(gate: threading.Event) -> None:
    """No more than so many work at the same time."""
    workers = Workers(most=2, slow_s=PATIENCE_S)
    begun = threading.Semaphore(0)

    def hang() -> None:
        begun.release()
        gate.wait()

    for _ in range(3):
        workers.submit(hang)
    assert begun.acquire(timeout=PATIENCE_S)
    assert begun.acquire(timeout=PATIENCE_S)
    workers.relieve()
    assert not begun.acquire(timeout=0.05)
    gate.set()
    assert begun.acquire(timeout=PATIENCE_S)
    assert workers.close(PATIENCE_S)
