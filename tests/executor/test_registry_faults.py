"""A registry that refuses, errs, lies or breaks off, with the real engine in between: each has a cause and clear words."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from swath.domain.attempts import AttemptSpec, ImageSource
from swath.domain.manifest import LABEL
from swath.domain.retries import Cause
from tests.executor.agent import Agent, Update, wait_until
from tests.executor.build import a_manifest, a_spec
from tests.executor.programs import docker
from tests.executor.registry import SlowRegistry

pytestmark = [pytest.mark.docker, pytest.mark.timeout(180)]

SHELL = ("sh", "cat", "env")
SECRET = "open-sesame-7"


@pytest.fixture
def registry() -> Iterator[SlowRegistry]:
    """A registry that does as the test likes."""
    with SlowRegistry() as registry:
        yield registry


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """An executor of containers, with credentials for registries that are not there yet."""
    config = tmp_path / "registries.json"
    agent = Agent(tmp_path, SWATH_DOCKER="auto", SWATH_REGISTRY_CONFIG=str(config)).start()
    config.write_text("{}")
    yield agent
    agent.stop()


def a_run(agent: Agent, reference: str, command: str = "sh -c true") -> AttemptSpec:
    """An attempt in a registry's image."""
    image = ImageSource(name="trial", version="1.0.0", reference=reference)
    return a_spec(a_manifest(command), agent.outputs, image=image)


def assert_refused(update: Update, words: str, cause: Cause = Cause.IMAGE) -> None:
    """Failed, by that cause and with these words."""
    assert (update.state, update.report.cause) == ("TASK_FAILED", cause), update.message
    assert words in update.message


def log_in(agent: Agent, reference: str, said: str) -> None:
    """Write credentials for the image's registry, as `docker login` does."""
    auth = {"auth": base64.b64encode(said.encode()).decode()}
    (agent.directory / "registries.json").write_text(json.dumps({"auths": {reference.partition("/")[0]: auth}}))


def test_credentials_are_shown_to_the_registry_and_to_nobody_else(registry: SlowRegistry, agent: Agent) -> None:
    """Without them, and with wrong ones, a pull is refused; the right ones are in no container, no log and no report."""
    reference, _ = registry.add("closed", programs=SHELL)
    registry.credentials = f"ci:{SECRET}"
    assert_refused(agent.run(a_run(agent, reference)), "the registry wants other credentials")
    log_in(agent, reference, "ci:wrong")
    assert_refused(agent.run(a_run(agent, reference)), "SWATH_REGISTRY_CONFIG")
    log_in(agent, reference, registry.credentials)
    spec = a_run(agent, reference, "sh -c 'env; sleep 60'")
    try:
        running = agent.wait(agent.launch(spec), "TASK_RUNNING")
        wait_until(lambda: "OUTPUT_DIR" in agent.log(running), "it has shown its environment")
        told = [docker("inspect", f"swath-{spec.attempt}"), agent.log(running), (agent.sandbox / "stderr").read_text()]
        told += [update.message + update.report.to_json() for update in agent.updates]
        encoded = base64.b64encode(f"ci:{SECRET}".encode()).decode()
        assert not [text for text in told if SECRET in text or encoded in text]
        given = a_spec(
            a_manifest("true", inputs=[{"name": "ONE"}]),
            agent.outputs,
            image=spec.image,
            files={"ONE": [f"file://{agent.directory}/registries.json"]},
        )
        assert_refused(agent.run(given), "outside of the directories", Cause.INPUT)
    finally:
        agent.kill(spec.attempt, grace_s=0.1)
        agent.wait(spec.attempt)
        docker("rmi", "--force", reference)


def test_credentials_that_cannot_be_read_are_the_agents_fault(registry: SlowRegistry, agent: Agent) -> None:
    """What is in the file is not repeated."""
    reference, _ = registry.add("closed")
    (agent.directory / "registries.json").write_text(f'{{"auths": {{"r": "{SECRET}"')
    update = agent.run(a_run(agent, reference))
    assert_refused(update, "cannot be read as credentials", Cause.AGENT)
    assert SECRET not in update.message + (agent.sandbox / "stderr").read_text()


@pytest.mark.parametrize("status", [429, 503])
def test_a_registry_in_trouble_is_asked_again(registry: SlowRegistry, agent: Agent, status: int) -> None:
    """The attempt waits and says for what; when the registry is well it runs."""
    reference, _ = registry.add("busy", programs=SHELL)
    registry.status = status
    task = agent.launch(a_run(agent, reference))
    try:
        wait_until(lambda: any("another try in" in update.message for update in agent.updates), "it says so")
        registry.status = 200
        assert agent.wait(task).state == "TASK_FINISHED"
    finally:
        docker("rmi", "--force", reference)


def test_an_image_that_is_not_there_is_told_at_once(registry: SlowRegistry, agent: Agent) -> None:
    """404 does not pass: nobody waits for it."""
    reference, _ = registry.add("gone")
    update = agent.run(a_run(agent, reference.partition("@")[0] + "@sha256:" + "0" * 64))
    assert_refused(update, "the registry does not have it")
    assert not any("another try" in each.message for each in agent.updates)


def test_a_layer_that_is_not_what_its_digest_says_is_refused(registry: SlowRegistry, agent: Agent) -> None:
    """Bytes that were changed on the way."""
    reference, _ = registry.add("wrong", b"x" * 5000)
    registry.damage = lambda data: data[:-1] + bytes([data[-1] ^ 1])
    assert_refused(agent.run(a_run(agent, reference)), "is not what its digest says")


def test_a_layer_that_is_cut_off_is_tried_again(registry: SlowRegistry, agent: Agent) -> None:
    """By the engine, and the attempt tells so; over a line that is well again it runs."""
    reference, _ = registry.add("cut", secrets.token_bytes(2**20), programs=SHELL)
    registry.damage = lambda data: data[: len(data) // 2]
    task = agent.launch(a_run(agent, reference))
    try:
        wait_until(lambda: any("1 cut off and tried again" in each.message for each in agent.updates), "it says so")
        registry.damage = None
        assert agent.wait(task).state == "TASK_FINISHED"
    finally:
        docker("rmi", "--force", reference)


def test_an_image_for_another_platform_is_refused(registry: SlowRegistry, agent: Agent) -> None:
    """Before its command dies of it, with both names."""
    reference, _ = registry.add("foreign", architecture="s390x", programs=SHELL)
    try:
        assert_refused(agent.run(a_run(agent, reference)), "is made for linux/s390x, and this agent is linux/amd64")
    finally:
        docker("rmi", "--force", reference)


def test_an_image_that_says_it_is_another_one_is_refused(registry: SlowRegistry, agent: Agent) -> None:
    """Its label names another job than the one that it is registered as; one that says the same, or nothing, runs."""
    labels = {name: {"Labels": {LABEL: json.dumps(a_manifest("true"))}} for name in ("honest", "liar")}
    labels["liar"]["Labels"][LABEL] = labels["liar"]["Labels"][LABEL].replace('"trial"', '"another"')
    references = {name: registry.add(name, programs=SHELL, config=config)[0] for name, config in labels.items()}
    try:
        update = agent.run(a_run(agent, references["liar"]))
        assert_refused(update, "the image's label says that it is 'another', and it is registered as 'trial'")
        assert agent.run(a_run(agent, references["honest"])).state == "TASK_FINISHED"
    finally:
        docker("rmi", "--force", *references.values())


def test_a_slow_registry_holds_up_no_other_attempt(registry: SlowRegistry, agent: Agent) -> None:
    """Its progress is told in bytes; a kill is heard, and the engine stops when nobody waits any more."""
    slow, _ = registry.add("slow", bytes(range(256)) * 40000, slow=True)
    quick, _ = registry.add("quick", programs=SHELL)
    waiting = [agent.launch(a_run(agent, slow)) for _ in range(3)]
    try:
        assert agent.run(a_run(agent, quick)).state == "TASK_FINISHED"
        wait_until(lambda: all(tells_bytes(agent, task) for task in waiting), "how far it is")
        assert len(registry.begun) == 1
        for task in waiting:
            assert not registry.broken_off.is_set()
            agent.kill(task, grace_s=1)
            assert agent.wait(task).state == "TASK_KILLED"
        wait_until(registry.broken_off.is_set, "the engine has let go")
    finally:
        docker("rmi", "--force", quick)


def tells_bytes(agent: Agent, task: str) -> bool:
    """True when an update of the task has told how many bytes have come."""
    return any(" MiB" in update.message for update in agent.updates if update.task == task)
