"""`swath up` and `swath down` for real: all programs, free ports, a directory of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from swath.cli.processes import ProcessRef, end
from swath.cli.supervisor import answers
from swath.cli.var import Var
from tests.cli.conftest import require

ROOT = Path(__file__).parents[2]


def eventually(condition: Callable[[], Any], timeout_s: float = 30.0) -> Any:
    """What the condition returns once it is true; fails the test when it does not become so."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found


class Laptop:
    """A directory for a cluster, and the command that works on it."""

    def __init__(self, var: Path) -> None:
        self.var = Var(root=var)
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("SWATH_")}
        self.environment["SWATH_VAR"] = str(var)

    def command(self, *words: str) -> list[str]:
        """The command line."""
        return [sys.executable, "-m", "swath.cli.main", *words]

    def swath(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self.command(*words), cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )

    def ok(self, *words: str) -> str:
        """Run a command that has to succeed; what it printed."""
        done = self.swath(*words)
        logs = "".join(f"\n--- {log}\n{log.read_text()[-2000:]}" for log in sorted(self.var.logs.glob("*.log")))
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}{logs}"
        return done.stdout

    def executors(self) -> list[int]:
        """The executors that the agents of this directory have started."""
        found = []
        for pid in (entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit()):
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                environment = Path(f"/proc/{pid}/environ").read_bytes()
            except OSError:
                continue
            if words[1:3] == [b"-m", b"executor"] and str(self.var.root).encode() in environment:
                found.append(int(pid))
        return found

    def clean(self) -> None:
        """Leave nothing behind, whatever the test did."""
        self.swath("down")
        refs = [ref for pid in self.executors() if (ref := ProcessRef.of(pid))]
        end(refs, 2.0)


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """A running cluster of two agents."""
    place = Laptop(tmp_path_factory.mktemp("laptop") / "var")
    try:
        place.ok("up", "--detach", "--no-docker", "--agents", "2", "--cpus", "1", "--mem", "1024")
        yield place
    finally:
        place.clean()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Laptop]:
    """A directory in which nothing runs yet."""
    place = Laptop(tmp_path / "var")
    yield place
    place.clean()


def test_a_job_runs_and_its_parts_can_be_seen(laptop: Laptop) -> None:
    """Submitted, waited for, listed: the commands agree with each other."""
    done = laptop.swath("submit", "true", "--range", "INDEX=0:3", "--wait", "--json")
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)
    assert job["counts"]["succeeded"] == 3
    assert json.loads(laptop.ok("show", "last", "--json"))["id"] == job["id"]
    assert [task["state"] for task in json.loads(laptop.ok("tasks", "last", "--json"))] == ["SUCCEEDED"] * 3
    assert json.loads(laptop.ok("events", "last", "--json"))
    assert laptop.ok("logs", "last", "2") == ""
    assert job["id"] in laptop.ok("jobs", "--state", "succeeded")


def test_local_serves_nobody_without_the_credential(laptop: Laptop) -> None:
    """It is in files that only their owner reads, and on no command line; what a task wrote can be read all the same."""
    host, _, port = laptop.var.read_cluster()["master"].partition(":")
    assert not answers(host, int(port), "/state")
    assert answers(host, int(port), "/health")
    credential = laptop.var.read_credential()
    assert credential is not None
    for path in (laptop.var.credential_file, laptop.var.plan_file):
        assert path.stat().st_mode & 0o077 == 0, path
    for ref in laptop.var.find_programs().values():
        assert credential[1].encode() not in Path(f"/proc/{ref.pid}/cmdline").read_bytes()
    laptop.ok("submit", "true", "--wait")
    assert laptop.ok("logs", "last") == ""
    assert laptop.executors()


def test_the_doctor_finds_nothing_bad(laptop: Laptop) -> None:
    """Every check is good, but for Docker where there is none."""
    findings = json.loads(laptop.ok("doctor", "--json"))
    assert {finding["name"] for finding in findings} >= {"local", "scheduler", "api", "mesos", "agents", "token"}
    assert not [finding for finding in findings if finding["grade"] == "bad"]


def test_the_images_that_come_with_swath_are_there(laptop: Laptop) -> None:
    """`true` and `ndvi`, once each."""
    names = [image["name"] for image in json.loads(laptop.ok("images", "--json"))]
    assert {"true", "ndvi"} <= set(names)
    assert "SCENE" in laptop.ok("images", "show", "ndvi")


def test_both_agents_are_listed(laptop: Laptop) -> None:
    """With what they have for tasks and executors."""
    agents = json.loads(laptop.ok("agents", "--json"))
    assert [agent["active"] for agent in agents] == [True, True]
    assert len({agent["id"] for agent in agents}) == 2
    assert {(agent["resources"]["cpus"], agent["resources"]["mem"]) for agent in agents} == {(1.1, 1024 + 128)}
    cluster = json.loads(laptop.ok("cluster", "--json"))
    assert cluster["connected"] is True
    assert cluster["master"] == laptop.var.read_cluster()["master"]


def test_the_demo_makes_a_map_and_a_picture(laptop: Laptop) -> None:
    """Without any data of its own: the sample of a Python package, on the cluster that runs already, which it leaves so."""
    require("spyndex")
    laptop.environment["SWATH_TEST_DATA"] = "/nowhere"
    try:
        done = laptop.swath("demo", "--json")
    finally:
        del laptop.environment["SWATH_TEST_DATA"]
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert 0.3 < result["mean"] < 0.6
    assert Path(result["map"]).stat().st_size > 10_000
    assert Path(result["quicklook"]).read_bytes().startswith(b"\x89PNG")
    assert (laptop.var.root / "demo" / "overview.png").exists()
    assert "Contains modified Copernicus Sentinel data" in done.stderr
    assert laptop.var.find_supervisor()


def test_a_second_up_is_refused(laptop: Laptop) -> None:
    """Exit code 4, and the first one is not disturbed."""
    refused = laptop.swath("up", "--detach")
    assert refused.returncode == 4
    assert "swath down" in refused.stderr
    assert laptop.var.find_supervisor()


def test_mistakes_end_with_their_exit_codes(laptop: Laptop) -> None:
    """Unknown job 3; unknown parameter 2; missing input and absurd resources 4; nothing is submitted."""
    before = laptop.ok("jobs", "--json")
    assert laptop.swath("show", "01JD0000000000000000000000").returncode == 3
    assert laptop.swath("submit", "nothing").returncode == 3
    assert laptop.swath("submit", "true", "COLOUR=red").returncode == 2
    assert laptop.swath("submit", "true", "--cpus", "-1").returncode == 4
    missing = laptop.swath("submit", "ndvi", "SCENE=/no/such/scene.tif")
    assert missing.returncode == 4
    assert "SCENE" in missing.stderr
    assert laptop.ok("jobs", "--json") == before


@pytest.mark.parametrize("name", ["api", "scheduler", "local"])
def test_a_program_that_is_killed_comes_back_and_jobs_run(laptop: Laptop, name: str) -> None:
    """kill -9, another pid, and a job that succeeds."""
    before = laptop.var.find_programs()
    os.kill(before[name].pid, signal.SIGKILL)
    second = eventually(lambda: (now := laptop.var.find_programs().get(name)) != before[name] and now)
    eventually(lambda: laptop.swath("submit", "true", "--wait", "--timeout", "30").returncode == 0)
    assert laptop.var.find_programs() == {**before, name: second}


def test_ctrl_c_leaves_executors_that_the_next_up_takes_over_and_down_ends(empty: Laptop) -> None:
    """The executor of the first run serves the second; after `down` there is none, and down again is no mistake."""
    words = empty.command("up", "--no-docker", "--cpus", "1", "--mem", "512")
    first = subprocess.Popen(words, cwd=ROOT, env=empty.environment, stderr=subprocess.PIPE, text=True)
    eventually(lambda: empty.var.read_cluster().get("state") == "ready")
    empty.ok("submit", "true", "--wait")
    executors = eventually(empty.executors)
    first.send_signal(signal.SIGINT)
    said = first.communicate(timeout=40)[1]
    assert first.returncode == 0, said
    assert "ready at http://127.0.0.1:" in said
    assert empty.executors() == executors
    assert not empty.var.find_programs()
    empty.ok("up", "--detach", "--no-docker", "--cpus", "1", "--mem", "512")
    empty.ok("submit", "true", "--wait", "--timeout", "30")
    assert empty.executors() == executors
    empty.ok("down")
    eventually(lambda: not empty.executors())
    assert not empty.var.find_programs()
    assert "no cluster runs" in empty.swath("down").stderr


def test_down_ends_what_a_killed_supervisor_left(empty: Laptop) -> None:
    """kill -9 of the supervisor, then `down`: no process is left."""
    empty.ok("up", "--detach", "--no-docker")
    supervisor, programs = empty.var.find_supervisor(), empty.var.find_programs()
    assert supervisor is not None
    assert set(programs) == {"local", "scheduler", "api"}
    os.kill(supervisor.pid, signal.SIGKILL)
    empty.ok("down")
    assert not [name for name, ref in programs.items() if ProcessRef.of(ref.pid) == ref]
