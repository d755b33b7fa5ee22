"""Warm containers, for real: the attempts of a slot in one container, and nothing of one that the next could find."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from executor.runtimes.lending import MOST
from swath.domain.attempts import AttemptSpec, ImageSource
from swath.domain.retries import Cause
from tests.executor.agent import Agent, Update, wait_until
from tests.executor.build import a_manifest, a_spec, an_id, an_output
from tests.executor.programs import PROGRAMS, docker, make_image

pytestmark = [pytest.mark.docker, pytest.mark.timeout(180)]

MEM = 64  # MiB
WHERE = "head -n 1 /etc/hostname"  # one a container


@pytest.fixture(scope="module")
def image() -> Iterator[ImageSource]:
    """An image with a shell and Python, and a volume; removed in the end."""
    image_id = make_image(PROGRAMS, "VOLUME /cache", "ENV PLACE=image", python=True)
    yield ImageSource(name="shell", version="1.0.0", image_id=image_id)
    docker("rmi", "--force", image_id)


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """One executor that runs containers only."""
    directory = tmp_path_factory.mktemp("agent")
    agent = Agent(directory, SWATH_DOCKER="auto", SWATH_PROCESS_RUNTIME="0").start()
    yield agent
    agent.stop()


def a_run(agent: Agent, image: ImageSource, script: str, **given: Any) -> AttemptSpec:
    """An attempt that runs a line of shell, in an image that may be used again; the line stands in a parameter."""
    names = ("inputs", "outputs", "json_outputs", "errors")
    manifest = a_manifest("sh -c ${LETTER}", **{name: given.pop(name) for name in names if name in given})
    given = {"resources": {"cpus": 1, "mem": MEM, "disk": 0, "gpus": 0}, "parameters": {"LETTER": script}, **given}
    reusable = {"reusable": True, **given.pop("swath_manifest", {})}
    return a_spec(manifest, agent.outputs, image=image, swath_manifest=reusable, **given)


def others(spec: AttemptSpec, *scripts: str) -> list[AttemptSpec]:
    """More attempts of the same job."""
    return [replace(spec, attempt=an_id(), parameters={"LETTER": script}) for script in scripts]


def run(agent: Agent, *specs: AttemptSpec) -> list[Update]:
    """The attempts in a slot of their own, to their ends."""
    agent.open_slot(an_id(), *specs)
    return [agent.wait(spec.attempt) for spec in specs]


def where(agent: Agent, *updates: Update) -> list[str]:
    """The container that each attempt was in."""
    return [agent.log(update).splitlines()[0] for update in updates]


def containers_of(slot: str) -> list[str]:
    """The ids of a slot's warm containers."""
    return docker("ps", "-aq", "--filter", f"label=swath.slot={slot}").split()


def test_attempts_of_a_slot_share_a_container_and_nothing_else(agent: Agent, image: ImageSource) -> None:
    """Outputs, logs, exit codes and usage are each one's own; the container goes with its slot."""
    first = a_run(agent, image, f"{WHERE}; echo err >&2; echo one > $OUTPUT_DIR/result.txt", outputs=[an_output()])
    slot, second, third = an_id(), *others(first, f"{WHERE}; exit 3", f"{WHERE}; echo 3 > $OUTPUT_DIR/result.txt")

    agent.open_slot(slot, first, second, third)
    updates = [agent.wait(spec.attempt) for spec in (first, second, third)]

    assert [(update.state, update.report.exit_code) for update in updates] == [
        ("TASK_FINISHED", 0),
        ("TASK_FAILED", 3),
        ("TASK_FINISHED", 0),
    ]
    assert len(set(where(agent, *updates))) == 1
    assert [agent.log(update, "stderr") for update in updates] == ["err\n", "", ""]
    assert (Path(str(updates[0].report.output_dir)) / "result.txt").read_text() == "one\n"
    assert (Path(str(updates[2].report.output_dir)) / "result.txt").read_text() == "3\n"
    assert {update.report.runtime for update in updates} == {"docker"}
    assert all(update.report.usage["cpu_s"] < update.report.usage["wall_s"] + 1 for update in updates)
    wait_until(lambda: not containers_of(slot), "the container goes with its slot")
    wait_until(lambda: not list((agent.sandbox / "warm").iterdir()), "and its files")
    wait_until(lambda: [path.name for path in (agent.outputs / first.job).iterdir()] == ["0"], "in both places")


def test_the_next_attempt_finds_what_the_first_one_found(agent: Agent, image: ImageSource) -> None:
    """Files, variables, the directory, a shared-memory file: all as if the container were new."""
    look = "ls -A /tmp /run /dev/shm /dev/mqueue /cache $OUTPUT_DIR; env; ls /proc/self/fd"
    leave = (
        "mkdir -p /tmp/deep/er /cache/c; echo x > /tmp/deep/er/x; echo x > /run/x; echo x > /dev/shm/x; echo x > /cache/c/x;"
        " echo x > /dev/mqueue/x; chmod 000 /tmp/deep/er /tmp/deep; ln -s /etc /tmp/etc; export LEFT=1; cd /tmp; umask 077"
    )
    first = a_run(agent, image, look)
    updates = run(agent, first, *others(first, f"{leave}; ls -A /tmp", look))

    said = [
        [line for line in agent.log(update).replace(update.task, "ATTEMPT").splitlines() if "LETTER" not in line]
        for update in updates
    ]
    assert "PLACE=image" in said[0]
    assert said[1] == ["deep", "etc"]
    assert said[2] == said[0]


def test_processes_that_an_attempt_leaves_are_gone_before_the_next_begins(agent: Agent, image: ImageSource) -> None:
    """Those in a session of their own, which have lost their parents, too."""
    daemon = 'import os, time; os.fork() and os._exit(0); os.setsid(); open("/tmp/up", "w"); time.sleep(600)'
    up = "while ! test -e /tmp/up; do sleep 0.05; done"
    first = a_run(agent, image, f"{WHERE}; sleep 600 & python3 -c '{daemon}'; {up}; ls -d /proc/[0-9]*")
    updates = run(agent, first, *others(first, f"{WHERE}; ls -d /proc/[0-9]*"))

    assert len(set(where(agent, *updates))) == 1
    left, seen = (agent.log(update).splitlines()[1:] for update in updates)
    assert len(left) == 4  # the runner, ls in the shell's place, and the two
    assert len(seen) == 2
    assert updates[0].state == updates[1].state == "TASK_FINISHED"


def test_a_time_out_and_a_kill_of_processes_leave_the_container(agent: Agent, image: ImageSource) -> None:
    """What ignores SIGTERM is killed, with all that it has started; the next attempt is in the same container."""
    deaf = f"{WHERE}; trap true TERM; sleep 600 & while true; do sleep 1; done"
    first = a_run(agent, image, deaf, timeout_s=1.0, kill_grace_s=0.5)
    polite = f"{WHERE}; trap 'echo bye; exit 7' TERM; while true; do sleep 0.1; done"
    updates = run(agent, first, *others(first, polite, f"{WHERE}; ls -d /proc/[0-9]*"))

    assert [update.report.cause for update in updates] == [Cause.TIMEOUT, Cause.TIMEOUT, None]
    assert [update.report.exit_code for update in updates] == [137, 7, 0]
    assert agent.log(updates[1]).splitlines()[-1] == "bye"
    assert len(set(where(agent, *updates))) == 1
    assert len(agent.log(updates[2]).splitlines()) == 1 + 2  # the runner, and ls in the shell's place


def test_too_much_memory_is_oom_and_harms_nobody_else(agent: Agent, image: ImageSource) -> None:
    """The container's limit is each attempt's, for only one is in it; the next one has all of it again."""
    fill = "head -c {0}m /dev/zero | tail -c {0}m > /dev/null"
    first = a_run(agent, image, f"{WHERE}; {fill.format(200)}")
    updates = run(agent, first, *others(first, f"{WHERE}; {fill.format(40)}", f"{WHERE}; kill -9 $$"))

    assert [(update.state, update.report.cause) for update in updates] == [
        ("TASK_FAILED", Cause.OOM),
        ("TASK_FINISHED", None),
        ("TASK_FAILED", Cause.APP),
    ]
    assert updates[1].report.usage["max_mem"] > 40


def test_what_an_attempt_writes_is_its_own(agent: Agent, image: ImageSource) -> None:
    """More than was asked for is DISK, wherever in the container it is; and who used the processor is told for each."""
    resources = {"cpus": 1, "mem": MEM, "disk": 10, "gpus": 0}
    burn = "import time\nwhile time.process_time() < 0.5: pass"
    first = a_run(agent, image, f"{WHERE}; head -c 20m /dev/zero > $OUTPUT_DIR/x; sleep 600", resources=resources)
    in_tmp = f"{WHERE}; head -c 20m /dev/zero > /tmp/x; sleep 600"
    updates = run(agent, first, *others(first, in_tmp, f"{WHERE}; python3 -c '{burn}'", WHERE))
    assert [update.report.cause for update in updates] == [Cause.DISK, Cause.DISK, None, None]
    assert len(set(where(agent, *updates))) == 1
    assert updates[2].report.usage["cpu_s"] >= 0.5 > updates[3].report.usage["cpu_s"]


def test_a_command_that_is_not_there_is_the_images_fault(agent: Agent, image: ImageSource) -> None:
    """As without a warm container; and a parameter that no command can have is the job's."""
    first = replace(a_run(agent, image, ""), manifest=a_manifest("no-such-command ${LETTER}"))
    updates = run(agent, first, *others(first, "zero\0byte"))
    assert [update.report.cause for update in updates] == [Cause.IMAGE, Cause.SPEC]
    assert "No such file" in updates[0].message


def test_a_container_that_fails_harms_its_attempt_only(agent: Agent, image: ImageSource) -> None:
    """It is the agent's fault, and the next one has a new container."""
    slot, first = an_id(), a_run(agent, image, WHERE)
    second, third = others(first, f"{WHERE}; sleep 600", WHERE)
    agent.open_slot(slot, first, second)
    agent.wait(second.attempt, "TASK_RUNNING")
    agent.hand_over(slot, third)
    (container,) = containers_of(slot)

    docker("kill", container)

    failed = agent.wait(second.attempt)
    assert (failed.state, failed.report.cause) == ("TASK_FAILED", Cause.AGENT)
    after = agent.wait(third.attempt)
    assert after.state == "TASK_FINISHED"
    assert where(agent, after) != where(agent, failed)
    assert where(agent, agent.wait(first.attempt)) == where(agent, failed)


def test_an_image_without_python_gets_a_container_each(agent: Agent) -> None:
    """What cannot be reused is not."""
    image_id = make_image(PROGRAMS)
    try:
        first = a_run(agent, ImageSource(name="shell", version="1.0.0", image_id=image_id), WHERE)
        updates = run(agent, first, *others(first, WHERE))
    finally:
        docker("rmi", "--force", image_id)
    assert [update.state for update in updates] == ["TASK_FINISHED", "TASK_FINISHED"]
    assert len(set(where(agent, *updates))) == 2


def test_what_cannot_be_removed_costs_the_container(agent: Agent, image: ImageSource) -> None:
    """Directories nested deeper than anybody's: the next attempt has a new container, and does not find them."""
    dig = 'import os; os.chdir("/tmp"); [(os.mkdir("d"), os.chdir("d")) for _ in range(1100)]'
    first = a_run(agent, image, f"{WHERE}; python3 -c '{dig}'")
    updates = run(agent, first, *others(first, f"{WHERE}; ls /tmp"))
    assert [update.state for update in updates] == ["TASK_FINISHED", "TASK_FINISHED"]
    assert len(set(where(agent, *updates))) == 2
    assert len(agent.log(updates[1]).splitlines()) == 1


def test_small_inputs_are_each_attempts_own(agent: Agent, image: ImageSource) -> None:
    """Files, several of them, and directories, lent for as long as their attempt runs; nothing of them can be changed."""
    for name in "ab":
        (agent.inputs / name).write_text(f"{name}\n")
        (agent.inputs / f"{name}.scene").mkdir()
        (agent.inputs / f"{name}.scene" / "band").write_text(f"band of {name}\n")
    script = f"{WHERE}; cat $ONE $SCENE/band $ALL/a $ALL/b; ls /swath/inputs/*; echo x > $SCENE/band; echo x > $ONE"
    inputs = [{"name": "ONE"}, {"name": "SCENE"}, {"name": "ALL", "multiple": True}]
    both = [f"file://{agent.inputs}/a", f"file://{agent.inputs}/b"]
    specs = []
    for name in "aba":
        files = {
            "ONE": [f"file://{agent.inputs}/{name}"],
            "SCENE": [f"file://{agent.inputs}/{name}.scene"],
            "ALL": both,
        }
        specs.append(replace(a_run(agent, image, script, inputs=inputs), files=files))
    updates = run(agent, *specs)
    assert len(set(where(agent, *updates))) == 1
    for name, update in zip("aba", updates, strict=True):
        said = agent.log(update).splitlines()[1:]
        assert said[:4] == [name, f"band of {name}", "a", "b"]
        assert [line for line in said[4:] if line] == [
            *("/swath/inputs/ALL:", "a", "b"),
            *("/swath/inputs/ONE:", name),
            *("/swath/inputs/SCENE:", f"{name}.scene"),
        ]
        assert agent.log(update, "stderr").count("Read-only file system") == 2
    assert (agent.inputs / "a").read_text() == "a\n"


def test_other_large_inputs_need_another_container(agent: Agent, image: ImageSource) -> None:
    """They are mounted: attempts with the same ones share a container, whatever small ones they have besides."""
    for name in "cd":
        with (agent.inputs / name).open("w") as file:
            file.write(f"{name}\n")
            file.truncate(2 * MOST)
        (agent.inputs / f"small.{name}").write_text(f"small {name}\n")
    script, inputs = f"{WHERE}; head -n 1 $LARGE; cat $SMALL", [{"name": "LARGE"}, {"name": "SMALL"}]
    first, second, third = (
        replace(
            a_run(agent, image, script, inputs=inputs),
            files={"LARGE": [f"file://{agent.inputs}/{large}"], "SMALL": [f"file://{agent.inputs}/small.{small}"]},
        )
        for large, small in ("cc", "cd", "dd")
    )
    updates = run(agent, first, second, third)
    assert [agent.log(update).splitlines()[1:] for update in updates] == [
        ["c", "small c"],
        ["c", "small d"],
        ["d", "small d"],
    ]
    one, same, other = where(agent, *updates)
    assert one == same != other


def test_what_not_everybody_may_read_is_not_lent(agent: Agent, image: ImageSource) -> None:
    """A copy would be the executor's: in a container the file is what it is to the container's user."""
    (agent.inputs / "closed").write_text("closed\n")
    (agent.inputs / "closed").chmod(0o600)
    files = {"ONE": [f"file://{agent.inputs}/closed"]}
    first = a_run(agent, image, f"{WHERE}; cat $ONE", inputs=[{"name": "ONE"}], files=files)
    (update,) = run(agent, first)
    assert update.report.cause is Cause.APP
    assert "Permission denied" in agent.log(update, "stderr")


def test_a_killed_executor_leaves_no_warm_container(tmp_path: Path, image: ImageSource) -> None:
    """Its runner ends with it, and the guardian removes the rest; files in the outputs too."""
    agent = Agent(tmp_path, SWATH_DOCKER="auto", SWATH_PROCESS_RUNTIME="0").start()
    slot, first = an_id(), a_run(agent, image, "echo x > $OUTPUT_DIR/result.txt; sleep 600", outputs=[an_output()])
    agent.open_slot(slot, first)
    agent.wait(first.attempt, "TASK_RUNNING")
    (container,) = containers_of(slot)
    pid = json.loads(docker("inspect", container))[0]["State"]["Pid"]

    agent.kill_executor()

    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the runner ends")
    wait_until(lambda: not containers_of(slot), "the container is removed")
    wait_until(lambda: not list(agent.outputs.rglob(".*.partial")), "and what was not published")


def test_the_runner_ends_with_its_executor_alone(tmp_path: Path, image: ImageSource) -> None:
    """No guardian is needed for that: the socket closes."""
    agent = Agent(tmp_path, SWATH_DOCKER="auto", SWATH_PROCESS_RUNTIME="0", STANDIN_UNGUARDED="1").start()
    slot, first = an_id(), a_run(agent, image, "sleep 600")
    agent.open_slot(slot, first)
    agent.wait(first.attempt, "TASK_RUNNING")
    (container,) = containers_of(slot)
    pid = json.loads(docker("inspect", container))[0]["State"]["Pid"]

    assert agent.process is not None
    os.kill(agent.process.pid, signal.SIGKILL)

    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the runner ends")
    agent.kill_executor()
    agent.start()  # a successor removes what has ended
    wait_until(lambda: not containers_of(slot), "the container is removed")
    agent.stop()


def test_what_is_swapped_behind_the_look_is_not_mounted(tmp_path: Path, image: ImageSource) -> None:
    """A link takes its place just before the slot's container begins, by the site's hook: nothing is read there."""
    precious, swap, scene = tmp_path / "precious", tmp_path / "swap", tmp_path / "inputs" / "scene"
    precious.mkdir()
    (precious / "key").write_text("xyzzy")
    scene.mkdir(parents=True)
    swap.write_text(f"#!/bin/sh\ntest $1 = after || {{ rmdir {scene} && ln -s {precious} {scene}; }}\n")
    swap.chmod(0o755)
    agent = Agent(tmp_path, SWATH_DOCKER="auto", SWATH_PROCESS_RUNTIME="0", SWATH_HOOK_BEFORE=str(swap)).start()
    try:
        files = {"SCENE": [scene.as_uri()]}
        (update,) = run(agent, a_run(agent, image, "cat $SCENE/key", inputs=[{"name": "SCENE"}], files=files))
        assert (update.state, update.report.cause) == ("TASK_FAILED", Cause.TRANSFER), agent.log(update)
        assert "was replaced while the attempt waited" in update.message
        assert agent.log(update) == ""
    finally:
        agent.stop()
