"""The executor's smaller parts: settings, messages, journal, publishing, the request to the engine."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.events import Kill, Launch, Order, Shutdown, Subscribed
from executor.journal import NAME, Entry, Journal, find_former, read_journal
from executor.lineage import to_lineage
from executor.logs import BoundedLog
from executor.messages import to_event
from executor.orders import to_order
from executor.places import Places
from executor.publish import PublishError, publish
from executor.settings import Settings, to_seconds
from executor.trees import is_scratch
from swath.domain.errors import InvalidInputError
from swath.domain.ids import is_ulid
from swath.domain.retries import Cause
from tests.executor.build import a_manifest, a_spec, an_id, an_output

AGENT = {
    "MESOS_SANDBOX": "/mnt/mesos/sandbox",
    "MESOS_DIRECTORY": "/var/lib/mesos/slaves/S0/frameworks/F/executors/E/runs/1",
    "MESOS_SLAVE_ID": "S0",
    "SWATH_INPUT_ROOTS": "/data",
}


def an_order(outputs_root: object, **fields: object) -> Order:
    """An order with one declared output."""
    spec = a_spec(a_manifest("true", outputs=[an_output()]), outputs_root, **fields)
    return to_order(spec.attempt, spec.to_json().encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = sorted(json.loads(a_spec(a_manifest("true"), "/outputs").to_json()))


@given(field=st.sampled_from(FIELDS), value=JSON, part=st.sampled_from(["", "name", "context", "reference"]))
def test_whatever_a_task_says_is_taken_or_refused(field: str, value: object, part: str) -> None:
    """Any JSON in any field: an order, or InvalidInputError; never another exception, for that would end the executor."""
    document = json.loads(a_spec(a_manifest("true"), "/outputs").to_json())
    if field == "image" and part:
        document["image"][part] = value
    else:
        document[field] = value
    try:
        order = to_order("task", json.dumps(document).encode())
    except InvalidInputError:
        return
    assert is_ulid(order.spec.attempt)
    assert Path(order.spec.outputs_root).is_absolute()


def test_settings_come_from_the_agent_and_the_scheduler() -> None:
    """Where the sandbox is for us and for the machine, whose executor this is, and what it may do."""
    settings = Settings.from_environ(
        AGENT | {"MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD": "3secs", "SWATH_INPUT_ROOTS": "/etc/../usr:/tmp"}
    )
    assert (str(settings.sandbox), str(settings.host_sandbox)) == ("/mnt/mesos/sandbox", AGENT["MESOS_DIRECTORY"])
    assert settings.shutdown_grace_s == 3
    assert settings.bounds.roots == (Path("/usr"), Path("/tmp"))
    assert not settings.process_runtime
    assert settings.label != Settings.from_environ(AGENT | {"MESOS_SLAVE_ID": "S1"}).label


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({}, "MESOS_SANDBOX"),
        (AGENT | {"SWATH_INPUT_ROOTS": ""}, "SWATH_INPUT_ROOTS"),
        (AGENT | {"SWATH_DOCKER": "yes"}, "SWATH_DOCKER"),
        (AGENT | {"SWATH_EXECUTOR_IDLE_S": "long"}, "SWATH_EXECUTOR_IDLE_S"),
        (AGENT | {"MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD": "5"}, "is no duration"),
    ],
)
def test_a_wrong_setting_is_named(environ: dict[str, str], complaint: str) -> None:
    """The variable and what it may be."""
    with pytest.raises(ValueError, match=complaint):
        Settings.from_environ(environ)


def test_processes_may_read_from_anywhere() -> None:
    """Without roots the executor starts where commands are processes, which nothing confines, and where no engine is."""
    bare = {name: value for name, value in AGENT.items() if name != "SWATH_INPUT_ROOTS"}
    for more in ({"SWATH_PROCESS_RUNTIME": "1"}, {"SWATH_DOCKER": "off"}):
        assert Settings.from_environ(bare | more).bounds.roots == (Path("/"),)


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("/eo/scene.tif", None),
        ("/", "holds"),
        ("/run/user", "lies in /run,"),
        ("/proc/1/environ", "lies in /proc,"),
        ("/dev/shm", "lies in /dev,"),
        ("/sys", "holds /sys,"),
        ("/opt/engine", "holds /opt/engine,"),
        ("/opt/engine/x", "lies in /opt/engine,"),
        ("/opt", "holds /opt/engine,"),
        ("/var/lib/mesos", "holds /var/lib/mesos,"),
        ("/var/lib", "holds /var/lib/mesos,"),
        ("/var/lib/mesos/slaves/S0/other", "lies in /var/lib/mesos,"),
        ("/mnt/mesos/sandbox/stderr", "lies in /mnt/mesos/sandbox,"),
        ("/home/me/var/token", "lies in /home/me/var,"),
        ("/home/me", "holds /home/me/var,"),
        ("/home/me/scene.tif", None),
        ("/home/me/var/outputs/J/0/A/ndvi.tif", None),
        ("/home/me/var/outputs", None),
    ],
)
def test_no_input_holds_what_no_task_may_see(path: str, complaint: str | None) -> None:
    """Not the engine's socket, the agent's directory, the cluster's tokens, the kernel's files; but what jobs published."""
    environ = {"SWATH_INPUT_ROOTS": "/", "SWATH_VAR": "/home/me/var", "DOCKER_HOST": "unix:///opt/engine/docker.sock"}
    bounds = Settings.from_environ(AGENT | environ).bounds
    said = bounds.complaint(Path(path), Path("/home/me/var/outputs"))
    assert said is None if complaint is None else complaint in str(said)


def test_an_outputs_root_opens_nothing_above_itself() -> None:
    """Outputs at the root do not make the rest of the machine an input."""
    bounds = Settings.from_environ(AGENT | {"SWATH_INPUT_ROOTS": "/"}).bounds
    assert bounds.complaint(Path("/run/docker.sock"), Path("/")) is not None


def test_durations_are_read_as_mesos_writes_them() -> None:
    """ "15mins", "5secs", "500ms"."""
    assert [to_seconds(text) for text in ("15mins", "5secs", "500ms", "1.5hrs")] == [900, 5, 0.5, 5400]


def test_messages_become_events() -> None:
    """As transcripts 01 and 10 have them; what concerns the driver only is none."""
    task = {"task_id": {"value": "t"}, "data": base64.b64encode(b"{}").decode()}
    assert to_event({"type": "LAUNCH", "launch": {"task": task}}) == Launch(task_id="t", data=b"{}")
    assert to_event({"type": "LAUNCH", "launch": {"task": {"task_id": {"value": "t"}}}}) == Launch(
        task_id="t", data=b""
    )
    kill = {"task_id": {"value": "t"}, "kill_policy": {"grace_period": {"nanoseconds": 2_000_000_000}}}
    assert to_event({"type": "KILL", "kill": kill}) == Kill(task_id="t", grace_s=2)
    assert isinstance(to_event({"type": "SHUTDOWN"}), Shutdown)
    assert to_event({"type": "SUBSCRIBED", "subscribed": {}}) == Subscribed()


def test_a_journal_tells_what_was_not_finished(tmp_path: Path) -> None:
    """Also with a last line that was cut off."""
    journal = Journal(tmp_path)
    first, second = Entry(attempt="a", scratch="/s"), Entry(attempt="b", pid=1, started=2, seen={"3": 4})
    journal.begin(first)
    journal.begin(second)
    journal.end("a")
    journal.close()
    with (tmp_path / NAME).open("a") as file:
        file.write('{"attempt": "c", "scr')
    assert read_journal(tmp_path / NAME) == [second]


def test_a_damaged_journal_tells_what_can_be_read(tmp_path: Path) -> None:
    """Bytes that are no text, JSON of another shape, numbers that are none: skipped, and whatever else is there is told."""
    good = Entry(attempt="b", pid=1, started=2)
    lines = [
        b"\x00\xff\xfe",
        b"[]",
        b"3",
        b"[" * 100_000,
        b'{"attempt": 7}',
        b'{"attempt": "a", "pid": "1"}',
        b'{"attempt": "a", "pid": -1, "started": 1}',
        b'{"attempt": "a", "pid": 1, "started": true}',
        b'{"attempt": "a", "scratch": ["/"]}',
        b'{"attempt": "a", "seen": [1]}',
        b'{"attempt": "a", "seen": {"x": 1}}',
        b'{"ended": {}}',
        b'{"attempt": "b", "pid": 1, "started": 2}',
        b"\xe2\x80",
    ]
    (tmp_path / NAME).write_bytes(b"\n".join(lines))
    assert read_journal(tmp_path / NAME) == [good]
    (tmp_path / "directory").mkdir()
    assert read_journal(tmp_path / "directory") == []


def test_a_journal_stays_small(tmp_path: Path) -> None:
    """What has ended is forgotten in time, what has not is kept."""
    journal = Journal(tmp_path)
    journal.begin(Entry(attempt="stays", scratch="/s"))
    for number in range(30_000):
        journal.begin(Entry(attempt=str(number)))
        journal.end(str(number))
    journal.close()
    assert [entry.attempt for entry in read_journal(tmp_path / NAME)] == ["stays"]
    assert len((tmp_path / NAME).read_text().splitlines()) < 25_000


def test_former_runs_are_siblings(tmp_path: Path) -> None:
    """Of this executor only; `latest` may be a link to ourselves."""
    for run in ("runs/1", "runs/2"):
        (tmp_path / run).mkdir(parents=True)
        Journal(tmp_path / run).close()
    (tmp_path / "runs/latest").symlink_to("2")
    assert find_former(tmp_path / "runs/2") == [tmp_path / "runs/1" / NAME]


def test_only_a_scratch_directory_is_one() -> None:
    """What is removed by name has exactly that name."""
    attempt = an_id()
    assert is_scratch(Path(f"/o/.{attempt}.partial"), attempt)
    assert not is_scratch(Path(f"/o/{attempt}"), attempt)
    assert not is_scratch(Path(f"/o/.{an_id()}.partial"), attempt)


def test_a_name_that_is_in_our_way_is_the_commands_doing(tmp_path: Path) -> None:
    """An output called as what items are written to before they take their place: OUTPUT, for it would come again."""
    outputs = [
        an_output("item.json", mediaType="application/geo+json"),
        {**an_output(".item.partial"), "name": "OTHER"},
    ]
    spec = a_spec(a_manifest("true", outputs=outputs), tmp_path / "outputs")
    order = to_order(spec.attempt, spec.to_json().encode())
    places = Places.of(order, tmp_path)
    places.make()
    item = {"type": "Feature", "stac_version": "1.0.0", "id": "x", "assets": {}, "links": [], "properties": {}}
    (places.output_dir / "item.json").write_text(json.dumps(item))
    (places.output_dir / ".item.partial").write_text("mine")
    with pytest.raises(PublishError) as caught:
        publish(order.manifest, places, to_lineage(order))
    assert caught.value.cause is Cause.OUTPUT
    assert not places.target.exists()


def test_nothing_is_published_that_was_not_finished(tmp_path: Path) -> None:
    """Until the rename the place of the outputs is empty; a second attempt to publish there fails and changes nothing."""
    order = an_order(tmp_path / "outputs")
    places = Places.of(order, tmp_path)
    places.make()
    (places.output_dir / "result.txt").write_text("first")
    assert not places.target.exists()
    publish(order.manifest, places)
    places.clean()
    assert (places.target / "result.txt").read_text() == "first"
    again = Places.of(order, tmp_path / "again")
    again.make()
    (again.output_dir / "result.txt").write_text("second")
    with pytest.raises(PublishError) as caught:
        publish(order.manifest, again)
    assert caught.value.cause is Cause.AGENT
    assert (places.target / "result.txt").read_text() == "first"


def test_a_large_seed_outputs_json_is_refused(tmp_path: Path) -> None:
    """Its values travel in a status update."""
    order = an_order(tmp_path / "outputs")
    places = Places.of(order, tmp_path)
    places.make()
    (places.output_dir / "result.txt").touch()
    (places.output_dir / "seed.outputs.json").write_text('{"x": "' + "x" * 300_000 + '"}')
    with pytest.raises(PublishError, match="larger than 256 KiB"):
        publish(order.manifest, places)


def test_a_directory_without_permissions_is_removed(tmp_path: Path) -> None:
    """A command may take away its own rights to what it leaves."""
    order = an_order(tmp_path / "outputs")
    places = Places.of(order, tmp_path)
    places.make()
    (places.output_dir / "closed" / "below").mkdir(parents=True)
    (places.output_dir / "closed").chmod(0)
    places.clean()
    assert places.scratch is not None
    assert not places.scratch.exists()


def test_a_log_ends_with_a_notice_where_it_was_cut(tmp_path: Path) -> None:
    """Not one byte more than the limit and the notice."""
    log = BoundedLog(tmp_path, "stdout", 10)
    for chunk in (b"12345", b"67890", b"more", b"and more"):
        log.write(chunk)
    log.close()
    assert (tmp_path / "stdout").read_bytes().startswith(b"1234567890\n[swath: cut here")
    assert (tmp_path / "stdout").read_bytes().count(b"swath") == 1


@pytest.mark.parametrize("ports", ["31000", [0], [65536], [31000, 31000], [True], [31000.0], {"a": 1}])
def test_what_is_no_list_of_ports_is_refused(ports: object) -> None:
    """The executor would publish it."""
    with pytest.raises(InvalidInputError, match="/ports: is no list of different ports"):
        an_order("/outputs", ports=ports)
