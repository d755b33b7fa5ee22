"""Ports, environment and command lines of the laptop cluster; which scenes the demo takes; what people read."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from swath.cli.blueprint import Ports, Wishes, make_plan
from swath.cli.console import amounts, duration, size, when
from swath.cli.exits import Exit, exit_for, table
from swath.cli.hosts import name_agents
from swath.cli.ports import PortLocks
from swath.cli.results import collect, find_mean
from swath.cli.scenes import find_scenes, scene_names
from swath.cli.var import Var
from swath.client import Client
from swath.domain import errors
from tests.cli.conftest import require

ROOT = Path(__file__).parents[2]


class Taken(PortLocks):
    """Locks on a machine where some ports are taken and no other is."""

    def __init__(self, directory: Path, *taken: int) -> None:
        super().__init__(directory)
        self.taken = set(taken)

    def take(self, first: int, count: int = 1) -> bool:
        return not self.taken & set(range(first, first + count))


def test_default_ports_are_taken_when_they_are_free(tmp_path: Path) -> None:
    """8642, 5050 and 5051."""
    assert Ports.choose(Wishes(), {}, Taken(tmp_path)) == Ports(api=8642, master=5050, agent=5051)


def test_former_ports_are_preferred_for_executors_look_for_their_agent_there(tmp_path: Path) -> None:
    """The ports of the last run, as long as they are free."""
    former = {"api": 1111, "master": 2222, "agent": 3333}
    assert Ports.choose(Wishes(), former, Taken(tmp_path)) == Ports(api=1111, master=2222, agent=3333)
    assert Ports.choose(Wishes(), former, Taken(tmp_path, 1111)).api == 8642


def test_a_taken_default_gives_way_to_any_free_port(tmp_path: Path) -> None:
    """Another cluster on this machine is no obstacle."""
    ports = Ports.choose(Wishes(agents=3), {}, Taken(tmp_path, 8642, 5053))
    assert ports.api not in (8642, 0)
    assert ports.agent != 5051


def test_a_port_that_was_asked_for_and_is_taken_is_refused(tmp_path: Path) -> None:
    """Nobody looks for the api elsewhere than where he put it."""
    with pytest.raises(errors.ConflictError, match="port 8642 for the api is taken"):
        Ports.choose(Wishes(port=8642), {}, Taken(tmp_path, 8642))


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        (Wishes(port=0), "--port: 0 is no port: they are 1 to 65535"),
        (Wishes(master_port=70_000), "--master-port: 70000 is no port"),
        (Wishes(agent_port=65_534, agents=3), "--agent-port: 65534 leaves no 3 ports: the last is 65535"),
    ],
)
def test_a_port_that_there_is_not_is_not_called_taken(tmp_path: Path, wishes: Wishes, words: str) -> None:
    """The message says which option is wrong, and what ports there are."""
    with pytest.raises(errors.InvalidInputError, match=words):
        Ports.choose(wishes, {}, Taken(tmp_path))


def test_a_reserved_port_is_nobody_elses_until_it_is_released(tmp_path: Path) -> None:
    """Though nobody listens there yet."""
    first, second = PortLocks(tmp_path), PortLocks(tmp_path)
    port = first.take_any()
    assert not second.take(port)
    first.release()
    assert second.take(port)
    second.release()


def make_link(place: Path) -> None:
    (place.parent / "own").mkdir(mode=0o700)
    place.symlink_to("own")


@pytest.mark.parametrize(
    "prepare",
    [
        pytest.param(make_link, id="a link"),
        pytest.param(lambda place: place.mkdir(mode=0o700) or place.chmod(0o777), id="open to others"),
        pytest.param(lambda place: place.mkdir(mode=0o700) or place.chmod(0o750), id="open to a group"),
    ],
)
def test_a_directory_of_locks_that_others_could_have_made_is_refused(
    tmp_path: Path, prepare: Callable[[Path], None]
) -> None:
    """Nothing is written there, and the message says what to do."""
    prepare(tmp_path / "locks")
    with pytest.raises(errors.ConflictError, match="set TMPDIR"):
        PortLocks(tmp_path / "locks")


def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    """What it leads to is not opened."""
    locks = PortLocks(tmp_path)
    port = locks.take_any()
    locks.release()
    (tmp_path / str(port)).unlink()
    (tmp_path / str(port)).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        locks.take(port)
    assert not (tmp_path / "elsewhere").exists()


def test_results_are_files_of_their_own(tmp_path: Path) -> None:
    """Who edits one does not change the official output."""
    official = tmp_path / "official.json"
    official.write_text('{"mean": 0.5}')
    output = {"task": 0, "name": "s", "path": "statistics.json", "file": str(official)}
    task = {"index": 0, "agent": None, "started_at": None, "ended_at": None, "message": None, "state": "SUCCEEDED"}
    (result,) = collect(Answers([task], [output]), "J", ["scene"], tmp_path / "demo")
    copy = tmp_path / "demo" / "scene-statistics.json"
    assert result.mean == 0.5
    copy.write_text("{}")
    assert official.read_text() == '{"mean": 0.5}'


class Answers(Client):
    """A client of a service that has one job."""

    def __init__(self, tasks: list[Any], outputs: list[Any]) -> None:
        self.lists = {"tasks": tasks, "outputs": outputs}

    def tasks(self, job_id: str, **_: Any) -> Any:
        return self.lists["tasks"]

    def outputs(self, job_id: str, **_: Any) -> Any:
        return self.lists["outputs"]


def test_a_run_of_ports_is_reserved_whole_or_not_at_all(tmp_path: Path) -> None:
    """One that is in use spoils the run, and frees the ones before it."""
    locks = PortLocks(tmp_path)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        used = server.getsockname()[1]
        assert not locks.take(used - 1, 2)
    assert locks.descriptors == []


def test_agents_differ_by_name_zone_and_rack() -> None:
    """Two zones that take turns, two agents a rack; what the user says is so of all of them."""
    names, attributes = zip(*name_agents(5, ""), strict=True)
    assert names == ("laptop-1", "laptop-2", "laptop-3", "laptop-4", "laptop-5")
    assert [part.partition(";")[2] for part in attributes] == [
        *("zone:a;rack:a1", "zone:b;rack:b1", "zone:a;rack:a1", "zone:b;rack:b1", "zone:a;rack:a2")
    ]
    for _, said in name_agents(3, "zone:z; disk:ssd"):
        assert said.endswith(";zone:z;disk:ssd")
        assert said.count("zone") == 1


def test_the_plan_gives_every_program_its_settings(tmp_path: Path) -> None:
    """Absolute paths, the executor's environment as JSON, one processor more than asked for the executor's own share."""
    var = Var(root=tmp_path)
    var.make()
    plan = make_plan(var, ROOT, Wishes(cpus=2, mem=1000, input_roots=("/eo",)), Ports(api=1, master=2, agent=3))
    local = next(program for program in plan.programs if program.name == "local")
    assert local.argv[local.argv.index("--cpus") + 1] == "2.1"
    assert local.argv[local.argv.index("--mem") + 1] == "1128"
    assert "--resources" not in local.argv
    more = make_plan(var, ROOT, Wishes(resources="licences:4", attributes="rack:r1"), Ports(api=1, master=2, agent=3))
    words = more.programs[0].argv
    assert words[words.index("--resources") + 1] == "licences:4"
    assert words[words.index("--attributes") + 1] == "region:laptop;zone:a;rack:r1"
    environment = local.environment
    assert environment["SWATH_DATABASE_URL"] == f"sqlite:///{tmp_path}/swath.db"
    executor = json.loads(environment["SWATH_EXECUTOR_ENV"])
    assert executor["SWATH_INPUT_ROOTS"] == "/eo"
    assert executor["PYTHONPATH"] == str(ROOT)
    assert [program.name for program in plan.programs] == ["local", "scheduler", "api"]


def test_the_secret_goes_to_those_that_need_it_and_stands_on_no_command_line(tmp_path: Path) -> None:
    """Scheduler and api have it in their environment, executors have none of it."""
    var = Var(root=tmp_path)
    var.make()
    credential = var.read_credential()
    assert credential is not None
    plan = make_plan(var, ROOT, Wishes(), Ports(api=1, master=2, agent=3))
    programs = {program.name: program for program in (*plan.programs, *plan.before, *plan.after)}
    assert not any(credential[1] in word for program in programs.values() for word in program.argv)
    holders = {name for name, program in programs.items() if credential[1] in json.dumps(dict(program.environment))}
    assert holders == {"scheduler", "api"}
    assert programs["scheduler"].environment["SWATH_PRINCIPAL"] == credential[0]
    assert programs["api"].environment["SWATH_AGENT_SECRET"] == credential[1]
    assert programs["local"].argv[programs["local"].argv.index("--credential-file") + 1] == str(var.credential_file)
    assert credential[1] not in programs["scheduler"].environment["SWATH_EXECUTOR_ENV"]


def test_a_damaged_credential_is_made_anew_and_a_good_one_is_kept(tmp_path: Path) -> None:
    """Private in either case."""
    var = Var(root=tmp_path)
    var.make()
    first = var.read_credential()
    var.make()
    assert var.read_credential() == first
    var.credential_file.write_text("[]")
    var.credential_file.chmod(0o644)
    var.make()
    assert var.read_credential() not in (None, first)
    assert var.credential_file.stat().st_mode & 0o777 == 0o600


def test_the_demo_prefers_what_is_given_then_the_sample_data(tmp_path: Path) -> None:
    """--input, then $SWATH_TEST_DATA with all dates and the site."""
    for name in ("s2-l2a-33TWM-5-dates/S2B_33TWM_2", "s2-l2a-33TWM-5-dates/S2A_33TWM_1", "s2-l2a-bolzano"):
        (tmp_path / name).mkdir(parents=True)
    site = tmp_path / "s2-l2a-bolzano" / "S2_L2A_sample.tif"
    site.touch()
    environ = {"SWATH_TEST_DATA": str(tmp_path)}
    assert find_scenes([site], environ, tmp_path, tmp_path).paths == (site,)
    found = find_scenes([], environ, tmp_path, tmp_path)
    assert [path.name for path in found.paths] == ["S2A_33TWM_1", "S2B_33TWM_2", "S2_L2A_sample.tif"]
    with pytest.raises(errors.NotFoundError):
        find_scenes([tmp_path / "nothing"], environ, tmp_path, tmp_path)


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # rasterio multiplies affines the old way
def test_without_data_the_demo_writes_the_sample_of_the_package(tmp_path: Path) -> None:
    """One real scene whose name says that its place is unknown."""
    require("spyndex")
    found = find_scenes([], {"SWATH_TEST_DATA": str(tmp_path / "none")}, tmp_path, tmp_path / "scratch")
    assert [path.name for path in found.paths] == ["spyndex-sample-location-unknown.tif"]
    assert found.paths[0].stat().st_size > 100_000


def test_scenes_of_one_name_are_told_apart() -> None:
    """Their files lie beside each other."""
    assert scene_names([Path("/a/x"), Path("/b/x"), Path("/b/y")]) == ["0-x", "1-x", "y"]


def test_the_mean_is_read_out_of_the_statistics(tmp_path: Path) -> None:
    """A number, or nothing."""
    (tmp_path / "statistics.json").write_text('{"mean": 0.5, "std": 1}')
    assert find_mean(tmp_path / "statistics.json") == 0.5
    (tmp_path / "statistics.json").write_text("[]")
    assert find_mean(tmp_path / "statistics.json") is None


def said_by_the_service(error: errors.SwathError) -> errors.SwathError:
    """As the client raises it."""
    error.document = {"type": "urn:swath:problem:invalid-input"}
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.NotFoundError("x"), 3),
        (errors.InvalidInputError.at("", "x"), 2),
        (said_by_the_service(errors.InvalidInputError.at("", "x")), 4),
        (said_by_the_service(errors.CannotRunError.at("", "x")), 4),
        (errors.ConflictError("x"), 4),
        (errors.UnauthorizedError("x"), 4),
        (errors.InternalError("x"), 5),
        (TimeoutError("x"), 9),
        (KeyError("x"), 8),
    ],
)
def test_every_kind_of_error_has_its_exit_code(error: Exception, code: int) -> None:
    """Scripts rely on them."""
    assert exit_for(error) == code


def test_the_table_names_every_exit_code() -> None:
    """And so does the page."""
    page = (ROOT / "docs" / "cli.md").read_text()
    for code in Exit:
        assert f" {code.value} " in table()
        assert f"| {code.value} |" in page


def test_times_sizes_and_amounts_are_shown_as_people_say_them() -> None:
    """Two digits are enough."""
    now = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)
    assert when("2026-01-01T12:00:00Z", now) == "30 s ago"
    assert when("2026-01-01T12:00:31Z", now) == "0.0 s ago"  # by a clock that is ahead of ours
    assert when("2026-01-01T15:00:30Z", now) == "in 3 h"
    assert [duration(seconds) for seconds in (3.21, 80, 600, 7200, 400_000)] == [
        "3.2 s",
        "80 s",
        "10 min",
        "2 h",
        "5 d",
    ]
    assert [size(count) for count in (10, 2048, 5 * 2**20)] == ["10 B", "2.0 KiB", "5.0 MiB"]
    assert amounts({"cpus": 1.5, "mem": 2048, "gpus": 0}) == "1.5 cpus, 2048 MiB memory"
