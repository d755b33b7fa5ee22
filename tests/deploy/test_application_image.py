"""The application image builds with plain `docker build`, and each of its programs starts in it."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGE = "swath/swath:test"
CLOSED = ["--rm", "--network", "none", "--read-only", "--cap-drop", "ALL", "--tmpfs", "/tmp"]
# Migrates an SQLite database, serves the api on it, and asks it how it is.
SERVE = """
import os, secrets, subprocess, sys, time, urllib.request
from swath.store.migrate import upgrade
os.environ["SWATH_DATABASE_URL"] = "sqlite:////tmp/swath.db"
upgrade(os.environ["SWATH_DATABASE_URL"])
descriptor = os.open("/tmp/token", os.O_WRONLY | os.O_CREAT, 0o600)
os.write(descriptor, secrets.token_urlsafe(32).encode())
os.environ["SWATH_TOKEN_FILE"] = "/tmp/token"
api = subprocess.Popen([sys.executable, "-m", "api"])
deadline = time.monotonic() + 60
while True:
    try:
        print(urllib.request.urlopen("http://127.0.0.1:8642/healthz", timeout=5).status)
        break
    except OSError:
        if api.poll() is not None or time.monotonic() > deadline:
            raise
        time.sleep(0.1)
api.terminate()
"""

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]  # the first build on a machine runs debootstrap


@pytest.fixture(scope="module")
def application():
    """The image; what is unchanged comes from the engine's cache."""
    done = subprocess.run([ROOT / "deploy" / "build.sh", IMAGE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return IMAGE


def run(*arguments):
    return subprocess.run(["docker", "run", *CLOSED, *arguments], capture_output=True, text=True, check=False)


def test_the_command_line_runs_in_it(application):
    """Not as root, and without network."""
    done = run(application, "sh", "-c", "id -u && swath --version")
    assert done.stdout.split()[:2] == ["10001", "swath"], done.stderr


def test_the_api_serves_in_it(application):
    """Migrations first; on a read-only file system."""
    done = run(application, "python", "-c", SERVE)
    assert done.stdout.splitlines()[-1:] == ["200"], done.stderr


@pytest.mark.parametrize(("program", "word"), [("scheduler", "SWATH_DATABASE_URL"), ("executor", "MESOS_SANDBOX")])
def test_the_other_programs_start_in_it(application, program, word):
    """As far as to say which setting is missing."""
    done = run(application, "python", "-m", program)
    assert done.returncode == 2
    assert word in done.stderr


def test_an_executor_in_it_may_run_as_root_for_the_engines_socket(application):
    """As docker-compose.yml has Mesos start it: a shell's command line, as root."""
    done = run("--user", "0:0", application, "/bin/sh", "-c", "exec python -m executor")
    assert "MESOS_SANDBOX" in done.stderr


def test_it_holds_no_raster_library(application):
    """The servers never import rasterio (DESIGN.md 2)."""
    done = run(application, "python", "-c", "import rasterio")
    assert "No module named 'rasterio'" in done.stderr
