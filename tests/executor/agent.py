"""A stand-in for a Mesos agent: starts the executor's program, gives it tasks and keeps what it says."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.domain.attempts import AttemptReport, AttemptSpec
from swath.domain.images import EngineReport, ImagesReport, PrefetchOrder, read_message
from swath.domain.secret_messages import SecretsOrder
from swath.domain.slots import SlotSpec, WorkOrder, own_part, read_slot_report

ROOT = Path(__file__).parents[2]
ENDINGS = ("TASK_FINISHED", "TASK_FAILED", "TASK_KILLED")
CONTAINERS_ONLY = {"SWATH_DOCKER": "auto", "SWATH_PROCESS_RUNTIME": "0"}  # of an executor's environment
PATIENCE_S = 60.0  # the machine is shared; no test measures time with it


@dataclass(frozen=True, kw_only=True)
class Update:
    """One status update."""

    task: str
    state: str
    report: AttemptReport
    message: str


class Agent:
    """One executor and what it has said; `runs` is the directory of all its runs, as under an agent's work directory."""

    def __init__(self, directory: Path, **environ: str) -> None:
        self.directory = directory
        self.outputs = directory / "outputs"
        self.inputs = directory / "inputs"
        self.inputs.mkdir(parents=True, exist_ok=True)
        self._environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "MESOS_FRAMEWORK_ID": "framework-1",
            "MESOS_SLAVE_ID": str(directory),  # an id of its own: its successor removes what was left under that
            "MESOS_EXECUTOR_ID": "swath-test",
            "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD": "5secs",
            "SWATH_PROCESS_RUNTIME": "1",
            "SWATH_DOCKER": "off",
            "SWATH_INPUT_ROOTS": str(self.inputs),
            "A_SECRET": "of the executor",
            **environ,
        }
        self._number = 0
        self._changed = threading.Condition()
        self.updates: list[Update] = []
        self.reports: list[ImagesReport] = []
        self.engine_reports: list[EngineReport] = []
        self.secrets_wanted: list[SecretsOrder] = []
        self.process: subprocess.Popen[str] | None = None

    @property
    def sandbox(self) -> Path:
        """The sandbox of the newest run."""
        return self.directory / "runs" / str(self._number)

    def start(self) -> Agent:
        """Start an executor, once more after it has ended; returns when it has subscribed."""
        self._number += 1
        self.sandbox.mkdir(parents=True)
        paths = {"MESOS_SANDBOX": str(self.sandbox), "MESOS_DIRECTORY": str(self.sandbox)}
        with (self.sandbox / "stderr").open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("standin_program.py"))],
                env=self._environ | paths,
                cwd=self.sandbox,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        subscribed = self.process.stdout.readline()
        assert subscribed, (self.sandbox / "stderr").read_text()
        self._reader = threading.Thread(target=self._read, args=[self.process], daemon=True)
        self._reader.start()
        return self

    def stop(self) -> None:
        """Shut the executor down as an agent would, in the end by SIGKILL."""
        process = self.process
        if process is None:
            return
        if process.poll() is None:
            self._send({"type": "SHUTDOWN"})
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._close(process)

    def kill_executor(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self._close(self.process)

    def launch(self, spec: AttemptSpec | bytes, task: str | None = None) -> str:
        """Hand over a task; returns its id."""
        data = spec if isinstance(spec, bytes) else spec.to_json().encode()
        task_id = task or (spec.attempt if isinstance(spec, AttemptSpec) else "a-task")
        info = {"task_id": {"value": task_id}, "data": base64.b64encode(data).decode()}
        self._send({"type": "LAUNCH", "launch": {"task": info}})
        return task_id

    def open_slot(self, slot: str, *specs: AttemptSpec) -> None:
        """Hand over a slot that begins with these attempts, which tell their news as if they were tasks."""
        self.launch(SlotSpec.of(specs).to_json().encode(), slot)

    def hand_over(self, slot: str, *specs: AttemptSpec) -> None:
        """Hand over further attempts to a slot."""
        self.send_message(WorkOrder(slot=slot, work=tuple(map(own_part, specs))).to_json().encode())

    def kill(self, task: str, grace_s: float | None = None) -> None:
        """Ask for a task's end."""
        kill: dict[str, Any] = {"task_id": {"value": task}}
        if grace_s is not None:
            kill["kill_policy"] = {"grace_period": {"nanoseconds": int(grace_s * 1e9)}}
        self._send({"type": "KILL", "kill": kill})

    def send_subscribed(self) -> None:
        """As after a restart of the agent."""
        self._send({"type": "SUBSCRIBED"})

    def prefetch(self, reference: str) -> None:
        """Pass on the scheduler's wish to have an image pulled ahead."""
        self.send_message(PrefetchOrder(reference=reference).to_json().encode())

    def send_message(self, data: bytes) -> None:
        """Pass on whatever the scheduler has to say."""
        self._send({"type": "MESSAGE", "message": {"data": base64.b64encode(data).decode()}})

    def wait_for_report(self, wanted: Callable[[ImagesReport], object]) -> ImagesReport:
        """The first report on images of which `wanted` holds."""
        with self._changed:
            found = self._changed.wait_for(lambda: next(filter(wanted, self.reports), None), PATIENCE_S)
        assert found, f"no such report: {self.reports}\n{(self.sandbox / 'stderr').read_text()}"
        return found

    def wait_for_engine(self, wanted: Callable[[EngineReport], object]) -> EngineReport:
        """The first report on the engine of which `wanted` holds."""
        with self._changed:
            found = self._changed.wait_for(lambda: next(filter(wanted, self.engine_reports), None), PATIENCE_S)
        assert found, f"no such report: {self.engine_reports}\n{(self.sandbox / 'stderr').read_text()}"
        return found

    def wait_for_secrets_wanted(self, attempt: str, times: int = 1) -> SecretsOrder:
        """The attempt's question for its secrets, once it was asked so often."""

        def find() -> SecretsOrder | None:
            asked = [order for order in self.secrets_wanted if order.attempt == attempt]
            return asked[-1] if len(asked) >= times else None

        with self._changed:
            found = self._changed.wait_for(find, PATIENCE_S)
        assert found, f"nobody asked for secrets: {(self.sandbox / 'stderr').read_text()}"
        return found

    def shutdown(self) -> None:
        """Tell the executor to end."""
        self._send({"type": "SHUTDOWN"})

    def wait(self, task: str, *states: str) -> Update:
        """The first update of a task in one of these states; without states, the one that ends it."""
        wanted = states or ENDINGS
        with self._changed:
            found = self._changed.wait_for(lambda: self._find(task, wanted), PATIENCE_S)
        assert found, f"no {wanted} of {task}: {self.updates}\n{(self.sandbox / 'stderr').read_text()}"
        return found

    def run(self, spec: AttemptSpec | bytes) -> Update:
        """Hand over a task and wait for its end."""
        return self.wait(self.launch(spec))

    def states(self, task: str) -> list[str]:
        """The states of a task, in order."""
        return [update.state for update in self.updates if update.task == task]

    def log(self, update: Update, stream: str = "stdout") -> str:
        """What the attempt has written."""
        assert update.report.sandbox is not None
        return (Path(update.report.sandbox) / stream).read_text()

    def _find(self, task: str, states: tuple[str, ...]) -> Update | None:
        return next((update for update in self.updates if update.task == task and update.state in states), None)

    def _send(self, message: dict[str, Any]) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            said = json.loads(line)
            if "message" in said and "task" not in said:
                self._take_message(base64.b64decode(said["message"]))
                continue
            data = base64.b64decode(said["data"])
            slot = read_slot_report(data) if data.startswith(b'{"slot":') else None
            report = AttemptReport() if slot else AttemptReport.from_json(data)
            told = [
                Update(task=one.attempt, state=f"TASK_{one.state.value}", report=one.read(), message=one.message)
                for one in (slot.told if slot else ())
            ]
            with self._changed:
                update = Update(task=said["task"], state=said["state"], report=report, message=said["message"])
                self.updates += [*told, update]
                self._changed.notify_all()

    def _take_message(self, data: bytes) -> None:
        report = read_message(data)
        with self._changed:
            if isinstance(report, EngineReport):
                self.engine_reports.append(report)
            elif isinstance(report, SecretsOrder):
                self.secrets_wanted.append(report)
            else:
                assert isinstance(report, ImagesReport)
                self.reports.append(report)
            self._changed.notify_all()

    def _close(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._reader.join()
        process.stdin.close()
        process.stdout.close()


def is_alive(pid: int) -> bool:
    """True while a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat[stat.rindex(")") + 2] not in "ZX"


def wait_until(true: Any, what: str) -> Any:
    """Wait for another process to have done something."""
    deadline = time.monotonic() + PATIENCE_S
    while not (value := true()):
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.02)
    return value
