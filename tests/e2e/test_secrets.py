"""A secret from the command line to a task and nowhere else: everything that the cluster keeps is searched for it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.jobs import ended
from tests.fixtures.laptop import ROOT, eventually

SECRET = "xyzzy-plugh-plover-9f31"
PROGRAM = """
import hashlib, os, pathlib, sys
token = os.environ["TOKEN"]
print("the token is", token, flush=True)
print(f"https://user:{token}@example.org/", file=sys.stderr)
pathlib.Path(os.environ["OUTPUT_DIR"], "digest.txt").write_text(hashlib.sha256(token.encode()).hexdigest())
"""
MANIFEST = {
    "seedVersion": "1.0.0",
    "job": {
        "name": "secretive",
        "jobVersion": "1.0.0",
        "packageVersion": "1.0.0",
        "title": "Secretive",
        "description": "Shows that it knows a secret.",
        "maintainer": {"name": "The Swath project", "email": "swath@example.org"},
        "timeout": 120,
        "resources": {"scalar": [{"name": "cpus", "value": 0.1}, {"name": "mem", "value": 64.0}]},
        "interface": {
            "command": "python secretive.py",
            "settings": [{"name": "TOKEN", "secret": True}],
            "outputs": {"files": [{"name": "digest", "mediaType": "text/plain", "pattern": "digest.txt"}]},
        },
    },
}


@pytest.fixture(scope="module")
def secretive(laptop, tmp_path_factory):
    """The image, and its secret set by the command line, which reads it from stdin."""
    context = tmp_path_factory.mktemp("secretive")
    (context / "secretive.py").write_text(PROGRAM)
    (context / "seed.manifest.json").write_text(json.dumps(MANIFEST))
    laptop.client.register_image({"manifest": MANIFEST, "context": str(context)})
    subprocess.run(
        [sys.executable, "-m", "swath.cli.main", "secrets", "set", "TOKEN", "--project", "forest"],
        cwd=ROOT,
        env={**os.environ, "SWATH_VAR": str(laptop.var)},
        input=SECRET + "\n",
        text=True,
        check=True,
        capture_output=True,
    )


def find_in(root: Path) -> list[str]:
    """The files that hold the secret, as it is or as Mesos' data would."""
    data = SECRET.encode()
    forms = [data, *(base64.b64encode(b"\0" * shift + data)[4:-4] for shift in range(3))]
    files = [Path(at, name) for at, _, names in os.walk(root) for name in names]
    contents = ((path, path.read_bytes()) for path in files if path.is_file())
    return [str(path) for path, content in contents if any(form in content for form in forms)]


def test_a_task_knows_its_secret_and_nothing_that_is_kept_does(laptop, secretive, tmp_path):
    """Its output proves that it had it; database, Mesos' state and checkpoints, sandboxes, logs and outputs do not have it."""
    job_id = laptop.client.submit({"image": "secretive", "project": "forest"})["id"]
    job = ended(laptop, job_id)
    assert job["state"] == "SUCCEEDED", laptop.client.attempts(job_id, 0)

    (output,) = laptop.client.outputs(job_id)
    kept = laptop.client.download(output, tmp_path / "digest.txt")
    assert kept.read_text() == hashlib.sha256(SECRET.encode()).hexdigest()
    assert laptop.client.log(job_id, 0) == "the token is ********\n"
    assert "https://user:********@example.org/" in laptop.client.log(job_id, 0, "stderr")
    assert find_in(laptop.var) == []
    said = json.dumps([job, laptop.client.attempts(job_id, 0), list(laptop.client.events(job_id, follow=False))])
    assert SECRET not in said + laptop.swath("secrets", "list", "--json").stdout


def test_a_secret_is_given_after_a_scheduler_was_killed(laptop, secretive):
    """kill -9 of the scheduler with the job's launch under way: the next one answers the executor's question."""
    job_id = laptop.client.submit({"image": "secretive", "project": "forest"})["id"]
    eventually(lambda: laptop.client.job(job_id)["state"] != "PENDING", every_s=0.02)
    laptop.kill("scheduler")

    assert ended(laptop, job_id, 120)["state"] == "SUCCEEDED"
