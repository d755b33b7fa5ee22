"""Secrets of attempts: asked for, given to the command, and masked in whatever it writes."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.masking import Mask
from swath.domain.attempts import AttemptSpec
from swath.domain.retries import Cause
from swath.domain.secret_messages import SecretsAnswer
from swath.domain.secrets import MASK
from swath.vault.sealing import seal
from tests.executor.agent import Agent, wait_until
from tests.executor.build import a_manifest, a_spec

SECRET = "xyzzy-plugh-plover"
KEY = "-----BEGIN KEY-----\nMIIEowIBAAKCAQEA\nq1w2e3r4t5y6u7i8\n-----END KEY-----"


def a_secret_run(agent: Agent, command: str, **secrets: str) -> AttemptSpec:
    """An attempt of the image `true` whose settings are secret."""
    manifest = a_manifest(command)
    manifest["job"]["interface"]["settings"] = [{"name": name, "secret": True} for name in secrets]
    return a_spec(manifest, agent.outputs, secrets={name: name for name in secrets})


def give(agent: Agent, spec: AttemptSpec, secrets: dict[str, str], times: int = 1) -> None:
    """Answer the attempt's question."""
    order = agent.wait_for_secrets_wanted(spec.attempt, times)
    answer = SecretsAnswer.make(spec.attempt, seal(secrets, order.key_bytes, spec.attempt))
    agent.send_message(answer.to_json().encode())


def find_in(root: Path, secret: str) -> list[Path]:
    """The files below a directory that hold the secret."""
    files = [Path(at, name) for at, _, names in os.walk(root) for name in names]
    return [path for path in files if path.is_file() and secret.encode() in path.read_bytes()]


def test_a_command_gets_its_secrets_and_no_file_holds_them(agent: Agent) -> None:
    """It finds them in its environment; on stdout and stderr there is a mask, line by line of a long one."""
    program = (
        "import os, sys; token, key = os.environ['TOKEN'], os.environ['KEY']; "
        f"assert len(token) == {len(SECRET)} and key.count(chr(10)) == 3; "
        "print('I have', token, flush=True); sys.stdout.write(token[:5]); sys.stdout.flush(); print(token[5:]); "
        "print(key, file=sys.stderr)"
    )
    spec = a_secret_run(agent, f'python -c "{program}"', TOKEN=SECRET, KEY=KEY)
    agent.launch(spec)
    give(agent, spec, {"TOKEN": SECRET, "KEY": KEY})

    update = agent.wait(spec.attempt)

    assert (update.state, update.report.exit_code) == ("TASK_FINISHED", 0), agent.log(update, "stderr")
    assert agent.log(update) == f"I have {MASK.decode()}\n{MASK.decode()}\n"
    assert agent.log(update, "stderr") == f"{MASK.decode()}\n"
    assert find_in(agent.directory, SECRET) == find_in(agent.directory, "MIIEowIBAAKCAQEA") == []
    assert SECRET not in repr(agent.updates)


def test_an_input_is_looked_at_again_when_the_secrets_have_come(agent: Agent) -> None:
    """Whoever puts a link in its place while the attempt waits gains nothing: the next one is told that it leads outside."""
    scene = agent.inputs / "swapped.tif"
    scene.write_text("x")
    spec = a_secret_run(agent, "cat $SCENE", TOKEN=SECRET)
    spec.manifest["job"]["interface"]["inputs"]["files"] = [{"name": "SCENE"}]
    spec = replace(spec, files={"SCENE": [scene.as_uri()]})
    agent.launch(spec)
    agent.wait_for_secrets_wanted(spec.attempt)
    scene.unlink()
    scene.symlink_to("/etc/passwd")
    give(agent, spec, {"TOKEN": SECRET})

    update = agent.wait(spec.attempt)

    assert (update.state, update.report.cause) == ("TASK_FAILED", Cause.TRANSFER)
    assert f"input SCENE: {scene} was replaced" in update.message


def a_file_run(agent: Agent, command: str) -> AttemptSpec:
    """An attempt that wants its secret as a file."""
    return replace(a_secret_run(agent, command, TOKEN=SECRET), swath_manifest={"secret_files": ["TOKEN"]})


def test_a_secret_is_a_file_where_the_image_wants_that(agent: Agent) -> None:
    """In memory, whole, closed to others, and gone with the attempt; its variable holds the path."""
    program = (
        "import os, pathlib; path = pathlib.Path(os.environ['TOKEN']); "
        "print(path, oct(path.parent.parent.stat().st_mode & 0o777), len(path.read_text()), path.read_text())"
    )
    spec = a_file_run(agent, f'python -c "{program}"')
    agent.launch(spec)
    give(agent, spec, {"TOKEN": SECRET})

    update = agent.wait(spec.attempt)
    path, mode, length, masked = agent.log(update).split()

    assert (mode, length, masked) == ("0o700", str(len(SECRET)), MASK.decode())
    assert path.startswith("/dev/shm/swath-")
    wait_until(lambda: not Path(path).parent.exists(), "the file goes with its attempt")


@pytest.mark.parametrize("kill", [True, False])
def test_no_file_is_left_when_the_executor_ends(own_agent: Agent, kill: bool) -> None:
    """Neither by SHUTDOWN nor after kill -9, for which there is the guardian."""
    spec = a_file_run(own_agent, "sleep 60")
    own_agent.launch(spec)
    give(own_agent, spec, {"TOKEN": SECRET})
    own_agent.wait(spec.attempt, "TASK_RUNNING")
    (directory,) = Path("/dev/shm").glob(f"swath-*/{spec.attempt}")
    assert (directory / "TOKEN").read_text() == SECRET

    if kill:
        own_agent.kill_executor()
    else:
        own_agent.stop()

    wait_until(lambda: not directory.parent.exists(), "nothing is left in memory")


def test_a_lost_question_is_asked_again(agent: Agent) -> None:
    """With the same key, so that an answer to either of them does."""
    spec = a_secret_run(agent, "true", TOKEN=SECRET)
    agent.launch(spec)
    first = agent.wait_for_secrets_wanted(spec.attempt)
    give(agent, spec, {"TOKEN": SECRET}, times=2)

    assert agent.wait(spec.attempt).state == "TASK_FINISHED"
    assert {order.key for order in agent.secrets_wanted if order.attempt == spec.attempt} == {first.key}


@pytest.mark.parametrize(
    ("answer", "cause", "message"),
    [
        ({"problem": "the project has none"}, Cause.INPUT, "the project has none"),
        ({"sealed": "AAAA"}, Cause.AGENT, "not sealed for this attempt"),
    ],
)
def test_an_attempt_without_its_secrets_does_not_start(
    agent: Agent, answer: dict[str, Any], cause: Cause, message: str
) -> None:
    """It fails with the reason; what nobody could seal for it is not taken."""
    spec = a_secret_run(agent, "true", TOKEN=SECRET)
    agent.launch(spec)
    agent.wait_for_secrets_wanted(spec.attempt)
    agent.send_message(SecretsAnswer(attempt=spec.attempt, **answer).to_json().encode())

    update = agent.wait(spec.attempt)

    assert (update.state, update.report.cause) == ("TASK_FAILED", cause)
    assert message in str(update.report.message)


def test_other_secrets_than_it_needs_are_not_taken(agent: Agent) -> None:
    """A scheduler that answers for something else is at fault."""
    spec = a_secret_run(agent, "true", TOKEN=SECRET)
    agent.launch(spec)
    give(agent, spec, {"PATH": "/evil"})

    assert agent.wait(spec.attempt).report.cause is Cause.AGENT


def test_an_attempt_that_waits_for_secrets_can_be_killed(agent: Agent) -> None:
    """It ends as any other that has not started."""
    spec = a_secret_run(agent, "true", TOKEN=SECRET)
    agent.launch(spec)
    agent.wait_for_secrets_wanted(spec.attempt)
    agent.kill(spec.attempt)

    assert agent.wait(spec.attempt).state == "TASK_KILLED"


words = st.lists(st.text("ab\n", min_size=4, max_size=9), min_size=1, max_size=3)


@given(secrets=words, text=st.lists(st.sampled_from(["a", "b", "\n", "c", "\0secret"]), max_size=60), cuts=st.data())
def test_no_secret_passes_however_a_stream_is_cut(secrets: list[str], text: list[str], cuts: st.DataObject) -> None:
    """The same comes out as if all had come at once, and none of the secrets is in it."""
    whole = "".join(secrets[0] if part == "\0secret" else part for part in text).encode()
    places = sorted(cuts.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    mask, once = Mask(secrets), Mask(secrets)

    chunks = [whole[a:b] for a, b in zip([0, *places], [*places, len(whole)], strict=True)]
    masked = b"".join(map(mask.feed, chunks)) + mask.finish()

    assert masked == once.feed(whole) + once.finish()
    assert not any(secret.encode() in masked for secret in secrets)


def test_what_is_no_secret_is_not_held_back() -> None:
    """A log is followed as it is written: only what may begin a secret waits for the next byte."""
    mask = Mask([SECRET])
    assert mask.feed(b"line\n") == b"line\n"
    assert mask.feed(b"an x") == b"an "
    assert mask.feed(b"-ray\n") == b"x-ray\n"
    assert mask.feed(SECRET.encode()) == MASK
    assert mask.finish() == b""
    assert Mask([]).feed(b"as it is") == b"as it is"
