"""What hangs before or after a command: the attempt ends all the same, and nothing comes of it later."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from executor.events import Begin, Clean, Effect, Event, Publish, Published, Started
from executor.journal import NAME, Journal, read_journal
from executor.loop import Inbox
from executor.orders import to_order
from executor.places import Places
from executor.publish import Outputs, publish
from executor.runtimes.choice import Runtimes
from executor.runtimes.port import Assignment
from executor.settings import Settings
from executor.shell import Shell
from swath.domain.attempts import AttemptSpec, ImageSource
from swath.domain.manifest import Manifest
from swath.domain.retries import Cause
from swath.domain.stac import Lineage
from tests.executor.agent import PATIENCE_S, Agent, wait_until
from tests.executor.build import a_manifest, a_spec, an_output
from tests.executor.standin_program import PipeDriver

IN_ENGINE = ImageSource(name="trial", version="1.0.0", image_id="sha256:" + "0" * 64)


@pytest.fixture
def silent_engine() -> Iterator[dict[str, str]]:
    """The environment of an executor whose Docker engine takes every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield {"SWATH_DOCKER": "auto", "DOCKER_HOST": f"tcp://127.0.0.1:{silent.getsockname()[1]}"}


@pytest.fixture
def agent_of_a_silent_engine(tmp_path: Path, silent_engine: dict[str, str]) -> Iterator[Agent]:
    """Its agent."""
    agent = Agent(tmp_path, **silent_engine).start()
    yield agent
    agent.stop()


def test_a_kill_ends_a_start_that_hangs(agent_of_a_silent_engine: Agent) -> None:
    """Within its grace; and what needs no engine runs beside it, however many hang."""
    agent = agent_of_a_silent_engine
    hanging = [a_spec(a_manifest("true"), agent.outputs, image=IN_ENGINE) for _ in range(12)]
    for spec in hanging:
        agent.launch(spec)
    for spec in hanging:
        agent.kill(spec.attempt, grace_s=0.5)
    assert [agent.wait(spec.attempt).state for spec in hanging] == ["TASK_KILLED"] * 12
    spec = a_spec(a_manifest("true", outputs=[an_output(required=False)]), agent.outputs)
    assert agent.run(spec).state == "TASK_FINISHED"


def test_a_start_that_hangs_fails_in_time(tmp_path: Path, silent_engine: dict[str, str]) -> None:
    """By its limit, as the agent's fault."""
    agent = Agent(tmp_path, SWATH_STAGING_S="0.5", **silent_engine).start()
    update = agent.run(a_spec(a_manifest("true"), agent.outputs, image=IN_ENGINE))
    agent.stop()
    assert (update.state, update.report.cause) == ("TASK_FAILED", Cause.AGENT)
    assert "could not start within 0.5 s" in update.message


def test_a_shutdown_ends_an_executor_that_hangs(agent_of_a_silent_engine: Agent) -> None:
    """It says what became of its attempts and ends by itself, before the agent's patience does."""
    agent = agent_of_a_silent_engine
    spec = a_spec(a_manifest("true"), agent.outputs, image=IN_ENGINE)
    agent.launch(spec)
    agent.shutdown()
    assert agent.wait(spec.attempt).report.cause is Cause.AGENT
    assert agent.process is not None
    assert agent.process.wait(PATIENCE_S) == 0


class IdleEngine:
    """A runtime that starts nothing: what matters here comes before and after."""

    def __init__(self, post: Callable[[Event], None]) -> None:
        self._post = post
        self.hangs = threading.Event()
        self.goes_on = threading.Event()
        self.started: list[str] = []
        self.cleaned: list[str] = []
        self.seen = True

    def answers(self) -> bool:
        self.hangs.set()
        return self.goes_on.wait(PATIENCE_S)

    def start(self, assignment: Assignment) -> None:
        self.started.append(assignment.attempt)
        self._post(Started(attempt=assignment.attempt, sandbox="/s", runtime="docker"))

    def signal(self, attempt: str, *, force: bool) -> None:
        """Nobody is there."""

    def observe(self, attempt: str) -> dict[str, float]:
        return {}

    def probe(self) -> str | None:
        return None

    def clean(self, attempt: str) -> None:
        self.cleaned.append(attempt)

    def remove_orphans(self) -> None:
        """Nothing was left."""

    def close(self) -> None:
        """Nothing is left."""


class Stage:
    """A shell whose staging and publishing go on when the test says so; the test is the loop."""

    def __init__(self, directory: Path) -> None:
        self.journal = directory / NAME
        self._outputs = directory / "outputs"
        self._inbox = Inbox()
        self._journal = Journal(directory)
        self.engine = IdleEngine(self._inbox.post)
        self.publishes, self.goes_on = threading.Event(), threading.Event()
        self._shell = Shell(
            settings=Settings.from_environ({"MESOS_SANDBOX": str(directory), "SWATH_INPUT_ROOTS": str(directory)}),
            driver=PipeDriver(print),
            inbox=self._inbox,
            journal=self._journal,
            runtimes=Runtimes(process=None, docker=self.engine),
            publish=self._publish,
        )

    def begin(self) -> AttemptSpec:
        """Begin an attempt with outputs."""
        spec = a_spec(a_manifest("true", outputs=[an_output(required=False)]), self._outputs, image=IN_ENGINE)
        self.perform(Begin(order=to_order("a-task", spec.to_json().encode())))
        return spec

    def perform(self, effect: Effect) -> None:
        self._shell.perform(effect)

    def await_event(self, kind: type[Event]) -> None:
        """Go on until that comes out of it, and nothing before."""
        found = wait_until(self.events, kind.__name__)
        assert [type(event) for event in found] == [kind]

    def events(self) -> list[Event]:
        """What has come out of it."""
        events = []
        for work in self._inbox.take(100):
            if callable(work):
                work()
            else:
                events.append(work)
        return events

    def await_start(self) -> None:
        """Go on until the command runs."""
        self.engine.goes_on.set()
        self.await_event(Started)

    def traces(self, spec: AttemptSpec) -> list[Path]:
        """What there is of an attempt's outputs."""
        return list((self._outputs / spec.job / "0").glob(f"*{spec.attempt}*"))

    def is_forgotten(self, spec: AttemptSpec) -> bool:
        """True when nothing is left of it; fails where the core would hear of it again."""
        assert self.events() == []
        return not (self.traces(spec) or read_journal(self.journal))

    def close(self) -> None:
        self.goes_on.set()
        self.engine.goes_on.set()
        self._shell.close()
        self._journal.close()

    def _publish(self, manifest: Manifest, places: Places, lineage: Lineage) -> Outputs:
        self.publishes.set()
        self.goes_on.wait(PATIENCE_S)
        return publish(manifest, places, lineage)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A stage in an empty sandbox."""
    stage = Stage(tmp_path)
    yield stage
    stage.close()


def test_what_was_given_up_while_it_was_staged_never_starts(stage: Stage) -> None:
    """Its directories, made by the thread that comes back, are removed by it."""
    spec = stage.begin()
    assert stage.engine.hangs.wait(PATIENCE_S)
    stage.perform(Clean(attempt=spec.attempt))
    stage.engine.goes_on.set()
    wait_until(lambda: stage.is_forgotten(spec), "everything is removed")
    assert stage.engine.started == []


def test_what_was_given_up_as_it_started_is_cleaned_up(stage: Stage) -> None:
    """The runtime is told, for its command may run already."""
    spec = stage.begin()
    stage.await_start()
    stage.perform(Clean(attempt=spec.attempt))
    assert stage.engine.cleaned == [spec.attempt]


def test_outputs_published_too_late_are_removed(stage: Stage) -> None:
    """The attempt has ended otherwise; until its thread comes back, the journal remembers it."""
    spec = stage.begin()
    stage.await_start()
    stage.perform(Publish(attempt=spec.attempt))
    assert stage.publishes.wait(PATIENCE_S)
    stage.perform(Clean(attempt=spec.attempt))
    assert [entry.attempt for entry in read_journal(stage.journal)] == [spec.attempt]
    stage.goes_on.set()
    wait_until(lambda: stage.is_forgotten(spec), "everything is removed")


def test_outputs_published_in_time_stay(stage: Stage) -> None:
    """Only the scratch directory goes."""
    spec = stage.begin()
    stage.await_start()
    stage.goes_on.set()
    stage.perform(Publish(attempt=spec.attempt))
    stage.await_event(Published)
    stage.perform(Clean(attempt=spec.attempt, succeeded=True))
    wait_until(lambda: not read_journal(stage.journal), "the scratch directory is removed")
    assert [path.name for path in stage.traces(spec)] == [spec.attempt]
