"""A `local` as a process of its own, and the transcripts of a real Mesos."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class LocalProcess:
    """`python -m local` on free ports. `restart()` comes back on the same ones."""

    def __init__(self, work_dir: Path, *options: str) -> None:
        self.work_dir = work_dir
        self._options = options
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "local", "--port", "0", "--agent-port", "0", "--work-dir", str(self.work_dir)]
        ports = self.work_dir / "ports.json"
        self.process = subprocess.Popen([*command, *self._options], cwd=ROOT, start_new_session=True)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                document = json.loads(ports.read_text())
            except (FileNotFoundError, ValueError):
                document = {}
            if document.get("pid") == self.process.pid:
                self.port, self.agent_ports = document["master"], document["agents"]
                return
            assert self.process.poll() is None, "local ended while starting"
            time.sleep(0.02)
        raise AssertionError("local did not start in time")

    def stop(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait(10)

    def end_executors(self) -> None:
        command = [sys.executable, "-m", "local", "--end-executors", "--work-dir", str(self.work_dir)]
        subprocess.run(command, cwd=ROOT, check=True, timeout=30)


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalProcess]:
    """One agent of 4 cpus and 2 GiB; whatever runs at the end is ended."""
    options = ("--cpus", "4", "--mem", "2048", "--disk", "4096", "--allocation-interval", "0.2")
    process = LocalProcess(tmp_path / "work", *options)
    yield process
    if process.process.poll() is None:
        process.stop()
    process.end_executors()


@pytest.fixture(scope="session")
def transcripts() -> Path:
    """The recordings; skipped without them, failed without them in CI."""
    given = os.environ.get("SWATH_MESOS_WIRE")
    path = Path(given) if given else ROOT.parent / "shared" / "mesos-wire"
    if not (path / "README.md").exists():
        text = f"no Mesos transcripts at {path} (set SWATH_MESOS_WIRE)"
        pytest.fail(text) if os.environ.get("CI") == "true" else pytest.skip(text)
    return path
