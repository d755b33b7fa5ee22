"""The benchmarks can be run by their names, and what they measure with is right; their figures are nobody's test."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from benchmarks import atmosphere, submit, wire
from benchmarks.__main__ import ALL, main
from benchmarks.__main__ import measure as run_one
from benchmarks.metrics import Samples
from benchmarks.rivals import describe_run, measure
from benchmarks.spans import find_gaps
from benchmarks.standin_master import Listener
from benchmarks.systems import bare
from benchmarks.systems.port import AbsentError, Ran
from benchmarks.table import render

ACKNOWLEDGE = b'{"type":"ACKNOWLEDGE"}'


@pytest.mark.parametrize("name", ALL)
def test_every_benchmark_can_be_called(name: str) -> None:
    """`run` takes nothing."""
    assert not inspect.signature(importlib.import_module(f"benchmarks.{name}").run).parameters


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and the names that there are."""
    assert main(["nonsense"]) == 2
    assert "updates" in capsys.readouterr().err


def test_one_that_fails_says_why_and_leaves_the_others_to_be_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its figures are the error, those of the next are there, and the exit code is 1."""
    monkeypatch.setattr(submit, "run", lambda: 1 / 0)
    monkeypatch.setattr(wire, "run", lambda: {"offers": 3})
    assert main(["submit", "wire"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["submit"]["failed"] == "ZeroDivisionError: division by zero"
    assert document["wire"]["offers"] == 3


def test_one_that_never_ends_is_stopped_where_it_is_and_cleans_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else runs longer for it than it may."""
    ended = []

    def wait_for_ever() -> None:
        try:
            with contextlib.suppress(Exception):
                threading.Event().wait(60)
            raise AssertionError("it went on")
        finally:
            ended.append("cleaned up")

    monkeypatch.setattr(wire, "run", wait_for_ever)
    assert run_one("wire", limit_s=0.05) == {"failed": "OverdueError: not done after 0.05 s"}
    assert ended == ["cleaned up"]


def test_a_program_that_is_missing_is_told_in_the_figures_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a measurement says elsewhere is lost: it runs in a process of its own."""
    monkeypatch.setenv("PATH", "")
    figures = atmosphere.main({"bands": ["B02"], "size": 16, "part": 2, "rounds": 1})
    assert "apt-get install grass-core" in str(figures["atcorr_m_pixels_per_s"])


def test_the_most_in_a_second_is_never_counted_over_more_than_one() -> None:
    """Three came at once and three 1.01 s later: an answer that took long widens no window."""
    samples = Samples()
    samples.taken = [(0.0, 0.01, 0.0), (0.1, 0.11, 3.0), (0.9, 0.91, 3.0), (1.2, 1.21, 6.0), (1.3, 1.31, 6.0)]
    assert samples.most_in_a_second == 3
    assert samples.per_s == pytest.approx(6 / 1.31)


class Wire(asyncio.Transport):
    """What a connection would send."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += bytes(data)


def make_request(body: bytes) -> bytes:
    return b"POST /api/v1/scheduler HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def test_the_stand_in_master_counts_pipelined_acknowledgements_however_they_are_cut() -> None:
    """Two of two; an answer to each, and to the call between them that is none."""

    async def converse() -> tuple[bytes, float]:
        done: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        wire, listener = Wire(), Listener(b"events", 2, done, [0.0, 0.0])
        listener.connection_made(wire)
        requests = b"".join(map(make_request, (ACKNOWLEDGE, b'{"type":"RECONCILE"}', ACKNOWLEDGE)))
        for position in range(0, len(requests), 7):
            assert not done.done()
            listener.data_received(requests[position : position + 7])
        return wire.sent, done.result()

    sent, seconds = asyncio.run(converse())
    assert sent.count(b"202 Accepted") == 3
    assert seconds > 0


def test_the_stand_in_master_sends_its_events_to_whoever_subscribes() -> None:
    """In one chunk of an open stream."""

    async def converse() -> bytes:
        wire, done = Wire(), asyncio.get_running_loop().create_future()
        listener = Listener(b"events", 2, done, [0.0, 0.0])
        listener.connection_made(wire)
        listener.data_received(make_request(b'{"type": "SUBSCRIBE"}'))
        return wire.sent

    sent = asyncio.run(converse())
    assert sent.startswith(b"HTTP/1.1 200 OK")
    assert sent.endswith(b"6\r\nevents\r\n")


def test_a_slot_is_idle_from_a_tasks_end_to_the_beginning_of_the_next():
    """Two slots, four tasks: each of the later two goes where the slot has been free for the longest."""
    spans = [(0.0, 1.0), (0.0, 2.0), (1.5, 3.0), (2.25, 4.0)]
    assert find_gaps(spans, slots=2) == [0.5, 0.25]


def test_stamped_tasks_run_in_so_many_slots_at_most():
    """The machine itself: every task is counted and has written its line."""
    figures = measure(bare.start, 2, tasks=10, stamped=10, budget_s=20)
    assert figures["ended"] == 10
    assert 0 < figures["idle_ms_median"] < 5000


def test_a_system_that_cannot_be_had_is_skipped_and_says_why():
    """The reason stands in place of figures."""

    def start(slots: int) -> contextlib.AbstractContextManager[bare.Xargs]:
        raise AbsentError("there is none")

    assert measure(start, 2) == {"skipped": "there is none"}


def test_what_did_not_end_in_time_is_extrapolated_and_says_so():
    """A quarter in 10 s makes 40 s for all."""
    figures = describe_run(Ran(tasks=400, ended=100, seconds=10))
    assert figures["seconds_extrapolated"] == 40
    assert (figures["ended"], figures["tasks"]) == (100, 400)


def test_figures_that_several_things_share_are_a_table():
    """A row a figure, a column a thing; plain figures have a line each."""
    lines = render(
        "b", {"goal": 3, "one": {"ms": 1.5, "n": 2, "x": {"y": 7}}, "two": {"ms": 2500.0, "n": 3}}
    ).splitlines()
    assert lines[1].split() == ["goal", "3"]
    assert [line.split() for line in lines[3:]] == [
        ["one", "two"],
        ["ms", "1.5", "2,500"],
        ["n", "2", "3"],
        ["x.y", "7"],
    ]


class Straggler:
    """A system of which a task still writes its stamp when the system ends."""

    def __init__(self) -> None:
        self.stamps: Path | None = None

    def run(self, command: Sequence[str], tasks: int, budget_s: float) -> Ran:
        if len(command) == 1:
            return Ran(tasks=tasks, ended=tasks, seconds=1.0)
        self.stamps = Path(command[1])
        raise OSError("it broke")

    @contextlib.contextmanager
    def start(self, slots: int) -> Iterator[Straggler]:
        try:
            yield self
        finally:
            assert self.stamps is not None
            self.stamps.write_text("late")


def test_a_system_that_breaks_says_why_and_its_stamps_are_removed_after_it():
    """The others' figures are not lost for it, and its last task writes where it was told to."""
    straggler = Straggler()
    assert measure(straggler.start, 2) == {"failed": "OSError: it broke"}
    assert straggler.stamps is not None
    assert not straggler.stamps.parent.exists()
