"""What a killed executor leaves on the machine when nothing comes after it: nothing."""

import json
from pathlib import Path

import docker
import pytest

from tests.e2e.jobs import ended
from tests.fixtures.laptop import ROOT, Laptop, eventually, running

pytestmark = pytest.mark.timeout(300)

SLEEPER = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
time.sleep(600)
"""


@pytest.fixture
def process_laptop(tmp_path):
    """A cluster whose attempts are processes."""
    yield from running(tmp_path / "var", "--no-docker")


def sleeping(laptop, context):
    """A job of three attempts, each with a daemon that forked twice; the ids of their six processes."""
    context.mkdir()
    (context / "run.py").write_text(SLEEPER)
    manifest = json.loads((ROOT / "images/true/seed.manifest.json").read_text())
    manifest["job"] |= {"name": "sleeper"}
    manifest["job"]["interface"]["command"] = "python run.py"
    laptop.client.register_image({"manifest": manifest, "context": str(context)})
    job = laptop.client.submit({"image": "sleeper", "array": {"over": "INDEX", "range": [0, 3]}})
    return job["id"], eventually(lambda: found if len(found := marked(laptop)) == 6 else None, 60)


def marked(laptop):
    """The processes that attempts of this cluster have started."""
    found = set()
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            environ, alive = (directory / "environ").read_bytes(), (directory / "cmdline").read_bytes()
        except OSError:
            continue
        if alive and b"SWATH_ATTEMPT=" in environ and str(laptop.var).encode() in environ:
            found.add(int(directory.name))
    return found


def guardians(laptop):
    """The guardians of this cluster's executors."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            environ, words = (directory / "environ").read_bytes(), (directory / "cmdline").read_bytes()
        except OSError:
            continue
        if words.startswith(b"swath-guardian") and str(laptop.var).encode() in environ:
            found.append(int(directory.name))
    return found


def test_a_killed_executor_and_a_cancelled_job_leave_nothing(process_laptop, tmp_path):
    """kill -9 of the executor, the job cancelled at once: no process of it runs on, the guardian neither."""
    job_id, _ = sleeping(process_laptop, tmp_path / "sleeper")
    assert len(guardians(process_laptop)) == 1
    process_laptop.kill("executor")
    process_laptop.client.cancel(job_id)
    assert ended(process_laptop, job_id)["state"] == "CANCELLED"
    eventually(lambda: not marked(process_laptop))
    eventually(lambda: not guardians(process_laptop))


def test_swath_down_after_a_kill_leaves_nothing(process_laptop, tmp_path):
    """The executor killed, then the cluster taken down: the processes are gone, and nothing looks after them any more."""
    sleeping(process_laptop, tmp_path / "sleeper")
    process_laptop.kill("executor")
    process_laptop.swath("down")
    eventually(lambda: not marked(process_laptop) and not guardians(process_laptop))


def test_swath_down_ends_tasks_that_ignore_sigterm_and_the_guardian(process_laptop, tmp_path):
    """When it returns the executor has had its grace, and no task is left; the guardian has nothing to do and ends."""
    sleeping(process_laptop, tmp_path / "sleeper")
    process_laptop.swath("down")
    assert marked(process_laptop) == set()
    eventually(lambda: not guardians(process_laptop))


@pytest.mark.docker
@pytest.mark.data
def test_a_killed_executor_and_a_cancelled_job_leave_no_container(ndvi_image, data_folder, tmp_path):
    """The same with containers: ten scenes under way, none of their containers is left, running or not."""
    engine = docker.from_env()
    for laptop in running(tmp_path / "var"):
        kill_with_containers(laptop, engine, data_folder)
    engine.close()


def kill_with_containers(laptop: Laptop, engine, data_folder):
    """Submit, kill the executor while containers are there, cancel, and wait for their end."""
    scenes = sorted(data_folder.glob("s2-l2a-33TWM-5-dates/*_L2A")) * 2
    items = [{"href": scene.as_uri()} for scene in scenes]
    job_id = laptop.client.submit({"image": "ndvi", "array": {"over": "SCENE", "items": items}})["id"]
    ours = {"label": f"swath.job={job_id}"}
    eventually(lambda: engine.api.containers(all=True, filters=ours), 60)
    laptop.kill("executor")
    laptop.client.cancel(job_id)
    assert ended(laptop, job_id)["state"] == "CANCELLED"
    eventually(lambda: not engine.api.containers(all=True, filters=ours))
    eventually(lambda: not guardians(laptop))
    assert not engine.api.containers(all=True, filters=ours)
