"""The machines against recordings of a real Mesos."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from . import test_http_recordings, test_perf_recordings
from .recording import Json
from .replay import Replay

FOLDERS: dict[str, dict[str, Any]] = {
    "01-custom-executor-basics": {},
    "02-executor-resources-and-reuse": {},
    "03-executor-sigkill": {},
    "04a-agent-restart-sigterm": {},
    "04b-agent-restart-kill9": {},
    "04c-agent-restart-recovery-timeout": {},
    "04d-agent-restart-executor-does-not-come-back": {},
    "04e-agent-restart-sigusr1": {
        "unlike": {19.4788: "shows each lost task a second time, from the returned agent's own archive"},
    },
    "04f-agent-restart-recover-cleanup": {},
    "04g-agent-restart-executor-died-meanwhile": {},
    "04h-agent-restart-slow-executor": {},
    "04i-agent-restart-no-checkpoint": {},
    "04j-agent-restart-executor-forgets-unacked-tasks": {},
    "05-agent-lost-unreachable-gone": {},
    "06-scheduler-failover": {},
    "07-master-restart": {},
    "07b-master-restart-default-ping": {},
    "08-bad-launches": {},
    "09a-offers-filters": {},
    "09b-offer-timeout-rescind": {},
    "09c-maintenance-inverse-offers": {},
    "09d-drain-deactivate": {},
    "09e-drain-variants": {
        "unlike": {4.3019: "26 ms after a TASK_KILLED that the recorded agent took 85 ms to send on; ours has"},
    },
    "10-kill-teardown-failover-timeout": {
        # A KILL right behind its ACCEPT: the real agent had not delivered the task yet, ours has.
        "racy": ("d1",),
    },
    "10b-kill-only-task-of-starting-executor": {},
    "11-attributes-domains-ports": {},
    "12-files-api-operator-api": {},
    "14-docker-custom-executor": {},
    "16-several-offers-of-one-agent": {},
}


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_same_calls_give_the_same_answers_and_events_as_a_real_mesos(transcripts: Path, folder: str) -> None:
    """Every recorded event has its equal among ours, and we say nothing that was not recorded."""
    assert Replay(transcripts / folder, **FOLDERS[folder]).run() > 5


def test_every_recording_binds_something(transcripts: Path) -> None:
    """Each folder is the parameter of a test, or its name stands in the name of one."""
    named = "\n".join(name.replace("_", "-") for name in vars(test_http_recordings) if name.startswith("test_"))
    folders = [path.name for path in transcripts.iterdir() if path.is_dir()]
    unbound = [name for name in folders if name not in (*FOLDERS, *test_perf_recordings.FOLDERS) and name not in named]
    assert (unbound, len(folders) > 30) == ([], True)


@pytest.mark.parametrize("folder", FOLDERS)
def test_executors_get_the_variables_that_a_real_mesos_gave_them(transcripts: Path, folder: str) -> None:
    """All MESOS_ variables but those that name its libraries, and of the others none that the real one did not set."""
    played = Replay(transcripts / folder, **FOLDERS[folder])
    played.run()
    for path in sorted((transcripts / folder).glob("env*.json")):
        recorded = json.loads(path.read_text())
        given = find_environment(played, recorded)
        expected = {name: value for name, value in recorded["MESOS_*"].items() if "NATIVE" not in name}
        expected = played.names.translate(to_relative(expected))
        assert to_relative({n: v for n, v in given.items() if n.startswith("MESOS_")}) == expected, path.name
        others = {name: value for name, value in given.items() if not name.startswith("MESOS_")}
        assert others.items() <= recorded["other"].items(), path.name


def find_environment(played: Replay, recorded: Json) -> Json:
    """Of the newest start of the same executor, on the same agent."""
    all_of_it = recorded["MESOS_*"] | recorded["other"]
    names = ("MESOS_EXECUTOR_ID", "MESOS_SLAVE_PID", "REC_SUFFIX")
    wanted = {name: all_of_it[name] for name in names if name in all_of_it}
    found = [start.environment for start in played.started if wanted.items() <= start.environment.items()]
    return dict(found[-1])


def to_relative(environment: Json) -> Json:
    """Sandboxes without the work directory that they are in, and without the run, which has another id with us."""
    run = re.compile(r"^(.*/)?(?=slaves/)|(?<=/runs/).*|(?<=^mesos-).*")
    return {
        name: run.sub("", value) if "/runs/" in value or "CONTAINER" in name else value
        for name, value in environment.items()
    }
