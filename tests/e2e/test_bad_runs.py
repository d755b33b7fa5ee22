"""Commands that misbehave, run through the api as plain processes: each ends with its cause, and leaves nothing behind."""

import json
import time
from pathlib import Path

import pytest

from tests.e2e.jobs import ended
from tests.fixtures.laptop import eventually

GRACE_S = 10.0  # between SIGTERM and SIGKILL
MARK = "unruly-child-of-a-test"

PROGRAM = f"""
import os, pathlib, signal, subprocess, sys, time
deed, output = sys.argv[1], pathlib.Path(sys.argv[2])
if deed == "forgets":
    sys.exit(0)
if deed == "climbs":
    (output / "result.txt").symlink_to("/etc/passwd")
    sys.exit(0)
if deed == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("deaf", flush=True)
    time.sleep(300)
if deed == "fills":
    with (output / "result.txt").open("wb") as file:
        for _ in range(64):
            file.write(bytes(1 << 20))
    time.sleep(300)
if deed == "forks":
    code = "import time; time.sleep(300)"
    for apart in (False, True):  # one in the command's session, one in its own, both without its streams
        subprocess.Popen(
            [sys.executable, "-c", code, "{MARK}"], start_new_session=apart,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
    (output / "result.txt").write_text("done")
"""

MANIFEST = {
    "seedVersion": "1.0.0",
    "job": {
        "name": "unruly",
        "jobVersion": "1.0.0",
        "packageVersion": "1.0.0",
        "title": "Unruly",
        "description": "Misbehaves as it is told to.",
        "maintainer": {"name": "The Swath project", "email": "swath@example.org"},
        "timeout": 120,
        "resources": {
            "scalar": [
                {"name": "cpus", "value": 0.1},
                {"name": "mem", "value": 64.0},
                {"name": "disk", "value": 8.0},
            ]
        },
        "interface": {
            "command": "python unruly.py ${DEED} ${OUTPUT_DIR}",
            "inputs": {"json": [{"name": "DEED", "type": "string"}]},
            "outputs": {"files": [{"name": "result", "mediaType": "text/plain", "pattern": "result.txt"}]},
        },
    },
}


@pytest.fixture(scope="module")
def unruly(laptop, tmp_path_factory):
    """A function: submits the job that does a deed, once; its id."""
    context = tmp_path_factory.mktemp("unruly")
    (context / "unruly.py").write_text(PROGRAM)
    (context / "seed.manifest.json").write_text(json.dumps(MANIFEST))
    laptop.client.register_image({"manifest": MANIFEST, "context": str(context)})

    def submit(deed):
        document = {"image": "unruly", "parameters": {"DEED": deed}, "retry": {"max_attempts": 1}}
        return laptop.client.submit(document)["id"]

    return submit


def cause_of(laptop, job_id):
    """Of the only task's only attempt."""
    (task,) = laptop.client.tasks(job_id)
    (attempt,) = laptop.client.attempts(job_id, 0)
    assert task["cause"] == attempt["cause"]
    return attempt["cause"]


def published(laptop, job_id):
    """The files of the job below the directory of official outputs."""
    return [path for path in (laptop.var / "outputs" / job_id).rglob("*") if not path.is_dir() or path.is_symlink()]


def children():
    """Processes that a command of this module has left."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if MARK.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                found.append(entry.name)
        except OSError:
            continue
    return found


@pytest.mark.parametrize(("deed", "cause"), [("forgets", "OUTPUT"), ("climbs", "OUTPUT"), ("fills", "DISK")])
def test_a_command_that_breaks_its_word_fails_with_the_cause(laptop, unruly, deed, cause):
    """No declared output, a link that climbs out, and eight times the disk: nothing of it is published."""
    job_id = unruly(deed)
    assert ended(laptop, job_id)["state"] == "FAILED"
    assert cause_of(laptop, job_id) == cause
    assert list(laptop.client.outputs(job_id)) == []
    assert eventually(lambda: published(laptop, job_id) == [])


def test_children_do_not_outlive_their_command(laptop, unruly):
    """Not even those in a session of their own; the command itself has succeeded."""
    job_id = unruly("forks")
    assert ended(laptop, job_id)["state"] == "SUCCEEDED"
    assert eventually(lambda: not children(), 5)


def test_a_command_that_ignores_sigterm_is_cancelled_within_its_grace(laptop, unruly):
    """Killed when the grace is over, and no later than a few seconds after it."""
    job_id = unruly("deaf")
    eventually(lambda: any(attempt["state"] == "RUNNING" for attempt in laptop.client.attempts(job_id, 0)))
    eventually(lambda: "deaf" in "".join(laptop.client.log(job_id, 0, "stdout")))
    began = time.monotonic()
    laptop.client.cancel(job_id)
    assert ended(laptop, job_id)["state"] == "CANCELLED"
    assert GRACE_S - 1 < time.monotonic() - began < GRACE_S + 5
    assert cause_of(laptop, job_id) == "KILLED"
