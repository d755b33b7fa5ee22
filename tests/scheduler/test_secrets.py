"""The scheduler gives secrets to the executor that runs the attempt, and to nobody else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scheduler.core import effects as fx
from scheduler.core import events as ev
from scheduler.core.from_mesos import to_event
from scheduler.core.specs import make_spec
from scheduler.strongroom import Strongroom
from swath.cli.secrets import make_key
from swath.cli.var import write_private
from swath.domain.jobs import JobSpec
from swath.domain.secret_messages import SecretsOrder
from swath.store.database import Database
from swath.store.secret_store import SecretRow, SecretStore
from swath.vault.keyring import Keyring
from swath.vault.sealing import Opener
from swath.wire.calls import make_data
from tests.scheduler.world import IMAGE, MANIFEST, NOON, World, a_job

KEY = bytes(range(32))
SECRET = "xyzzy-plugh-plover"


def a_secret_job():
    """A job of an image with a secret setting, that takes another one too."""
    settings = [{"name": "TOKEN", "secret": True}, {"name": "PLACE"}, {"name": "OPEN"}]
    job = MANIFEST["job"]
    manifest = {**MANIFEST, "job": {**job, "interface": {**job["interface"], "settings": settings}}}
    said = {"image": "true", "project": "forest", "settings": {"PLACE": {"secret": "MINE"}, "OPEN": "yes"}}
    return replace(a_job(), image=replace(IMAGE, manifest=manifest), spec=JobSpec.from_document(said))


def ask(world: World, attempt: str, agent: str = "a1", executor: str | None = None) -> World:
    """An executor asks for an attempt's secrets."""
    executor = executor or world.settings.executor_id
    return world.happen(ev.SecretsWanted(agent_id=agent, executor_id=executor, attempt=attempt, key=KEY))


def test_an_executor_gets_the_secrets_of_its_attempt() -> None:
    """By the names that manifest and job give; values are nobody's affair in here."""
    world = World()
    attempt = world.running(a_secret_job())

    (call,) = ask(world, attempt).lately(fx.SendSecrets)

    assert (call.agent_id, call.attempt, call.project, call.key) == ("a1", attempt, "forest", KEY)
    assert call.wanted == {"TOKEN": "TOKEN", "PLACE": "MINE"}


def test_nobody_else_gets_them() -> None:
    """Another agent, another executor of the same agent, and whoever asks after the attempt's end or for none."""
    world = World()
    attempt = world.running(a_secret_job())

    assert ask(world, attempt, agent="a2").lately(fx.SendSecrets) == []
    assert ask(world, attempt, executor="other").lately(fx.SendSecrets) == []
    assert ask(world, "01JD0000000000000000000000").lately(fx.SendSecrets) == []
    world.say(attempt, "FINISHED")
    assert ask(world, attempt).lately(fx.SendSecrets) == []


def test_a_scheduler_that_took_over_answers_too() -> None:
    """By what is committed."""
    world = World()
    attempt = world.running(a_secret_job())
    world.restart().subscribe()

    assert len(ask(world, attempt).lately(fx.SendSecrets)) == 1


def test_a_task_names_its_secrets_and_holds_none() -> None:
    """What stands in TaskInfo are settings in the clear, and names."""
    world = World()
    world.running(a_secret_job())
    launch = world.called(fx.Accept)[0].launches[0]

    spec = make_spec(launch, None, frozenset(), "/out")

    assert (spec.settings, spec.secrets) == ({"OPEN": "yes"}, {"TOKEN": "TOKEN", "PLACE": "MINE"})


def test_a_version_that_is_tried_gets_no_secrets() -> None:
    """Nobody trusts it yet: its trial takes no settings, and a question of its executor is answered with none."""
    job = a_secret_job()
    world = World()
    attempt = world.running(replace(job, spec=replace(job.spec, settings={}, trial=True)))
    launch = world.called(fx.Accept)[0].launches[0]

    spec = make_spec(launch, None, frozenset(), "/out")

    assert (spec.settings, spec.secrets) == ({}, {})
    assert ask(world, attempt).lately(fx.SendSecrets)[0].wanted == {}


def test_a_question_is_read_from_mesos_message() -> None:
    """With the agent and executor that Mesos says it is from."""
    order = SecretsOrder.make("01JD0000000000000000000000", KEY)
    body = {"agent_id": {"value": "a1"}, "executor_id": {"value": "e1"}, "data": make_data(order.to_json().encode())}

    event = to_event({"type": "MESSAGE", "message": body})

    assert event == ev.SecretsWanted(agent_id="a1", executor_id="e1", attempt=order.attempt, key=KEY)


@pytest.fixture
def call() -> fx.SendSecrets:
    """What the core wants sent, and for which key."""
    wanted = {"TOKEN": "TOKEN"}
    where = {"agent_id": "a1", "executor_id": "e1", "attempt": "01JD0000000000000000000000"}
    return fx.SendSecrets(**where, project="forest", wanted=wanted, key=KEY)


def test_secrets_are_sealed_for_whoever_asked(database: Database, tmp_path: Path, call: fx.SendSecrets) -> None:
    """Out of the database, for that key; the message does not hold them, nor does its text."""
    write_private(tmp_path / "keys", make_key() + "\n")
    store, opener = SecretStore(database), Opener.make()
    sealed = Keyring(file=tmp_path / "keys").seal("forest", "TOKEN", SECRET)
    store.put(SecretRow(project="forest", name="TOKEN", user="ada", at=NOON), sealed)

    answer = Strongroom(store=store, key_file=tmp_path / "keys").answer(replace(call, key=opener.public_key))

    assert opener.open(answer.sealed_bytes, call.attempt) == {"TOKEN": SECRET}
    assert SECRET not in answer.to_json()


def test_what_its_user_can_mend_is_told_and_the_rest_is_for_another_leader(
    database: Database, tmp_path: Path, call: fx.SendSecrets
) -> None:
    """No secret any more, a key that is none: an answer. No key file, or a wrong one: none, or tasks would fail for good."""
    write_private(tmp_path / "keys", make_key() + "\n")
    store = SecretStore(database)
    room = Strongroom(store=store, key_file=tmp_path / "keys")

    assert Strongroom(store=store, key_file=None).answer(call) is None
    assert "no secret TOKEN any more" in str(room.answer(call).problem)
    sealed = Keyring(file=tmp_path / "keys").seal("forest", "TOKEN", SECRET)
    store.put(SecretRow(project="forest", name="TOKEN", user="ada", at=NOON), sealed)
    assert "is no key" in str(room.answer(replace(call, key=bytes(32))).problem)
    write_private(tmp_path / "keys", make_key() + "\n")
    assert room.answer(call) is None
