"""HyperQueue from PyPI, in a throw-away environment: server and one worker as its Python package starts them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.systems.port import AbsentError, Ran

VERSION = "0.27.0"
CLIENT = Path(__file__).with_name("hyperqueue_client.py")
START_S = 60.0  # more than the server and a worker need to be there


@dataclass(frozen=True)
class HyperQueue:
    """An environment that has it; each run is a server of its own, for what was cancelled is not to disturb the next."""

    python: Path
    slots: int

    def run(self, command: Sequence[str], tasks: int, budget_s: float) -> Ran:
        """One job with so many tasks; the client says every second how many have ended."""
        order = json.dumps({"command": list(command), "tasks": tasks, "slots": self.slots})
        with tempfile.TemporaryDirectory(prefix="swath-hyperqueue-") as scratch, tempfile.TemporaryFile("w+") as errors:
            # -P: the client's own directory holds a module that is named like the package.
            call = [self.python, "-P", CLIENT, order]
            client = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=scratch)
            timer = threading.Timer(START_S + budget_s, client.kill)
            timer.start()
            ended, seconds = _listen(client, budget_s)
            timer.cancel()
            client.kill()
            client.wait()
            errors.seek(0)
            if not seconds:
                raise AbsentError(f"HyperQueue's client failed: {errors.read()[-300:]}")
        return Ran(tasks=tasks, ended=ended, seconds=seconds)


def _listen(client: subprocess.Popen[str], budget_s: float) -> tuple[int, float]:
    """(tasks ended, seconds since the submission) as the client said last."""
    ended, seconds = 0, 0.0
    assert client.stdout is not None
    for line in client.stdout:
        if line.startswith("{"):  # the server greets in a table of its own
            said = json.loads(line)
            ended, seconds = said["ended"], said["seconds"]
            if said["done"] or seconds > budget_s:
                break
    return ended, seconds


@contextmanager
def start(slots: int) -> Iterator[HyperQueue]:
    """Installed by pip from the index that this machine uses; nothing of it enters our own environment."""
    with tempfile.TemporaryDirectory(prefix="swath-hyperqueue-") as scratch:
        python = Path(scratch) / "bin" / "python"
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"hyperqueue=={VERSION}"]
        for command in ([sys.executable, "-m", "venv", scratch], install):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                reason = done.stderr.strip().splitlines()[-1:] or ["?"]
                raise AbsentError(f"HyperQueue {VERSION} cannot be installed: {reason[0]}")
        yield HyperQueue(python, slots)
