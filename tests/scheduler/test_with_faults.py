"""The real scheduler with real executors, while everything goes wrong that a plan of faults can do."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from local.fault_plan import KINDS, parse_plan
from swath.domain.states import AttemptState, JobState
from tests.scheduler.cluster import Cluster
from tests.scheduler.test_with_local import SLEEPER, a_script

TASKS = 150  # of a second each, five at a time: more than the plan lasts
QUICK = ("--heartbeat-interval", "0.5", "--agent-ping-timeout", "0.5")
GONE = 1  # the agent that is lost for good
PLAN = [  # the first seconds are for the scheduler to begin
    {"at_s": 13, "fault": "cut"},
    {"at_s": 13, "fault": "refuse", "status": 503, "call": "SUBSCRIBE", "count": 3},
    {"at_s": 14, "fault": "lose_update", "count": 2},
    {"at_s": 14, "fault": "repeat_update", "count": 2},
    {"at_s": 14, "fault": "duplicate", "event": "UPDATE", "count": 3},
    {"at_s": 15, "fault": "refuse", "status": 500, "call": "ACKNOWLEDGE"},
    {"at_s": 15, "fault": "delay", "event": "UPDATE", "count": 2, "for_s": 0.5},
    {"at_s": 16, "fault": "master_failover", "agents_after_s": 0.5},
    {"at_s": 18, "fault": "agent_unreachable", "for_s": 1.5},
    {"at_s": 20, "fault": "garbage"},
    {"at_s": 21, "fault": "reorder", "event": "UPDATE", "count": 2},
    {"at_s": 21, "fault": "agent_restart", "down_s": 0.5},
    {"at_s": 23, "fault": "executor_crash"},
    {"at_s": 24, "fault": "redirect_loop", "for_s": 0.5},
    {"at_s": 24, "fault": "cut"},
    {"at_s": 28, "fault": "half_open", "for_s": 30},  # by now it has found the master again, however long it backed off
    {"at_s": 29, "fault": "clock_jump", "by_s": 30},
    {"at_s": 31, "fault": "agent_gone", "agent": GONE},
    {"at_s": 32, "fault": "drop", "event": "UPDATE", "count": 2},
    {"at_s": 32, "fault": "lose_call", "call": "ACKNOWLEDGE", "count": 2},
    {"at_s": 34, "fault": "cut"},  # what was lost is told again
    {"at_s": 35, "fault": "error"},  # which is answered slowly
]


@pytest.mark.timeout(240)
def test_a_job_survives_every_fault_of_the_wire(tmp_path: Path):
    """Each task succeeds, with one attempt that did; a crash of its executor and the loss of its agent cost no try."""
    assert {fault["fault"] for fault in PLAN} == set(KINDS)
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps(PLAN))
    cluster = Cluster(tmp_path, interval_s=0.2, agents=2)
    try:
        cluster.start_local(*QUICK, "--faults", str(plan)).start_scheduler()
        image = cluster.register("naps", SLEEPER, a_script(tmp_path, "import time; time.sleep(1)"))
        retry = {"max_attempts": 1, "unreachable_s": 5}
        job = cluster.wait(cluster.submit(image, TASKS, max_running=5, retry=retry), 180)
        assert (job.state, job.counts.succeeded) == (JobState.SUCCEEDED, TASKS), cluster.logs()
        assert not (idle := find_idle(tmp_path / "local.log", PLAN)), f"{idle} have hit nothing\n{cluster.logs()}"
        for index in range(TASKS):
            states = [attempt.state for attempt in cluster.store.list_attempts(job.id, index)]
            assert states.count(AttemptState.SUCCEEDED) == 1
    finally:
        cluster.close()


def find_idle(log: Path, plan: Sequence[Mapping[str, Any]]) -> list[str]:
    """The faults of the plan that did not hit all that they were to hit, as `local` writes them."""
    hits = Counter[str]()
    for number, fault in re.findall(r"struck (\d+): (\{.*\})", log.read_text()):
        hits[fault] += int(number)
    wanted = {json.dumps(fault.to_json()): fault.arguments.get("count", 1) for fault in parse_plan(plan, agents=2)}
    return [fault for fault, count in wanted.items() if hits[fault] < count]
