"""The real scheduler with real executors, while everything goes wrong that a plan of faults can do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from swath.domain.states import AttemptState, JobState
from tests.scheduler.cluster import Cluster
from tests.scheduler.test_with_local import SLEEPER, a_script

TASKS = 90  # of a second each, five at a time: more than the plan lasts
QUICK = ("--heartbeat-interval", "0.5", "--agent-ping-timeout", "0.5")
PLAN = [
    {"at_s": 5, "fault": "cut"},
    {"at_s": 5, "fault": "refuse", "status": 503, "call": "SUBSCRIBE", "count": 3},
    {"at_s": 6, "fault": "lose_update", "count": 2},
    {"at_s": 6, "fault": "repeat_update", "count": 2},
    {"at_s": 6, "fault": "duplicate", "event": "UPDATE", "count": 3},
    {"at_s": 7, "fault": "refuse", "status": 500, "call": "ACKNOWLEDGE"},
    {"at_s": 8, "fault": "master_failover", "agents_after_s": 0.5},
    {"at_s": 10, "fault": "agent_unreachable", "for_s": 1.5},
    {"at_s": 12, "fault": "garbage"},
    {"at_s": 13, "fault": "reorder", "event": "UPDATE", "count": 2},
    {"at_s": 13, "fault": "agent_restart", "down_s": 0.5},
    {"at_s": 15, "fault": "executor_crash"},
    {"at_s": 16, "fault": "redirect_loop", "for_s": 0.5},
    {"at_s": 16, "fault": "cut"},
    {"at_s": 17, "fault": "half_open", "for_s": 30},
    {"at_s": 18, "fault": "clock_jump", "by_s": 30},
]
# What is done at once; the others lie in wait for a message.
DEEDS = (
    "cut",
    "master_failover",
    "agent_unreachable",
    "garbage",
    "agent_restart",
    "executor_crash",
    "half_open",
    "clock_jump",
)


@pytest.mark.timeout(240)
def test_a_job_survives_every_fault_of_the_wire(tmp_path: Path):
    """Each task succeeds, with one attempt that did; a crash of its executor costs no try."""
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps(PLAN))
    cluster = Cluster(tmp_path, interval_s=0.2)
    try:
        cluster.start_local(*QUICK, "--faults", str(plan)).start_scheduler()
        image = cluster.register("naps", SLEEPER, a_script(tmp_path, "import time; time.sleep(1)"))
        job = cluster.wait(cluster.submit(image, TASKS, max_running=5, retry={"max_attempts": 1}), 180)
        assert (job.state, job.counts.succeeded) == (JobState.SUCCEEDED, TASKS), cluster.logs()
        injected = (tmp_path / "local.log").read_text().count("injecting: ")
        assert injected == sum(fault["fault"] in DEEDS for fault in PLAN)
        for index in range(TASKS):
            states = [attempt.state for attempt in cluster.store.list_attempts(job.id, index)]
            assert states.count(AttemptState.SUCCEEDED) == 1
    finally:
        cluster.close()
