"""The client and the service, as users meet them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from swath.client import Client
from swath.domain import errors
from swath.domain.changes import AddEvent, ChangeAttempt, SetFrameworkId
from swath.domain.ranges import Ranges
from swath.domain.states import AttemptState, JobState
from swath.store.rows import JobRow
from tests.api.serving import MANIFEST, TOKEN, Api, make_settings, serving
from tests.api.test_results import TIFF, publish
from tests.store.build import NOW, Scene, a_range, an_agent, figures


@pytest.fixture
def client(api: Api) -> Iterator[Client]:
    """A client of the service."""
    with Client(api.url, TOKEN) as connected:
        yield connected


def finish(scene: Scene, job_id: str, size: int = 1) -> None:
    job = scene.api.get_job(job_id)
    scene.apply(
        AddEvent(job_id=job_id, kind="job.state", data={"state": "SUCCEEDED"}),
        figures(job, JobState.SUCCEEDED, Ranges.of(0), succeeded=size, ended_at=NOW),
    )


def test_a_job_is_submitted_by_the_path_of_its_file(client: Client, tmp_path: Path) -> None:
    """And found again, by id and in the list."""
    (tmp_path / "scene.tif").write_bytes(TIFF)
    job = client.submit({"image": "ndvi", "inputs": {"SCENE": tmp_path / "scene.tif"}, "labels": {"a": "b"}})
    assert client.job(job["id"]) == job
    alone = {"after": None, "before": None}  # in a list nobody tells of the jobs on both sides
    assert client.jobs(label="a=b") == [{**job, **alone}]
    assert client.jobs(project="elsewhere") == []


def test_items_may_be_paths_where_the_image_takes_files(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text over a file input is a path, and over a parameter it stays what it is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.tif").write_bytes(TIFF)
    over_files = client.submit({"image": "ndvi", "array": {"over": "SCENE", "items": ["a.tif"]}})
    assert client.task(over_files["id"])["item"] == {"href": (tmp_path / "a.tif").as_uri()}
    over_texts = {"inputs": {"SCENE": "a.tif"}, "array": {"over": "INDEX", "items": ["a.tif"]}}
    assert client.task(client.submit({"image": "ndvi:1.0.0", **over_texts})["id"])["item"] == "a.tif"
    with pytest.raises(errors.CannotRunError, match="there is no image"):
        client.submit({"image": "nothing", "array": {"over": "SCENE", "items": ["a.tif"]}})


def test_a_service_that_hangs_is_given_up_once_and_said_to_hang() -> None:
    """As one that was stopped: it takes connections and never answers. Asking it four times would take four times as long."""
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        hanging.settimeout(0.0)
        with (
            Client(f"http://127.0.0.1:{hanging.getsockname()[1]}", timeout_s=0.2) as client,
            pytest.raises(errors.InternalError, match=r"not answered for 0.2 s: it is stopped, hangs.*`swath doctor`"),
        ):
            client.agents()
        hanging.accept()[0].close()
        with pytest.raises(BlockingIOError):
            hanging.accept()


def test_saying_it_twice_is_saying_it_once(client: Client, tmp_path: Path) -> None:
    """With a key of one's own."""
    (tmp_path / "scene.tif").write_bytes(TIFF)
    job = {"image": "ndvi", "inputs": {"SCENE": tmp_path / "scene.tif"}}
    first, second = (client.submit(job, idempotency_key="k")["id"] for _ in range(2))
    assert first == second
    with pytest.raises(errors.ConflictError):
        client.submit({**job, "priority": 1}, idempotency_key="k")


def test_what_the_service_refuses_is_raised(client: Client, api: Api) -> None:
    """As the domain's own error, with every place."""
    with pytest.raises(errors.CannotRunError) as refused:
        client.submit({"image": "nothing", "after": [{"job": "nobody"}]})
    assert [problem.path for problem in refused.value.problems] == ["/image", "/after/0/job"]
    with pytest.raises(errors.InvalidInputError, match="known field"):
        client.submit({"image": "ndvi", "bogus": 1})
    with pytest.raises(errors.NotFoundError):
        client.job("0" * 26)
    with Client(api.url, "wrong") as stranger, pytest.raises(errors.UnauthorizedError):
        stranger.jobs()


def test_waiting_tells_of_progress_until_the_end(client: Client, scene: Scene) -> None:
    """Every change that it sees, in order, the last one ended."""
    job = scene.submit(array=a_range(4))
    seen: list[int] = []

    def on_progress(document: object) -> None:
        succeeded = document["counts"]["succeeded"]  # type: ignore[index]
        seen.append(succeeded)
        if succeeded == 0:
            scene.apply(figures(job, JobState.RUNNING, Ranges.of(2), succeeded=2))
        elif succeeded == 2:
            finish(scene, job.id, 4)

    assert client.wait(job.id, on_progress=on_progress)["state"] == "SUCCEEDED"
    assert seen == [0, 2, 4]


def test_waiting_ends_at_its_time(client: Client, scene: Scene) -> None:
    """TimeoutError, though nothing happens."""
    job = scene.submit()
    with pytest.raises(TimeoutError, match=job.id):
        client.wait(job.id, timeout_s=0.3)


def test_waiting_for_what_is_not_there_does_not_wait(client: Client) -> None:
    """NotFoundError at once."""
    with pytest.raises(errors.NotFoundError):
        client.wait("0" * 26)


def test_waiting_survives_a_service_that_restarts(scene: Scene, sqlite_database: str, tmp_path: Path) -> None:
    """The stream breaks, another process answers at the same address, and the job ends."""
    settings = make_settings(tmp_path, sqlite_database)
    job = scene.submit()
    watched = threading.Event()
    ended: list[str] = []

    def wait(url: str) -> None:
        with Client(url, TOKEN) as client:
            ended.append(client.wait(job.id, on_progress=lambda _: watched.set(), timeout_s=30)["state"])

    with serving(settings) as first:
        waiter = threading.Thread(target=wait, args=(first.url,))
        waiter.start()
        assert watched.wait(10)
    with serving(settings, port=first.http.base_url.port or 0):
        finish(scene, job.id)
        waiter.join(30)
    assert ended == ["SUCCEEDED"]


def test_without_streams_waiting_asks_again(client: Client, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that breaks every stream off costs time, no result."""
    monkeypatch.setattr("swath.client._STREAM_FAILURES", 0)
    monkeypatch.setattr("swath.client._POLL_S", 0.05)
    job = scene.submit()
    states: list[str] = []

    def on_progress(document: object) -> None:
        states.append(document["state"])  # type: ignore[index]
        if len(states) == 2:
            finish(scene, job.id)

    assert client.wait(job.id, on_progress=on_progress)["state"] == "SUCCEEDED"


def test_tasks_come_page_after_page(client: Client, scene: Scene) -> None:
    """As far as they are asked for."""
    job = scene.submit(array=a_range(2500))
    assert [task["index"] for task in client.tasks(job.id)] == list(range(2500))
    assert len(list(client.tasks(job.id, limit=1001))) == 1001
    assert client.task(job.id, 2499)["item"] == 2499


def test_outputs_are_downloaded(client: Client, scene: Scene, tmp_path: Path) -> None:
    """Into a directory or a file, whole or not at all."""
    job = scene.submit()
    publish(scene, job, tmp_path / "outputs", {"sub dir/ndvi.tif": TIFF})
    (output,) = client.outputs(job.id)
    assert client.download(output, f"{tmp_path}/results/").read_bytes() == TIFF
    assert client.download(output, tmp_path / "x" / "map.tif").name == "map.tif"
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["ndvi.tif"]
    with pytest.raises(errors.NotFoundError):
        client.download({**output, "href": output["href"] + "x"}, tmp_path / "none.tif")
    Path(output["file"]).write_bytes(TIFF[::-1])
    with pytest.raises(errors.InternalError, match=f"published with the SHA-256 {output['sha256']}"):
        client.download(output, tmp_path / "none.tif")
    assert not (tmp_path / "none.tif").exists()


def run(scene: Scene, agent_url: str, directory: Path) -> tuple[JobRow, str]:
    scene.apply(an_agent(url=agent_url))
    job = scene.submit()
    attempt_id = scene.launch(job)
    scene.apply(ChangeAttempt(attempt_id=attempt_id, state=AttemptState.RUNNING, sandbox=str(directory)))
    return job, attempt_id


def test_logs_are_read_and_followed(client: Client, scene: Scene, agent_url: str, tmp_path: Path) -> None:
    """Text, and bytes as they come."""
    (tmp_path / "stdout").write_text("größe\n")
    job, attempt_id = run(scene, agent_url, tmp_path)
    assert client.log(job.id) == "größe\n"
    assert client.log(job.id, offset=-2) == "e\n"
    scene.apply(ChangeAttempt(attempt_id=attempt_id, state=AttemptState.SUCCEEDED, ended_at=NOW))
    assert b"".join(client.follow_log(job.id)).decode() == "größe\n"


def test_a_followed_log_goes_on_after_a_restart(
    scene: Scene, sqlite_database: str, agent_url: str, tmp_path: Path
) -> None:
    """From the byte where it was broken off."""
    (tmp_path / "stdout").write_text("one\n")
    job, attempt_id = run(scene, agent_url, tmp_path)
    settings = make_settings(tmp_path, sqlite_database)
    with serving(settings) as first:
        client = Client(first.url, TOKEN)
        pieces = client.follow_log(job.id)
        assert next(pieces) == b"one\n"
    with serving(settings, port=first.http.base_url.port or 0):
        with (tmp_path / "stdout").open("a") as file:
            file.write("two\n")
        scene.apply(ChangeAttempt(attempt_id=attempt_id, state=AttemptState.SUCCEEDED, ended_at=NOW))
        assert b"".join(pieces) == b"two\n"
    client.close()


def test_events_of_a_job_end_with_it_whatever_breaks(scene: Scene, sqlite_database: str, tmp_path: Path) -> None:
    """None is missed and none comes twice across a restart."""
    settings = make_settings(tmp_path, sqlite_database)
    job = scene.submit()
    scene.apply(AddEvent(job_id=job.id, kind="task.state", data={"n": 1}))
    with serving(settings) as first:
        client = Client(first.url, TOKEN)
        events = client.events(job.id)
        assert next(events)["data"] == {"n": 1}
    with serving(settings, port=first.http.base_url.port or 0):
        scene.apply(AddEvent(job_id=job.id, kind="task.state", data={"n": 2}))
        finish(scene, job.id)
        assert [event["data"] for event in events] == [{"n": 2}, {"state": "SUCCEEDED"}]
    client.close()


def test_past_events_and_the_catalogue_are_plain_lists(client: Client, scene: Scene) -> None:
    """Events without following; images by name and version; agents; the cluster."""
    job = scene.submit()
    scene.apply(an_agent(), AddEvent(job_id=job.id, kind="task.state", data={"n": 1}))
    assert [event["kind"] for event in client.events(follow=False)] == ["task.state"]
    registered = client.register_image({"manifest": MANIFEST, "image_id": f"sha256:{'0' * 64}"})
    assert registered["name"] == "ndvi"
    assert client.image("ndvi:1.0.0")["version"] == "1.0.0"
    assert registered in client.images()
    assert [agent["id"] for agent in client.agents()] == ["agent-1"]
    assert client.cluster()["agents"] == 1
    assert client.attempts(job.id) == []


def test_operators_ask_by_the_client_too(client: Client, scene: Scene) -> None:
    """Modes of agents, and the end of the framework that is named."""
    scene.apply(an_agent(), SetFrameworkId(framework_id="f-1"))
    asked = client.set_agent_mode("host-1", "DRAINED", max_grace_s=5, mark_gone=True)
    assert asked == client.agent("agent-1") == client.agents()[0]
    assert (asked["mode"], asked["mode_pending"], asked["max_grace_s"]) == ("DRAINED", True, 5)
    with pytest.raises(errors.NotFoundError, match="nobody"):
        client.set_agent_mode("nobody", "ACTIVE")

    assert client.scheduler()["framework_id"] == "f-1"
    with pytest.raises(errors.ConflictError, match="f-1"):
        client.tear_down("f-0")
    assert client.tear_down("f-1")["wish"]["desire"] == "TEARDOWN"
    assert client.reset_framework("f-1")["wish"]["desire"] == "RESET"


def test_the_history_of_one_task_is_asked_for(client: Client, scene: Scene) -> None:
    """What is of other tasks is left out."""
    job = scene.submit(array=a_range(2))
    scene.apply(*(AddEvent(job_id=job.id, kind="task.state", data={"task": index}) for index in (0, 1)))
    assert [event["data"] for event in client.events(job.id, task=1, follow=False)] == [{"task": 1}]


def test_cancel_and_retry_are_asked_for(client: Client, scene: Scene) -> None:
    """And refused where they make no sense."""
    job = scene.submit()
    with pytest.raises(errors.ConflictError, match="failed"):
        client.retry(job.id)
    assert client.cancel(job.id)["desired"] == "CANCELLED"


def test_a_database_away_is_told_as_such(tmp_path: Path) -> None:
    """StoreUnavailableError, not a riddle."""
    settings = make_settings(tmp_path, "postgresql+psycopg://nobody@127.0.0.1:1/none")
    with serving(settings) as api, Client(api.url, TOKEN) as client, pytest.raises(errors.StoreUnavailableError):
        client.jobs()
