"""Attempts as containers, for real: an image made of this machine's own shell, for no registry is needed."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from swath.domain.attempts import AttemptSpec, ImageSource
from swath.domain.retries import Cause
from tests.executor.agent import CONTAINERS_ONLY, Agent, wait_until
from tests.executor.build import a_manifest, a_spec, an_output
from tests.executor.programs import docker

pytestmark = [pytest.mark.docker, pytest.mark.timeout(180)]
ENVIRON = CONTAINERS_ONLY


def a_run(agent: Agent, image: ImageSource, script: str, **given: Any) -> AttemptSpec:
    """An attempt that runs a line of shell."""
    names = ("inputs", "outputs", "json_outputs", "errors")
    manifest = a_manifest(f"sh -c '{script}'", **{name: given.pop(name) for name in names if name in given})
    if "shared_mem" in given:
        scalar = {"name": "sharedMem", "value": given.pop("shared_mem")}
        manifest["job"]["resources"] = {"scalar": [scalar]}
    return a_spec(manifest, agent.outputs, image=image, **given)


def inspect(attempt: str) -> dict[str, Any]:
    """The engine's view of an attempt's container."""
    return dict(json.loads(docker("inspect", f"swath-{attempt}"))[0])


def test_a_container_leaves_outputs_and_logs(agent: Agent, image: ImageSource) -> None:
    """Streams apart, outputs published and readable, the container gone."""
    script = "echo out; echo err >&2; echo fine > $OUTPUT_DIR/result.txt"
    spec = a_run(agent, image, script, outputs=[an_output()])
    update = agent.run(spec)
    assert update.state == "TASK_FINISHED", update.message
    assert (update.report.runtime, update.report.exit_code, update.report.warnings) == ("docker", 0, [])
    assert (agent.log(update), agent.log(update, "stderr")) == ("out\n", "err\n")
    result = Path(str(update.report.output_dir)) / "result.txt"
    assert result.read_text() == "fine\n"
    assert result.stat().st_mode & 0o777 == 0o644
    wait_until(lambda: not docker("ps", "-aq", "--filter", f"label=swath.attempt={spec.attempt}"), "it is removed")


def test_a_container_is_limited_and_labelled(agent: Agent, image: ImageSource) -> None:
    """Every limit that was asked for, no capability, no network, no swap; labels by which it is found."""
    resources = {"cpus": 0.5, "mem": 64, "disk": 0, "gpus": 0}
    spec = a_run(agent, image, "sleep 60", resources=resources, shared_mem=16)
    agent.wait(agent.launch(spec), "TASK_RUNNING")
    seen = inspect(spec.attempt)
    host = seen["HostConfig"]
    assert (host["NanoCpus"], host["CpuShares"]) == (500_000_000, 512)
    assert (host["Memory"], host["MemorySwap"], host["ShmSize"]) == (64 * 2**20, 64 * 2**20, 16 * 2**20)
    assert (host["PidsLimit"], host["NetworkMode"], host["Init"]) == (1024, "none", True)
    assert (host["CapDrop"], host["SecurityOpt"]) == (["ALL"], ["no-new-privileges"])
    assert host["ReadonlyRootfs"] is True
    labels = seen["Config"]["Labels"]
    assert (labels["swath.attempt"], labels["swath.job"], labels["swath.task"]) == (spec.attempt, spec.job, "0")
    assert re.fullmatch("[0-9a-f]{16}", labels["swath.executor"])
    assert re.fullmatch("[0-9a-f]{16}", labels["swath.run"])
    agent.kill(spec.attempt)
    assert agent.wait(spec.attempt).state == "TASK_KILLED"


def test_a_container_has_no_network(agent: Agent, image: ImageSource) -> None:
    """Nothing but the loopback, unless the image asks for a network."""
    update = agent.run(a_run(agent, image, "ls /sys/class/net"))
    assert agent.log(update) == "lo\n"
    update = agent.run(a_run(agent, image, "ls /sys/class/net", swath_manifest={"network": "bridge"}))
    assert "eth0" in agent.log(update).split()


def test_a_containers_ports_are_published(agent: Agent, image: ImageSource) -> None:
    """On the machine's loopback, under their own numbers; one without a network is told that nobody can reach it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spec = a_run(agent, image, "echo $PORT0 $SWATH_PORTS; sleep 60", ports=[port], swath_manifest={"network": "bridge"})
    agent.wait(agent.launch(spec), "TASK_RUNNING")
    published = inspect(spec.attempt)["NetworkSettings"]["Ports"]
    assert published == {f"{port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]}
    agent.kill(spec.attempt)
    assert agent.log(agent.wait(spec.attempt)) == f"{port} {port}\n"
    update = agent.run(a_run(agent, image, "true", ports=[port]))
    assert "network is off" in update.report.warnings[0]


def test_inputs_are_read_only(agent: Agent, image: ImageSource) -> None:
    """A file under its own name, directories, `multiple`: readable, and nothing there can be changed."""
    (agent.inputs / "scene").mkdir(exist_ok=True)
    for name in ("a:1.txt", "scene/b.txt"):
        (agent.inputs / name).write_text(name)
    script = (
        "cat ${ONE} ${ALL}/a:1.txt ${ALL}/b.txt ${SCENE}/b.txt;"
        " touch ${ONE} ${SCENE}/new; (echo x > ${SCENE}/b.txt); (echo x > ${ONE}); rm -r ${SCENE}/b.txt; ls ${SCENE}"
    )
    inputs = [{"name": "ONE"}, {"name": "ALL", "multiple": True}, {"name": "SCENE"}]
    files = {
        "ONE": [f"file://{agent.inputs}/a:1.txt"],
        "ALL": [f"file://{agent.inputs}/a:1.txt", f"file://{agent.inputs}/scene/b.txt"],
        "SCENE": [f"file://{agent.inputs}/scene"],
    }
    update = agent.run(a_run(agent, image, script, inputs=inputs, files=files))
    assert update.state == "TASK_FINISHED", agent.log(update, "stderr")
    assert agent.log(update) == "a:1.txta:1.txtscene/b.txtscene/b.txtb.txt\n"
    refused = agent.log(update, "stderr")
    assert refused.count("Read-only file system") + refused.count("Permission denied") == 5
    assert (agent.inputs / "scene" / "b.txt").read_text() == "scene/b.txt"


def test_what_is_swapped_behind_the_look_is_not_mounted(tmp_path: Path, image: ImageSource) -> None:
    """A link takes its place just before the container begins, by the site's hook: free, and nothing is read there."""
    precious, swap = tmp_path / "precious", tmp_path / "swap"
    precious.mkdir()
    (precious / "key").write_text("xyzzy")
    scene = tmp_path / "inputs" / "scene"
    scene.mkdir(parents=True)
    swap.write_text(f"#!/bin/sh\ntest $1 = after || {{ rmdir {scene} && ln -s {precious} {scene}; }}\n")
    swap.chmod(0o755)
    agent = Agent(tmp_path, **CONTAINERS_ONLY, SWATH_HOOK_BEFORE=str(swap)).start()
    try:
        files = {"SCENE": [scene.as_uri()]}
        update = agent.run(a_run(agent, image, "cat ${SCENE}/key", inputs=[{"name": "SCENE"}], files=files))
        assert (update.state, update.report.cause) == ("TASK_FAILED", Cause.TRANSFER), agent.log(update)
        assert "was replaced while the attempt waited" in update.message
        assert agent.log(update) == ""
        assert (
            agent.run(a_run(agent, image, "true", inputs=[{"name": "SCENE"}], files=files)).report.cause is Cause.INPUT
        )
    finally:
        agent.stop()


def test_the_images_own_file_system_is_read_only(agent: Agent, image: ImageSource) -> None:
    """A command writes to its output and to /tmp, and nowhere else."""
    update = agent.run(a_run(agent, image, "touch /tmp/a $OUTPUT_DIR/b && ! touch /c /bin/d"))
    assert update.state == "TASK_FINISHED", agent.log(update, "stderr")
    assert agent.log(update, "stderr").count("Read-only file system") == 2


def test_running_out_of_memory_is_told_apart(agent: Agent, image: ImageSource) -> None:
    """OOM where the engine says so and the command failed; not where only a child was killed and the command went on."""
    resources = {"cpus": 1, "mem": 32, "disk": 0, "gpus": 0}
    hungry = "dd if=/dev/zero of=/dev/null bs=200M count=1"  # one process: while it is being ended nobody else asks for memory
    update = agent.run(a_run(agent, image, f"{hungry}; exit $?", resources=resources))
    assert (update.state, update.report.cause, update.report.exit_code) == ("TASK_FAILED", Cause.OOM, 137)
    assert "more than 32 MiB memory" in update.message
    update = agent.run(a_run(agent, image, f"{hungry}; exit 0", resources=resources))
    assert (update.state, update.report.cause) == ("TASK_FINISHED", None)
    update = agent.run(a_run(agent, image, "kill -9 $$"))
    assert (update.report.cause, update.report.exit_code) == (Cause.APP, 137)


def test_a_fork_bomb_meets_its_limit(tmp_path: Path, image: ImageSource) -> None:
    """No more processes than allowed; the attempt ends by its time-out, and nothing is left of it."""
    agent = Agent(tmp_path, SWATH_DOCKER="auto", SWATH_PIDS_LIMIT="16").start()
    try:
        script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 60 & done; sleep 60"
        spec = a_run(agent, image, script, timeout_s=2.0, kill_grace_s=0.2)
        update = agent.run(spec)
        assert "annot fork" in agent.log(update, "stderr")
        assert update.state == "TASK_FAILED"
        wait_until(lambda: not docker("ps", "-aq", "--filter", f"label=swath.attempt={spec.attempt}"), "it is removed")
    finally:
        agent.stop()


def test_a_time_out_ends_what_ignores_sigterm(agent: Agent, image: ImageSource) -> None:
    """SIGTERM, the grace, SIGKILL."""
    spec = a_run(agent, image, 'trap "echo no" TERM; while :; do sleep 0.1; done', timeout_s=2.0, kill_grace_s=3.0)
    update = agent.run(spec)
    assert (update.report.cause, update.report.exit_code) == (Cause.TIMEOUT, 137)
    assert agent.log(update) == "no\n"


def test_a_kill_lets_the_command_tidy_up(agent: Agent, image: ImageSource) -> None:
    """SIGTERM reaches the command, though it is not process 1."""
    script = 'trap "echo tidied up; exit 0" TERM; echo ready; while :; do sleep 0.1; done'
    task = agent.launch(a_run(agent, image, script))
    running = agent.wait(task, "TASK_RUNNING")
    wait_until(lambda: agent.log(running), "the command is ready")
    agent.kill(task)
    update = agent.wait(task)
    assert (update.state, agent.log(update)) == ("TASK_KILLED", "ready\ntidied up\n")


def test_a_kill_before_the_start_is_kept(agent: Agent, image: ImageSource) -> None:
    """A KILL on the heels of the LAUNCH ends the attempt as KILLED, and no container stays."""
    spec = a_run(agent, image, "sleep 60", kill_grace_s=0.5)
    agent.launch(spec)
    agent.kill(spec.attempt)
    assert agent.wait(spec.attempt).state == "TASK_KILLED"
    wait_until(lambda: not docker("ps", "-aq", "--filter", f"label=swath.attempt={spec.attempt}"), "none is left")


@pytest.mark.parametrize("where", ["$OUTPUT_DIR/big", "/tmp/big"])
def test_a_full_disk_ends_the_attempt(agent: Agent, image: ImageSource, where: str) -> None:
    """Whether it fills its output or /tmp."""
    resources = {"cpus": 1, "mem": 64, "disk": 10, "gpus": 0}
    script = f"dd if=/dev/urandom of={where} bs=1048576 count=30; sleep 60"
    update = agent.run(a_run(agent, image, script, resources=resources, outputs=[an_output()]))
    assert (update.state, update.report.cause) == ("TASK_FAILED", Cause.DISK)


@pytest.mark.parametrize(
    ("script", "complaint"),
    [("true", "no file matches"), ("ln -s /etc/passwd $OUTPUT_DIR/result.txt", "is a symbolic link")],
)
def test_only_files_are_published(agent: Agent, image: ImageSource, script: str, complaint: str) -> None:
    """A container that writes no output, and one that writes a link to somewhere on the agent."""
    update = agent.run(a_run(agent, image, script, outputs=[an_output()]))
    assert update.report.cause is Cause.OUTPUT
    assert complaint in update.message


def test_a_log_is_bounded(tmp_path: Path, image: ImageSource) -> None:
    """What is beyond the limit is dropped, and the log says so."""
    agent = Agent(tmp_path, SWATH_DOCKER="auto", SWATH_LOG_LIMIT_MIB="1").start()
    try:
        update = agent.run(a_run(agent, image, "head -c 5000000 /dev/zero; echo done >&2"))
        assert update.state == "TASK_FINISHED"
        log = (Path(str(update.report.sandbox)) / "stdout").read_bytes()
        assert len(log) < 2**20 + 100
        assert log.endswith(b"[swath: cut here; a log is kept up to 1 MiB]\n")
        assert agent.log(update, "stderr") == "done\n"
    finally:
        agent.stop()


def test_an_image_that_is_not_there_is_told(agent: Agent) -> None:
    """By id: it exists on one engine only. By reference: what the engine says about pulling it, after STARTING."""
    absent = ImageSource(name="absent", version="1.0.0", image_id="sha256:" + "0" * 64)
    update = agent.run(a_spec(a_manifest("true"), agent.outputs, image=absent))
    assert update.report.cause is Cause.IMAGE
    assert "is not on this agent's engine" in update.message
    absent = ImageSource(name="absent", version="1.0.0", reference="127.0.0.1:1/absent:1")
    update = agent.run(a_spec(a_manifest("true"), agent.outputs, image=absent))
    assert update.report.cause is Cause.IMAGE
    assert "127.0.0.1:1/absent:1 cannot be pulled" in update.message
    assert agent.states(update.task)[0] == "TASK_STARTING"


def test_a_command_that_is_not_there_is_the_images_fault(agent: Agent, image: ImageSource) -> None:
    """The engine's words, cause IMAGE or the init's exit code; no container stays."""
    spec = a_spec(a_manifest("no-such-command"), agent.outputs, image=image)
    update = agent.run(spec)
    assert update.state == "TASK_FAILED"
    assert "no-such-command" in update.message + agent.log(update, "stderr")


def test_a_successor_removes_only_its_own_containers(tmp_path: Path, image: ImageSource) -> None:
    """After a kill -9 the next run removes the container and its scratch directory; another agent's container runs on."""
    first, other = (Agent(tmp_path / name, SWATH_DOCKER="auto", STANDIN_UNGUARDED="1").start() for name in ("1", "2"))
    try:
        specs = [a_run(agent, image, "sleep 60", outputs=[an_output()]) for agent in (first, other)]
        for agent, spec in zip((first, other), specs, strict=True):
            agent.wait(agent.launch(spec), "TASK_RUNNING")
        first.kill_executor()
        assert inspect(specs[0].attempt)["State"]["Running"]
        first.start()
        own = f"label=swath.attempt={specs[0].attempt}"
        wait_until(lambda: not docker("ps", "-aq", "--filter", own), "the orphan is removed")
        wait_until(
            lambda: not list((first.outputs / specs[0].job / "0").glob(".*")), "its scratch directory is removed"
        )
        assert inspect(specs[1].attempt)["State"]["Running"]
    finally:
        first.stop()
        other.stop()


def test_the_guardian_removes_containers(tmp_path: Path, image: ImageSource) -> None:
    """After a kill -9 without a successor: the container and its scratch directory go."""
    agent = Agent(tmp_path, SWATH_DOCKER="auto").start()
    spec = a_run(agent, image, "sleep 60", outputs=[an_output()])
    agent.wait(agent.launch(spec), "TASK_RUNNING")
    agent.kill_executor()
    wait_until(lambda: not docker("ps", "-aq", "--filter", f"label=swath.attempt={spec.attempt}"), "it is removed")
    wait_until(lambda: not list((agent.outputs / spec.job / "0").glob(".*")), "its scratch directory is removed")


def test_orphans_go_when_the_engine_appears(tmp_path: Path, image: ImageSource) -> None:
    """An engine that is away when the successor starts: its first attempt finds it back, and the orphan is removed."""
    socket = tmp_path / "engine" / "docker.sock"
    socket.parent.mkdir()
    socket.symlink_to("/var/run/docker.sock")
    settings = {"SWATH_DOCKER": "auto", "STANDIN_UNGUARDED": "1", "DOCKER_HOST": f"unix://{socket}"}
    agent = Agent(tmp_path, **settings).start()
    try:
        orphan = a_run(agent, image, "sleep 60")
        agent.wait(agent.launch(orphan), "TASK_RUNNING")
        agent.kill_executor()
        socket.unlink()
        agent.start()
        update = agent.run(a_run(agent, image, "true"))
        assert (update.report.cause, inspect(orphan.attempt)["State"]["Running"]) == (Cause.IMAGE, True)
        socket.symlink_to("/var/run/docker.sock")
        assert agent.run(a_run(agent, image, "true")).state == "TASK_FINISHED"
        wait_until(
            lambda: not docker("ps", "-aq", "--filter", f"label=swath.attempt={orphan.attempt}"), "it is removed"
        )
    finally:
        agent.stop()
