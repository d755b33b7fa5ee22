"""The words of a warm container: what a hostile one could say comes to nothing but its own end."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from executor.runtimes import runner
from executor.runtimes.line import Line, NotTakenError, WarmError
from executor.staging import StartError
from swath.domain.retries import Cause

ENDED = {"attempt": "a", "ended": 0, "oom": False, "clean": True, "usage": {"cpu_s": 0.5}}


@pytest.fixture
def ends() -> Iterator[tuple[Line, socket.socket]]:
    """The executor's end, and the container's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    yield Line(ours), theirs
    ours.close()
    theirs.close()


@pytest.mark.parametrize(
    "word",
    [
        b"no JSON",
        b"[" * 2000,
        b"[]",
        b'{"attempt": "a", "ended": 0',
        json.dumps({**ENDED, "padding": "x" * 4096}).encode(),
        *(
            json.dumps({**ENDED, **wrong}).encode()
            for wrong in (
                {"attempt": "b"},
                {"ended": 256},
                {"ended": -1},
                {"ended": True},
                {"ended": None},
                {"oom": 1},
                {"clean": "yes"},
                {"usage": [1]},
                {"usage": {"cpu_s": -1}},
                {"usage": {"cpu_s": "much"}},
                {"usage": {"cpu_s": float("inf")}},
                {"usage": {"wall_s": 1}},
            )
        ),
    ],
)
def test_a_wrong_word_is_the_containers_last(ends: tuple[Line, socket.socket], word: bytes) -> None:
    """Whatever is too long, no JSON, about another attempt or of another type."""
    line, container = ends
    container.send(word)
    with pytest.raises(WarmError):
        line.await_end("a")


def test_files_from_a_container_are_thrown_away(ends: tuple[Line, socket.socket]) -> None:
    """Nothing is opened in the executor by what a container sends."""
    line, container = ends
    files = len(list(Path("/proc/self/fd").iterdir()))
    socket.send_fds(container, [json.dumps(ENDED).encode()], [container.fileno()])
    ending = line.await_end("a")
    assert (ending.exit_code, ending.oom, ending.clean, ending.usage) == (0, False, True, {"cpu_s": 0.5})
    assert len(list(Path("/proc/self/fd").iterdir())) == files


def test_a_container_that_has_gone_takes_nothing(ends: tuple[Line, socket.socket]) -> None:
    """Then the attempt may be had by another one; what is too long for a word, too."""
    line, container = ends
    with pytest.raises(NotTakenError):
        line.begin("a", ["x" * runner.MOST], {}, [])
    container.close()
    with pytest.raises(NotTakenError):
        line.begin("a", ["true"], {}, [1, 2])
    line.signal("a", signal.SIGTERM)
    with pytest.raises(WarmError):
        line.await_end("a")


def test_a_refused_command_is_told_with_whose_fault_it_is(ends: tuple[Line, socket.socket]) -> None:
    """By the errno; a strange one counts as none."""
    line, container = ends
    for errno, cause in ((2, Cause.IMAGE), (7, Cause.SPEC), (11, Cause.AGENT), ("x", Cause.SPEC)):
        container.send(json.dumps({"attempt": "a", "refused": errno}).encode())
        with pytest.raises(StartError) as refused:
            line.begin("a", ["true"], {}, [1, 2])
        assert refused.value.cause is cause


def test_a_container_that_runs_as_root_is_not_reused(ends: tuple[Line, socket.socket]) -> None:
    """Root could leave something behind where nobody looks."""
    line, container = ends
    container.send(json.dumps({"ready": True, "root": True}).encode())
    with pytest.raises(WarmError, match="root"):
        line.greet()


def test_the_runner_runs_nowhere_but_in_a_container() -> None:
    """It kills all that it may: on a machine that is everything."""
    done = subprocess.run([sys.executable, runner.__file__, "/nowhere"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "this is for the first process of a container\n")
