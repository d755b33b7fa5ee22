"""What a container may not do, how it is watched, and what it has used: for real, in the machine's own engine."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from executor.runtimes import users
from swath.domain.attempts import AttemptSpec, ImageSource
from swath.domain.retries import Cause
from tests.executor.agent import CONTAINERS_ONLY, Agent, wait_until
from tests.executor.build import an_output
from tests.executor.programs import PROGRAMS, docker, make_image
from tests.executor.test_docker_runtime import a_run

pytestmark = [pytest.mark.docker, pytest.mark.timeout(180)]
ENVIRON = CONTAINERS_ONLY | {"SWATH_NETWORKS": "none,host"}

DISK = {"cpus": 1, "mem": 64, "disk": 10, "gpus": 0}


@pytest.fixture(scope="module")
def image() -> Iterator[ImageSource]:
    """A shell that declares a volume and, as nobody's but the image's own wish, a health check that fails."""
    plain = make_image((*PROGRAMS, "stat"))
    made = docker("create", plain, "sh")
    changes = ["VOLUME /data", 'HEALTHCHECK --interval=1s --retries=1 CMD ["/bin/rm", "/nothing"]']
    image_id = docker("commit", *(word for change in changes for word in ("--change", change)), made)
    docker("rm", made)
    yield ImageSource(name="shell", version="1.0.0", image_id=image_id)
    docker("rmi", "--force", image_id, plain)


def test_a_command_has_no_privilege(agent: Agent, image: ImageSource) -> None:
    """No capability in any set, none to be had, the engine's own seccomp filter, few open files, no core file."""
    update = agent.run(a_run(agent, image, "cat /proc/self/status; ulimit -n; ulimit -c"))
    lines = agent.log(update).splitlines()
    said = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert {said[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (said["NoNewPrivs"], said["Seccomp"]) == ("1", "2")
    assert lines[-2:] == ["16384", "0"]


def test_nobody_is_root(agent: Agent, image: ImageSource) -> None:
    """An image without a user runs as nobody's account, or as the executor's where that is not root; outputs are still had."""
    update = agent.run(a_run(agent, image, "id -u; id -u > $OUTPUT_DIR/result.txt", outputs=[an_output()]))
    expected = users.NOBODY.partition(":")[0] if os.geteuid() == 0 else str(os.geteuid())
    assert (update.state, agent.log(update).strip()) == ("TASK_FINISHED", expected)


def test_the_submitters_account_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never root's and never the system's, whatever somebody calls himself; else the image's own user, by its number."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    people = {"ann": 1234, "root": 0, "daemon": 1}

    def find(name: str) -> pwd.struct_passwd:
        return pwd.struct_passwd((name, "x", people[name], 99, "", "/", "/bin/sh"))

    monkeypatch.setattr(pwd, "getpwnam", find)
    plain, own = {"Config": {"User": ""}}, {"Config": {"User": "2000"}}
    assert users.choose_user(plain, "ann", allow_root=True) == "1234:99"
    for name in ("root", "daemon", "stranger", None):
        assert users.choose_user(own, name, allow_root=False) == "2000:2000"
        assert users.choose_user(plain, name, allow_root=False) == users.NOBODY
        assert users.choose_user(plain, name, allow_root=True) is None
    monkeypatch.setattr(os, "geteuid", lambda: 77)
    assert users.choose_user(own, "ann", allow_root=True) == f"77:{os.getegid()}"


@pytest.mark.parametrize(
    ("said", "user"),
    [
        ("app", users.NOBODY),  # the image's own passwd may say that it is 0
        ("00", users.NOBODY),
        ("root:1000", users.NOBODY),
        ("2000:3000", "2000:3000"),
        ("2000:0", "2000:2000"),
        ("2000:docker", "2000:2000"),
    ],
)
def test_an_image_does_not_make_itself_root(monkeypatch: pytest.MonkeyPatch, said: str, user: str) -> None:
    """Neither by a name that its own files explain, nor by a group."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert users.choose_user({"Config": {"User": said}}, None, allow_root=False) == user


def test_what_may_be_written_to_is_small_or_measured(agent: Agent, image: ImageSource) -> None:
    """/run is memory of 16 MiB; a volume of the image is a directory of the attempt, and fills the attempt's disk."""
    script = "touch /run/pid && touch /data/a && ! dd if=/dev/zero of=/run/b bs=1048576 count=17 && ! touch /b"
    update = agent.run(a_run(agent, image, script))
    assert update.state == "TASK_FINISHED", agent.log(update, "stderr")
    script = "dd if=/dev/urandom of=/data/big bs=1048576 count=30; sleep 60"
    spec = a_run(agent, image, script, resources=DISK)
    update = agent.run(spec)
    assert (update.state, update.report.cause) == ("TASK_FAILED", Cause.DISK)
    wait_until(lambda: not list((agent.sandbox / "attempts" / spec.attempt).glob("volumes")), "it is removed")


def test_a_site_says_which_networks_images_may_have(agent: Agent, image: ImageSource) -> None:
    """The machine's own where it is allowed; what is not is refused, and says what is."""
    update = agent.run(a_run(agent, image, "ls /sys/class/net", swath_manifest={"network": "host"}))
    assert sorted(agent.log(update).split()) == sorted(path.name for path in Path("/sys/class/net").iterdir())
    update = agent.run(a_run(agent, image, "true", swath_manifest={"network": "bridge"}))
    assert (update.state, update.report.cause) == ("TASK_FAILED", Cause.SPEC)
    assert "bridge is not allowed to images here, only host, none" in update.message


def test_an_engine_without_gpus_says_so(agent: Agent, image: ImageSource) -> None:
    """The agent has promised what its engine cannot give: its fault, and no container stays."""
    spec = a_run(agent, image, "true", resources={"cpus": 1, "mem": 64, "disk": 0, "gpus": 1})
    update = agent.run(spec)
    assert (update.state, update.report.cause) == ("TASK_FAILED", Cause.AGENT)
    assert "gpu" in update.message
    wait_until(lambda: not docker("ps", "-aq", "--filter", f"label=swath.attempt={spec.attempt}"), "it is removed")


def test_a_failing_health_check_ends_an_attempt(agent: Agent, image: ImageSource) -> None:
    """With what the check has said. The image's own counts nothing, and one that does not fail ends nobody."""
    health = {"command": ["cat", "/tmp/well"], "interval_s": 1, "timeout_s": 5, "retries": 2}
    spec = a_run(agent, image, "sleep 60", swath_manifest={"health": health}, kill_grace_s=0.5)
    update = agent.run(spec)
    assert (update.state, update.report.cause) == ("TASK_FAILED", Cause.APP)
    assert "its health check failed" in update.message
    assert "No such file" in update.message
    update = agent.run(a_run(agent, image, "touch /tmp/well; sleep 4", swath_manifest={"health": health}))
    assert update.state == "TASK_FINISHED"
    assert agent.run(a_run(agent, image, "sleep 4")).state == "TASK_FINISHED"


def a_hook(path: Path, text: str) -> str:
    """A program of the site's."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_hooks_run_before_and_after(tmp_path: Path, image: ImageSource) -> None:
    """In that order, with the attempt's facts and nothing of the executor's; one that fails before keeps the container back."""
    noted = tmp_path / "noted"
    before = a_hook(
        tmp_path / "before", f'echo $1 $SWATH_ATTEMPT "$A_SECRET" >> {noted}; [ $SWATH_TASK = 0 ] || exit 3'
    )
    after = a_hook(tmp_path / "after", f"echo $1 $SWATH_EXIT_CODE >> {noted}")
    settings = {"SWATH_DOCKER": "auto", "SWATH_HOOK_BEFORE": before, "SWATH_HOOK_AFTER": after}
    agent = Agent(tmp_path / "agent", **settings).start()
    try:
        spec = a_run(agent, image, "exit 7")
        assert agent.run(spec).report.exit_code == 7
        assert noted.read_text().split() == ["before", spec.attempt, "after", "7"]
        update = agent.run(a_run(agent, image, "true", task=1))
        assert (update.state, update.report.cause) == ("TASK_FAILED", Cause.AGENT)
        assert "the hook before the container failed" in update.message
        assert "ended with 3" in update.message
        assert len(noted.read_text().splitlines()) == 3
    finally:
        agent.stop()


def test_what_a_container_uses_is_measured(agent: Agent, image: ImageSource) -> None:
    """Processors, the peak and the mean of its memory, without the cache that the kernel would give back."""
    script = (
        "dd if=/dev/urandom of=/tmp/big bs=1048576 count=40; cat /tmp/big > /dev/null;"
        " x=$(head -c 20000000 /dev/zero | tr -c x x); end=$(($(date +%s) + 4));"
        " while [ $(date +%s) -lt $end ]; do :; done"
    )
    tools = make_image((*PROGRAMS, "date", "tr"))
    try:
        source = ImageSource(name="shell", version="1.0.0", image_id=tools)
        resources = {"cpus": 1, "mem": 256, "disk": 0, "gpus": 0}
        update = agent.run(a_run(agent, source, script, resources=resources))
        assert update.state == "TASK_FINISHED", agent.log(update, "stderr")
        usage = update.report.usage
        assert 0.5 < usage["cpu_s"] < usage["wall_s"] + 1
        assert 15 < usage["mean_mem"] <= usage["max_mem"] < 200
        assert usage["received_mib"] == usage["sent_mib"] == 0
        assert {"read_mib", "written_mib"} <= usage.keys()
    finally:
        docker("rmi", "--force", tools)


def containers_of(specs: list[AttemptSpec]) -> set[str]:
    """The attempts among these that have a container."""
    there = docker("ps", "-a", "--filter", "label=swath.attempt", "--format", '{{.Label "swath.attempt"}}').split()
    return {spec.attempt for spec in specs} & set(there)


def test_finished_attempts_leave_nothing(tmp_path: Path, image: ImageSource) -> None:
    """However many: no container, no network, no volume, no directory but the logs of the last; one that runs all the while is
    heard to its end.
    """
    before = [docker(kind, "ls", "-q") for kind in ("network", "volume")]
    settings = {"SWATH_DOCKER": "auto", "SWATH_KEPT_ATTEMPTS": "5"}
    agent = Agent(tmp_path, **settings).start()
    try:
        long = a_run(agent, image, "echo begun; while [ ! -e /tmp/end ]; do sleep 0.2; done; echo ended")
        agent.wait(agent.launch(long), "TASK_RUNNING")
        specs = [a_run(agent, image, f"echo $OUTPUT_DIR; exit {n % 2}") for n in range(120)]
        for at in range(0, len(specs), 10):
            for task in [agent.launch(spec) for spec in specs[at : at + 10]]:
                agent.wait(task)
        (agent.sandbox / "attempts" / long.attempt / "tmp" / "end").touch()
        assert agent.log(agent.wait(long.attempt)) == "begun\nended\n"
        wait_until(lambda: not containers_of([*specs, long]), "every container is removed")
        assert [docker(kind, "ls", "-q") for kind in ("network", "volume")] == before
        most = 2 * (5 + 50)  # of each kind, and what is removed together
        wait_until(lambda: len(list((agent.sandbox / "attempts").iterdir())) <= most, "old logs are removed")
        assert {path.name for path in (agent.sandbox / "attempts").glob("*/*")} <= {"stdout", "stderr"}
    finally:
        agent.stop()
