"""An engine that is restarted, stopped, full, or cannot end what it runs: one of the test's own, never the machine's."""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from executor.runtimes.cache import ImageCache
from executor.runtimes.engine import Engine
from executor.settings import Settings
from swath.domain.attempts import AttemptSpec, ImageSource
from swath.domain.retries import Cause
from tests.executor.agent import Agent, wait_until
from tests.executor.build import a_manifest, a_spec, an_output
from tests.executor.own_engine import OwnEngine, Proxy, small_disk
from tests.executor.programs import PROGRAMS, pack
from tests.executor.registry import SlowRegistry

pytestmark = [pytest.mark.docker, pytest.mark.timeout(180)]

MIB = 2**20


@pytest.fixture
def place() -> Iterator[Path]:
    """A short path: sockets lie below it."""
    directory = Path(tempfile.mkdtemp(prefix="swath-engine-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def engine(place: Path) -> Iterator[OwnEngine]:
    """An engine without images."""
    with OwnEngine(place) as engine:
        yield engine


@pytest.fixture
def image(engine: OwnEngine) -> ImageSource:
    """A shell on that engine."""
    return ImageSource(name="shell", version="1", image_id=engine.docker("import", "-", data=pack(PROGRAMS)))


@pytest.fixture
def agent(tmp_path: Path, engine: OwnEngine) -> Iterator[Agent]:
    """Its executor."""
    agent = Agent(tmp_path, SWATH_DOCKER="auto", DOCKER_HOST=engine.host, SWATH_FORCE_S="3").start()
    yield agent
    agent.stop()


def a_run(agent: Agent, image: ImageSource, script: str, **given: object) -> AttemptSpec:
    """An attempt that runs a line of shell."""
    outputs = [an_output()] if "result.txt" in script else []
    return a_spec(a_manifest(f"sh -c '{script}'", outputs=outputs), agent.outputs, image=image, **given)


def test_an_engine_that_is_restarted_costs_its_attempts_nothing(
    engine: OwnEngine, image: ImageSource, agent: Agent
) -> None:
    """It ends its containers: they have failed as the agent's fault, are told once, and leave nothing; the next ones run."""
    specs = [a_run(agent, image, "echo x > $OUTPUT_DIR/result.txt; sleep 600") for _ in range(2)]
    process = a_spec(a_manifest("sleep 600"), agent.outputs)
    for spec in (*specs, process):
        agent.wait(agent.launch(spec), "TASK_RUNNING")
    engine.stop()
    engine.start()
    for spec in specs:
        update = agent.wait(spec.attempt)
        assert (update.state, update.report.cause) == ("TASK_FAILED", Cause.AGENT)
        assert "was restarted" in update.message
        assert update.report.output_dir is None
    wait_until(lambda: agent.run(a_run(agent, image, "true")).state == "TASK_FINISHED", "containers run again")
    wait_until(lambda: not engine.docker("ps", "-aq"), "every container is removed")
    assert [agent.states(spec.attempt)[-1:] for spec in specs] == [["TASK_FAILED"]] * 2
    assert agent.states(process.attempt) == ["TASK_RUNNING"]
    assert not [path for path in agent.outputs.glob("*/*/*") if process.attempt not in path.name]


def test_a_container_that_outlives_its_engine_is_heard_to_its_end(place: Path, tmp_path: Path) -> None:
    """With `live-restore`: nothing has failed, and what it says afterwards is in its log; its own failure is its own."""
    with OwnEngine(place, None, "--live-restore") as engine:
        agent = Agent(tmp_path, SWATH_DOCKER="auto", DOCKER_HOST=engine.host).start()
        try:
            image = ImageSource(name="shell", version="1", image_id=engine.docker("import", "-", data=pack(PROGRAMS)))
            spec = a_run(agent, image, "echo begun; while [ ! -e /tmp/end ]; do sleep 0.2; done; echo ended; exit 7")
            running = agent.wait(agent.launch(spec), "TASK_RUNNING")
            wait_until(lambda: agent.log(running) == "begun\n", "it has begun")
            engine.stop()
            engine.start()
            assert agent.run(a_run(agent, image, "sleep 2")).state == "TASK_FINISHED"  # so it is listened to again
            (agent.sandbox / "attempts" / spec.attempt / "tmp" / "end").touch()
            update = agent.wait(spec.attempt)
            assert (update.report.cause, update.report.exit_code) == (Cause.APP, 7)
            assert agent.log(update) == "begun\nended\n"
        finally:
            agent.stop()


def test_an_engine_that_says_nothing_pauses_its_agent(engine: OwnEngine, image: ImageSource, agent: Agent) -> None:
    """The scheduler is told, launches are refused at once, what runs runs on; once it answers, all is as before."""
    running = a_run(agent, image, "while [ ! -e /tmp/end ]; do sleep 0.2; done; exit 0")
    agent.wait(agent.launch(running), "TASK_RUNNING")
    engine.pause()
    try:
        starting = agent.launch(a_run(agent, image, "true"))  # before anybody knows
        told = agent.wait_for_engine(lambda report: report.problem)
        assert "has not answered for" in str(told.problem)
        update = agent.run(a_run(agent, image, "true"))
        assert (update.report.cause, update.message) == (Cause.AGENT, told.problem)
        assert agent.wait(starting).report.cause is Cause.AGENT
        assert agent.run(a_spec(a_manifest("true"), agent.outputs)).state == "TASK_FINISHED"
    finally:
        engine.go_on()
    agent.wait_for_engine(lambda report: report.problem is None)
    assert set(agent.states(running.attempt)) == {"TASK_RUNNING"}
    assert agent.run(a_run(agent, image, "true")).state == "TASK_FINISHED"
    (agent.sandbox / "attempts" / running.attempt / "tmp" / "end").touch()
    assert agent.wait(running.attempt).state == "TASK_FINISHED"


def test_a_container_that_cannot_be_killed_is_given_up(
    place: Path, tmp_path: Path, engine: OwnEngine, image: ImageSource
) -> None:
    """Its attempt ends, with what was tried; the agent is paused until the container is gone. No other attempt is harmed."""
    proxy = Proxy(place, engine.host, re.compile(rb"(POST /\S+/kill|DELETE /)"))
    agent = Agent(tmp_path, SWATH_DOCKER="auto", DOCKER_HOST=proxy.host, SWATH_FORCE_S="3").start()
    try:
        spec, other = a_run(agent, image, "sleep 600", kill_grace_s=0.5), a_run(agent, image, "sleep 600")
        for each in (spec, other):
            agent.wait(agent.launch(each), "TASK_RUNNING")
        agent.kill(spec.attempt)
        update = agent.wait(spec.attempt)
        assert update.state == "TASK_KILLED"
        assert "SIGKILL for 3 s did not end it" in update.message
        told = agent.wait_for_engine(lambda report: report.problem)
        assert f"containers that cannot be ended: those of attempts {spec.attempt}" in str(told.problem)
        assert agent.run(a_run(agent, image, "true")).report.cause is Cause.AGENT
        assert set(agent.states(other.attempt)) == {"TASK_RUNNING"}
        proxy.refused = None
        agent.wait_for_engine(lambda report: report.problem is None)
        wait_until(lambda: len(engine.docker("ps", "-aq").split()) == 1, "it is removed")
        assert agent.run(a_run(agent, image, "true")).state == "TASK_FINISHED"
        agent.kill(other.attempt, grace_s=0)
        assert agent.wait(other.attempt).state == "TASK_KILLED"
    finally:
        proxy.refused = None
        agent.stop()
        proxy.close()


def test_images_make_room_for_each_other(place: Path, tmp_path: Path) -> None:
    """On a disk that is too small for all: the one used least recently goes, one that runs stays, and one that is larger than
    the disk fails as the agent's fault, in words; nobody else is harmed.
    """
    with small_disk(place, 100) as disk, OwnEngine(place, data=disk) as engine, SlowRegistry() as registry:
        agent = Agent(tmp_path, SWATH_DOCKER="auto", DOCKER_HOST=engine.host).start()
        try:
            sizes = {"held": 20, "old": 30, "new": 30, "huge": 120}
            references = {
                name: registry.add(name, secrets.token_bytes(mib * MIB), programs=PROGRAMS)[0]
                for name, mib in sizes.items()
            }
            images = {name: ImageSource(name="trial", version="1", reference=text) for name, text in references.items()}
            held = a_run(agent, images["held"], "sleep 600")
            agent.wait(agent.launch(held), "TASK_RUNNING")
            assert agent.run(a_run(agent, images["old"], "true")).state == "TASK_FINISHED"
            update = agent.run(a_run(agent, images["new"], "true"))
            assert update.state == "TASK_FINISHED", update.message
            assert not engine.docker("image", "inspect", references["old"], check=False)
            update = agent.run(a_run(agent, images["huge"], "true"))
            assert (update.state, update.report.cause) == ("TASK_FAILED", Cause.AGENT)
            assert "the disk of this agent's Docker engine is full" in update.message
            assert agent.run(a_run(agent, images["new"], "true")).state == "TASK_FINISHED"
            assert agent.states(held.attempt)[-1] == "TASK_RUNNING"
        finally:
            agent.stop()


def test_a_cache_of_images_has_a_limit(engine: OwnEngine, tmp_path: Path) -> None:
    """What was used least recently goes, also by the memory of a successor; what has a tag, or runs, stays."""
    settings = {"SWATH_DOCKER": "auto", "DOCKER_HOST": engine.host, "SWATH_IMAGE_CACHE_MIB": "30"}
    agent = Agent(tmp_path, **settings).start()
    with SlowRegistry() as registry:
        try:
            names = ("a", "b", "c")
            references = [registry.add(n, secrets.token_bytes(10 * MIB), programs=PROGRAMS)[0] for n in names]
            images = [ImageSource(name="trial", version="1", reference=text) for text in references]
            tagged = engine.docker("import", "-", "mine:1", data=pack(PROGRAMS))
            for image in images[:2]:
                assert agent.run(a_run(agent, image, "true")).state == "TASK_FINISHED"
            assert agent.run(a_run(agent, images[0], "true")).state == "TASK_FINISHED"  # b is the oldest now
            agent.stop()
            agent.start()
            running = a_run(agent, images[2], "sleep 600")
            agent.wait(agent.launch(running), "TASK_RUNNING")
            agent.send_subscribed()  # it looks, and makes room first
            there = lambda n: bool(engine.docker("image", "inspect", references[n], check=False))  # noqa: E731
            wait_until(lambda: not there(1), "the one used least recently is removed")
            assert (there(0), there(2)) == (True, True)
            assert engine.docker("image", "inspect", tagged)
        finally:
            agent.stop()


def test_what_is_waited_for_is_not_removed(engine: OwnEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that an attempt holds stays, although no container uses it yet, whatever room is wanted."""
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    cache = ImageCache(Engine(), Settings.from_environ({"MESOS_SANDBOX": str(tmp_path), "SWATH_INPUT_ROOTS": "/"}))
    with SlowRegistry() as registry:
        reference, _ = registry.add("wanted", secrets.token_bytes(MIB))
        source = ImageSource(name="trial", version="1", reference=reference)
        spec = a_spec(a_manifest("true"), tmp_path, image=source)
        with cache.held(spec, lambda _: None) as image, cache.held(spec, lambda _: None) as same:
            assert cache.trim(all_of_it=True) == []
            assert image is same
        assert cache.trim(all_of_it=True) == [image["Id"]]
        assert not engine.docker("images", "-q")
