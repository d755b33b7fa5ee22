"""Attempts as processes, for real: one executor, its agent a pair of pipes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from swath.domain.attempts import ImageSource
from swath.domain.retries import Cause
from tests.executor.agent import Agent, is_alive, wait_until
from tests.executor.build import a_manifest, a_spec
from tests.executor.scripts import BRIEF, STAY, a_run, read_pids


def test_true_ends_well(agent: Agent) -> None:
    """The built-in image runs from its sandbox, says RUNNING and FINISHED, and uses next to nothing."""
    spec = a_spec(a_manifest("true"), agent.outputs)
    update = agent.run(spec)
    assert agent.states(spec.attempt) == ["TASK_RUNNING", "TASK_FINISHED"]
    assert (update.report.exit_code, update.report.cause, update.report.runtime) == (0, None, "process")
    assert update.report.sandbox == str(agent.sandbox / "attempts" / spec.attempt)
    attempt_dir = agent.sandbox / "attempts" / spec.attempt
    wait_until(lambda: sorted(path.name for path in attempt_dir.iterdir()) == ["stderr", "stdout"], "only logs stay")
    assert "cpus are not limited, memory is looked at once a second" in update.report.warnings[0]
    assert update.report.usage["wall_s"] >= 0
    assert str(update.report.ended_at) >= str(update.report.started_at)


def test_a_command_gets_no_environment_but_seeds(agent: Agent) -> None:
    """Secrets of the executor, and what its agent told it, stay with it; parameters arrive."""
    spec = a_run(agent, "environment", "import os\nprint(sorted(os.environ), os.environ['LETTER'])")
    update = agent.run(a_spec(spec.manifest, agent.outputs, image=spec.image, parameters={"LETTER": "ß $(id)"}))
    said = agent.log(update)
    assert "A_SECRET" not in said
    assert "MESOS" not in said
    assert "ß $(id)" in said
    assert "OUTPUT_DIR" in said


def test_an_exit_code_is_told_by_its_name(agent: Agent) -> None:
    """An error of category data fails the attempt as DATA, with the manifest's name and the code."""
    errors = [{"code": 3, "name": "no-crs", "description": "the scene has no CRS", "category": "data"}]
    update = agent.run(a_run(agent, "data-error", "raise SystemExit(3)", errors=errors))
    assert (update.state, update.report.cause) == ("TASK_FAILED", Cause.DATA)
    assert (update.report.exit_code, update.report.error) == (3, "no-crs")
    assert update.message == "no-crs (exit code 3): the scene has no CRS"


def test_an_unnamed_exit_code_is_the_applications(agent: Agent) -> None:
    """Any other code is APP, and a signal is told by its name."""
    update = agent.run(a_run(agent, "exit-7", "raise SystemExit(7)"))
    assert (update.report.cause, update.report.exit_code) == (Cause.APP, 7)
    update = agent.run(a_run(agent, "segfault", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"))
    assert (update.report.cause, update.report.exit_code) == (Cause.APP, 139)
    assert "SIGSEGV" in update.message


def test_a_time_out_ends_what_ignores_sigterm(agent: Agent) -> None:
    """SIGTERM, the grace, SIGKILL; the cause is TIMEOUT."""
    text = (
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\ntime.sleep(60)"
    )
    spec = a_run(agent, "deaf", text, fields={"timeout_s": 1.0, "kill_grace_s": 0.5})
    update = agent.run(spec)
    assert (update.state, update.report.cause) == ("TASK_FAILED", Cause.TIMEOUT)
    assert update.report.exit_code == 137
    assert "longer than its 1 s" in update.message
    assert agent.log(update) == "deaf\n"


def test_a_kill_lets_the_command_tidy_up(agent: Agent) -> None:
    """KILL: KILLING, SIGTERM with time to react, KILLED; a second KILL changes nothing."""
    text = """
import signal, sys, time
def end(*_):
    print("tidied up", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(60)
"""
    task = agent.launch(a_run(agent, "tidy", text))
    running = agent.wait(task, "TASK_RUNNING")
    wait_until(lambda: "ready" in agent.log(running), "the command is ready")
    agent.kill(task)
    agent.kill(task)
    update = agent.wait(task)
    assert agent.states(task) == ["TASK_RUNNING", "TASK_KILLING", "TASK_KILLED"]
    assert update.report.cause is Cause.KILLED
    assert agent.log(update) == "ready\ntidied up\n"


def test_a_kill_takes_its_grace_from_the_call(agent: Agent) -> None:
    """The kill policy of the KILL wins over the attempt's own grace."""
    text = (
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\ntime.sleep(60)"
    )
    task = agent.launch(a_run(agent, "deaf-2", text, fields={"kill_grace_s": 3600.0}))
    running = agent.wait(task, "TASK_RUNNING")
    wait_until(lambda: agent.log(running), "the command is deaf")
    agent.kill(task, grace_s=0.2)
    assert agent.wait(task).state == "TASK_KILLED"


def test_nothing_outlives_its_attempt(own_agent: Agent) -> None:
    """Children, daemons that forked twice and those without a trace of their environment end with the command."""
    update = own_agent.run(a_run(own_agent, "forks", BRIEF))
    assert update.state == "TASK_FINISHED"
    assert [name for name, pid in read_pids(own_agent, update).items() if is_alive(pid)] == []


def test_a_kill_finds_daemons_and_spares_neighbours(own_agent: Agent) -> None:
    """SIGKILL reaches every descendant of the killed attempt, and none of another one."""
    specs = [a_run(own_agent, f"stay-{number}", STAY, fields={"kill_grace_s": 0.1}) for number in (1, 2)]
    running = [own_agent.wait(own_agent.launch(spec), "TASK_RUNNING") for spec in specs]
    first, second = (read_pids(own_agent, update) for update in running)
    own_agent.kill(specs[0].attempt)
    own_agent.wait(specs[0].attempt)
    assert [name for name, pid in first.items() if is_alive(pid)] == []
    assert [name for name, pid in second.items() if not is_alive(pid)] == []
    own_agent.kill(specs[1].attempt)
    own_agent.wait(specs[1].attempt)
    assert [name for name, pid in second.items() if is_alive(pid)] == []


def test_a_log_is_bounded(tmp_path: Path) -> None:
    """What a command prints beyond the limit is cut, and the log says so; the attempt goes on."""
    agent = Agent(tmp_path, SWATH_LOG_LIMIT_MIB="1").start()
    try:
        update = agent.run(a_run(agent, "loud", "for _ in range(5000): print('x' * 1023)"))
        assert update.state == "TASK_FINISHED"
        log = Path(str(update.report.sandbox)) / "stdout"
        wait_until(lambda: log.read_bytes().endswith(b"[swath: cut here; a log is kept up to 1 MiB]\n"), "it is cut")
        assert log.stat().st_size < 1.1 * 2**20
    finally:
        agent.stop()


def test_inputs_are_found_by_their_variables(agent: Agent) -> None:
    """A single input is its path; `multiple` is a directory with every file directly in it, numbered where names clash."""
    for scene in ("a", "b"):
        (agent.inputs / scene).mkdir(exist_ok=True)
        (agent.inputs / scene / "B04.tif").write_text(scene)
    (agent.inputs / "with blank.txt").write_text("one")
    text = """
import os, pathlib
print(pathlib.Path(os.environ["ONE"]).read_text())
print(sorted((path.name, path.read_text()) for path in pathlib.Path(os.environ["ALL"]).iterdir()))
"""
    inputs = [{"name": "ONE"}, {"name": "ALL", "multiple": True}, {"name": "SCENE", "required": False}]
    files = {
        "ONE": [(agent.inputs / "with blank.txt").as_uri()],
        "ALL": [(agent.inputs / scene / "B04.tif").as_uri() for scene in ("a", "b")],
        "SCENE": [(agent.inputs / "a").as_uri()],
    }
    update = agent.run(a_run(agent, "inputs", text, inputs=inputs, fields={"files": files}))
    assert update.state == "TASK_FINISHED", agent.log(update, "stderr")
    assert agent.log(update) == "one\n[('1-B04.tif', 'a'), ('2-B04.tif', 'b')]\n"


@pytest.mark.parametrize(
    ("href", "complaint"),
    [
        ("file://{inputs}/absent.tif", "cannot be had: No such file"),
        ("file:///etc/passwd", "lies outside"),
        ("file://{inputs}/" + 20 * "../" + "etc/passwd", "lies outside"),
        ("file://{inputs}/" + 20 * "%2e%2e/" + "etc/passwd", "lies outside"),
        ("file://{inputs}/link", "lies outside"),
        ("file://{inputs}/pipe", "neither a file nor a directory"),
        ("file://elsewhere/etc/passwd", "names no file of this machine"),
        ("s3://bucket/key", "this site names no S3 store"),
        ("http://example.org/a", "inputs may come by file, https, s3 only"),
        ("https://127.0.0.1:1/a", "not of the public internet"),
        ("ftp://example.org/a", "names no file of this machine"),
        ("etc/passwd", "names no file of this machine"),
        ("file:relative", "names no absolute path"),
    ],
)
def test_an_input_from_elsewhere_is_refused(agent: Agent, href: str, complaint: str) -> None:
    """Missing, outside of the roots by name, by `..` or by a link, or of another machine: cause INPUT, never started."""
    link, pipe = agent.inputs / "link", agent.inputs / "pipe"
    if not link.is_symlink():
        link.symlink_to("/etc/passwd")
        os.mkfifo(pipe)
    manifest = a_manifest("true", inputs=[{"name": "SCENE"}])
    update = agent.run(a_spec(manifest, agent.outputs, files={"SCENE": [href.format(inputs=agent.inputs)]}))
    assert (update.state, update.report.cause) == ("TASK_FAILED", Cause.INPUT)
    assert complaint in update.message
    assert agent.states(update.task) == ["TASK_FAILED"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"attempt": "../../etc"}, "/attempt: is no ULID"),
        ({"job": "a/b"}, "/job: is no ULID"),
        ({"outputs_root": "relative"}, "/outputs_root: is no absolute path"),
        ({"timeout_s": "soon"}, "/timeout_s: is no number"),
        ({"resources": {"mem": -1}}, "must not be negative"),
        ({"files": {"OTHER": ["file:///x"]}}, "unknown to the image"),
        ({"manifest": {"seedVersion": "1.0.0"}}, "/job: is required"),
        ({"settings": []}, "/settings: is no object"),
    ],
)
def test_a_wrong_specification_is_refused(agent: Agent, change: dict[str, Any], complaint: str) -> None:
    """TASK_FAILED with cause SPEC and the path of what is wrong; the executor lives on."""
    spec = a_spec(a_manifest("true"), agent.outputs)
    given = {"outputs_root": spec.outputs_root, **change}
    wrong = a_spec(given.pop("manifest", spec.manifest), given.pop("outputs_root"), **given)
    update = agent.wait(agent.launch(wrong, task=spec.attempt))
    assert (update.state, update.report.cause) == ("TASK_FAILED", Cause.SPEC)
    assert complaint in update.message


def test_rubbish_is_refused(agent: Agent) -> None:
    """Data that is no JSON, no data at all, JSON without an end."""
    for number, data in enumerate((b"\xff\x00", b"", b"[]", b"{}", b"[" * 100_000)):
        update = agent.wait(agent.launch(data, task=f"rubbish-{number}"))
        assert update.report.cause is Cause.SPEC


def test_a_command_that_is_not_there_is_the_images_fault(agent: Agent) -> None:
    """Cause IMAGE, with the system's words; its directory holds empty logs."""
    update = agent.run(a_spec(a_manifest("no-such-command"), agent.outputs))
    assert update.report.cause is Cause.IMAGE
    assert "No such file" in update.message


def test_an_image_that_needs_a_container_says_so(agent: Agent) -> None:
    """Without an engine and without a context the message says what would help."""
    image = ImageSource(name="ndvi", version="1.0.0", reference="registry.example/ndvi@sha256:0")
    update = agent.run(a_spec(a_manifest("true"), agent.outputs, image=image))
    assert update.report.cause is Cause.IMAGE
    assert "no Docker engine answers on this agent" in update.message


def test_a_repeated_launch_changes_nothing(agent: Agent) -> None:
    """Neither of a running task nor of one that has ended."""
    spec = a_run(agent, "once", "import time; time.sleep(0.5)")
    agent.launch(spec)
    agent.launch(spec)
    agent.wait(spec.attempt)
    agent.launch(spec)
    agent.run(a_spec(a_manifest("true"), agent.outputs))
    assert agent.states(spec.attempt) == ["TASK_RUNNING", "TASK_FINISHED"]


def test_many_attempts_run_side_by_side(agent: Agent) -> None:
    """A hundred at once, each with its own end."""
    specs = [a_spec(a_manifest("true"), agent.outputs) for _ in range(100)]
    for spec in specs:
        agent.launch(spec)
    assert {agent.wait(spec.attempt).state for spec in specs} == {"TASK_FINISHED"}


def test_a_shutdown_ends_all_in_time(own_agent: Agent) -> None:
    """Every attempt is reported, as the executor's doing, which costs a task nothing; then the executor ends, well."""
    text = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)"
    tasks = [own_agent.launch(a_run(own_agent, f"run-{number}", text)) for number in range(3)]
    for task in tasks:
        own_agent.wait(task, "TASK_RUNNING")
    own_agent.shutdown()
    for task in tasks:
        update = own_agent.wait(task)
        assert (update.state, update.report.cause) == ("TASK_FAILED", Cause.AGENT)
    assert own_agent.process is not None
    assert own_agent.process.wait(10) == 0


def test_sigterm_is_a_shutdown(own_agent: Agent) -> None:
    """What runs is ended and reported; the executor's exit code is 0."""
    task = own_agent.launch(a_run(own_agent, "sleeper", "import time; time.sleep(60)"))
    own_agent.wait(task, "TASK_RUNNING")
    assert own_agent.process is not None
    own_agent.process.terminate()
    assert own_agent.wait(task).report.message == "the executor was ended by SIGTERM"
    assert own_agent.process.wait(10) == 0


def test_an_idle_executor_ends(tmp_path: Path) -> None:
    """After SWATH_EXECUTOR_IDLE_S without a task, with exit code 0."""
    agent = Agent(tmp_path, SWATH_EXECUTOR_IDLE_S="0.3").start()
    agent.run(a_spec(a_manifest("true"), agent.outputs))
    assert agent.process is not None
    assert agent.process.wait(10) == 0
    agent.stop()


HOLD = "import time; held = bytearray(b'x') * (200 * 2**20); print('has it', flush=True); time.sleep({stay})"


def test_who_holds_more_memory_than_asked_for_is_ended_as_out_of_memory(agent: Agent) -> None:
    """As an engine would have it, with all that it started; what it held is told."""
    text = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLD.format(stay=60)!r}])"
    report = agent.run(a_run(agent, "greedy", text, fields={"resources": {"mem": 100}})).report
    assert (report.cause, report.exit_code) == (Cause.OOM, 137)
    assert report.message == "it was ended: more than 100 MiB memory was needed"
    assert report.usage["max_mem"] > 100


def test_memory_that_processes_share_counts_once(agent: Agent) -> None:
    """Four workers with the same 200 MiB hold little more than 200 MiB."""
    text = """
import os, time
held = bytearray(b"x") * (200 * 2**20)
workers = [os.fork() for _ in range(2)]
time.sleep(2.5)
"""
    report = agent.run(a_run(agent, "sharing", text, fields={"resources": {"mem": 300}})).report
    assert (report.cause, report.exit_code) == (None, 0)
