"""Images that are told of and pulled ahead, with a real engine and real registries."""

from __future__ import annotations

import json
import secrets
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from executor.runtimes.cache import ImageCache
from executor.runtimes.engine import Engine, EngineError
from executor.settings import Settings
from swath.domain.attempts import ImageSource
from swath.domain.images import HeldImage, ImagesReport
from swath.domain.manifest import LABEL
from tests.executor.agent import Agent, wait_until
from tests.executor.build import a_manifest, a_spec
from tests.executor.programs import PROGRAMS, docker, make_image
from tests.executor.registry import SlowRegistry
from tests.executor.test_registry import push_new

pytestmark = [pytest.mark.docker, pytest.mark.timeout(180)]

LARGE = 4 * 2**20


@pytest.fixture
def own_agent(tmp_path: Path) -> Iterator[Agent]:
    """An executor of containers and processes, on a machine with room."""
    agent = Agent(tmp_path, SWATH_DOCKER="auto", SWATH_PREFETCH_FREE_MIB="1").start()
    yield agent
    agent.stop()


def find(report: ImagesReport, name: str) -> HeldImage | None:
    """The image of that name in a report."""
    return next((image for image in report.images if name in image.names), None)


def log_of(agent: Agent) -> str:
    """What the executor has written."""
    return (agent.sandbox / "stderr").read_text()


def is_here(reference: str) -> bool:
    """True when the engine has the image."""
    return subprocess.run(["docker", "image", "inspect", reference], capture_output=True, check=False).returncode == 0


@pytest.fixture
def slow() -> Iterator[SlowRegistry]:
    """A registry whose large layers wait for the test."""
    with SlowRegistry() as slow:
        yield slow


def test_an_executor_tells_what_its_engine_holds(own_agent: Agent) -> None:
    """An image with a Seed manifest at once; another one once an attempt has run in it; with size and layers."""
    plain = make_image((*PROGRAMS, "date", "wc"))
    labelled = docker("commit", "--change", f"LABEL {LABEL}={{}}", docker("create", plain, "sh"))
    try:
        own_agent.send_subscribed()
        report = own_agent.wait_for_report(lambda report: find(report, labelled))
        assert (report.engine, report.processes, find(report, plain)) == (True, True, None)
        image = ImageSource(name="shell", version="1.0.0", image_id=plain)
        assert own_agent.run(a_spec(a_manifest("sh -c true"), own_agent.outputs, image=image)).state == "TASK_FINISHED"
        report = own_agent.wait_for_report(lambda report: find(report, plain))
        used, seed = find(report, plain), find(report, labelled)
        assert used is not None
        assert seed is not None
        assert used.size == int(docker("inspect", "--format", "{{.Size}}", plain))
        assert list(used.layers.values()) == [used.size]
        assert set(used.layers) <= set(seed.layers)
        layer = docker("inspect", "--format", "{{index .RootFS.Layers 0}}", plain)
        assert layer.startswith(f"sha256:{next(iter(used.layers))}")
    finally:
        docker("rm", "--force", docker("ps", "-aq", "--filter", f"ancestor={plain}"))
        docker("rmi", "--force", labelled, plain)


def test_without_an_engine_the_images_are_there_all_the_same(tmp_path: Path) -> None:
    """Commands run as processes: there is nothing to pull, and nothing is pulled."""
    agent = Agent(tmp_path).start()
    try:
        assert agent.wait_for_report(bool) == ImagesReport(engine=False, processes=True)
        agent.prefetch("127.0.0.1:1/absent@sha256:" + "0" * 64)
        wait_until(lambda: "uses no Docker engine" in log_of(agent), "it says why not")
        assert agent.run(a_spec(a_manifest("true"), agent.outputs)).state == "TASK_FINISHED"
    finally:
        agent.stop()


class MoodyEngine:
    """An engine without images that is well, or refuses everything."""

    def __init__(self) -> None:
        engine = self
        self.is_well = True

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                versions = {"ApiVersion": "1.41", "MinAPIVersion": "1.12"}
                body = json.dumps(versions if self.path.endswith("/version") else []).encode()
                self.send_response(200 if engine.is_well else 500)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"tcp://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_of_an_engine_that_is_sick_for_a_while_nothing_is_told(tmp_path: Path) -> None:
    """What it held it will hold again."""
    engine = MoodyEngine()
    agent = Agent(tmp_path, SWATH_DOCKER="auto", DOCKER_HOST=engine.host).start()
    try:
        agent.wait_for_report(lambda report: report.engine)
        engine.is_well = False
        agent.send_subscribed()
        wait_until(lambda: "the images of this agent are not known" in log_of(agent), "it has looked")
        assert all(report.engine for report in agent.reports)
    finally:
        agent.stop()
        engine.close()


def test_an_image_that_is_asked_for_is_pulled_and_told(registry: str, own_agent: Agent, tmp_path: Path) -> None:
    """By the name that it is asked for with; the attempt that comes then waits for nothing, and later executors know it."""
    reference = push_new(f"{registry}/ahead")
    own_agent.prefetch(reference)
    try:
        report = own_agent.wait_for_report(lambda report: find(report, reference))
        assert is_here(reference)
        assert find(report, docker("inspect", "--format", "{{.Id}}", reference)) == find(report, reference)
        image = ImageSource(name="shell", version="1.0.0", reference=reference)
        update = own_agent.run(a_spec(a_manifest("sh -c true"), own_agent.outputs, image=image))
        assert own_agent.states(update.task) == ["TASK_RUNNING", "TASK_FINISHED"]
        other = Agent(tmp_path / "other", SWATH_DOCKER="auto").start()
        other.wait_for_report(lambda report: find(report, reference))
        other.stop()
    finally:
        docker("rmi", "--force", reference)


def test_nothing_is_pulled_ahead_onto_a_full_disk(registry: str, tmp_path: Path) -> None:
    """The log says how much is free; an attempt still gets its image."""
    reference = push_new(f"{registry}/unwanted")
    agent = Agent(tmp_path, SWATH_DOCKER="auto", SWATH_PREFETCH_FREE_MIB=str(2**40)).start()
    try:
        agent.prefetch(reference)
        wait_until(lambda: "GiB are free for images" in log_of(agent), "it says why not")
        assert not is_here(reference)
        image = ImageSource(name="shell", version="1.0.0", reference=reference)
        assert agent.run(a_spec(a_manifest("sh -c true"), agent.outputs, image=image)).state == "TASK_FINISHED"
    finally:
        agent.stop()
        docker("rmi", "--force", reference)


def test_a_launch_joins_the_pull_of_its_image(slow: SlowRegistry, own_agent: Agent) -> None:
    """What is under way is not begun anew: the layer travels once."""
    reference, layer = slow.add("joined", secrets.token_bytes(LARGE), slow=True)
    own_agent.prefetch(reference)
    wait_until(lambda: slow.begun, "its layer is on the way")
    image = ImageSource(name="joined", version="1.0.0", reference=reference)
    task = own_agent.launch(a_spec(a_manifest("true"), own_agent.outputs, image=image))
    own_agent.wait(task, "TASK_STARTING")
    slow.let_go()
    try:
        own_agent.wait_for_report(lambda report: find(report, reference))
        assert own_agent.wait(task).state == "TASK_FAILED"  # there is nothing in it that could run
        assert slow.begun == [layer]
        assert not slow.broken_off.is_set()
    finally:
        docker("rmi", "--force", reference)


def test_a_launch_of_another_image_has_the_line_to_itself(slow: SlowRegistry, own_agent: Agent) -> None:
    """What nobody waits for is broken off at once."""
    reference, _ = slow.add("later", secrets.token_bytes(LARGE), slow=True)
    hurried, layer = slow.add("hurried", secrets.token_bytes(LARGE), slow=True)
    own_agent.prefetch(reference)
    wait_until(lambda: slow.begun, "its layer is on the way")
    image = ImageSource(name="hurried", version="1.0.0", reference=hurried)
    task = own_agent.launch(a_spec(a_manifest("true"), own_agent.outputs, image=image))
    try:
        wait_until(slow.broken_off.is_set, "the engine has let go of the first")
        wait_until(lambda: slow.begun[-1] == layer, "the layer that is waited for is on the way")
        slow.let_go()
        assert own_agent.wait(task).state == "TASK_FAILED"  # there is nothing in it that could run
        assert not is_here(reference)
    finally:
        docker("rmi", "--force", hurried)


def test_a_registry_that_falls_silent_holds_up_nobody(slow: SlowRegistry, tmp_path: Path) -> None:
    """What is pulled ahead from it is given up, and the engine lets go: it downloads few layers at a time."""
    slow.stalls = True
    reference, layer = slow.add("stalls", secrets.token_bytes(LARGE), slow=True)
    settings = Settings.from_environ({"MESOS_SANDBOX": str(tmp_path), "SWATH_INPUT_ROOTS": "/"})
    with pytest.raises(EngineError, match="does not answer"):
        ImageCache(Engine(), settings, silence_ahead_s=2.0).pull_ahead(reference)
    assert slow.begun == [layer]
    slow.stalls = False
    wait_until(slow.broken_off.is_set, "the engine has let go")
    assert not is_here(reference)
