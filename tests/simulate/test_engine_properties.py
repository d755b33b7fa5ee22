"""What holds of every simulated schedule, whatever the workload."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.simulation.history import End, History
from swath.simulation.model import Timing, TraceJob
from swath.simulation.synthetic import Synthetic, make_trace
from swath.simulation.timeline import make_timeline
from tests.simulate.build import a_job, agents, run

RUNS = st.lists(st.floats(0, 100), min_size=1, max_size=6)
JOBS = st.builds(
    dict,
    at=st.floats(0, 200),
    runs=RUNS,
    cpus=st.sampled_from([0.5, 1, 2, 3]),
    mem=st.sampled_from([0, 100, 700]),
    project=st.sampled_from("pqr"),
    priority=st.integers(0, 3),
    max_running=st.sampled_from([None, 1, 3]),
    interactive=st.booleans(),
    preemptible=st.booleans(),
)
TIMINGS = st.builds(
    Timing,
    cycle_s=st.sampled_from([0.0, 1.0, 7.0]),
    launch_s=st.sampled_from([0.0, 2.0]),
    pull_s=st.sampled_from([0.0, 5.0]),
    grace_s=st.sampled_from([1.0, 10.0]),
    until_s=st.sampled_from([None, 90.0]),
)


def jobs_of(drawn: list[dict[str, Any]]) -> list[TraceJob]:
    return [a_job(f"j{number}", job.pop("at"), *job.pop("runs"), **job) for number, job in enumerate(map(dict, drawn))]


def never_overcommits(history: History) -> None:
    """At every launch the sum of what runs on the agent is at most what it has."""
    table, needs = history.attempts, history.needs(["cpus", "mem"])
    for agent, spec in enumerate(history.cluster.agents):
        on = table.agent == agent
        has = (spec.total.cpus_m, spec.total.mem)
        for moment in table.launched[on]:
            there = on & (table.launched <= moment) & (table.ended > moment)
            assert (needs[table.job[there]].sum(axis=0) <= has).all()


@settings(max_examples=40)
@given(drawn=st.lists(JOBS, max_size=8), timing=TIMINGS)
def test_no_agent_is_ever_overcommitted_and_every_task_runs_once(drawn, timing) -> None:
    """But those that were preempted, that are too large, or that the end of the simulation has met."""
    history = run(agents(2, cpus=3, mem=1000), *jobs_of(drawn), timing=timing)
    never_overcommits(history)
    table = history.attempts
    finished = Counter(zip(table.job[table.end == End.FINISHED], table.task[table.end == End.FINISHED], strict=True))
    assert all(count == 1 for count in finished.values())
    if timing.until_s is None:
        assert len(finished) == history.trace.tasks
        assert not history.waiting


@settings(max_examples=40)
@given(drawn=st.lists(JOBS, max_size=8), timing=TIMINGS)
def test_work_is_conserved(drawn, timing) -> None:
    """A finished attempt lasts as its task runs, none begins before its submission, and the timeline's area is the work."""
    history = run(agents(2, cpus=3, mem=1000), *jobs_of(drawn), timing=timing)
    table, jobs = history.attempts, history.trace.jobs
    for job, task, started, ended, end in zip(
        table.job, table.task, table.started, table.ended, table.end, strict=True
    ):
        if end == End.FINISHED:
            assert np.isclose(ended - started, jobs[job].runs_s[task])
    assert (table.launched >= history.submitted[table.job]).all()
    line = make_timeline(history, spans=50)
    work = ((table.ended - table.launched) * history.needs(["cpus"])[table.job, 0]).sum() / 6000
    if work > 0:
        area = (line.used[:, line.resources.index("cpus")].sum(axis=0) * np.diff(line.edges)).sum()
        assert np.isclose(area, work, rtol=1e-6, atol=1e-6)


@settings(max_examples=40)
@given(drawn=st.lists(JOBS, max_size=8), timing=TIMINGS)
def test_a_job_never_runs_more_than_it_allows(drawn, timing) -> None:
    """At no launch."""
    history = run(agents(2, cpus=3, mem=1000), *jobs_of(drawn), timing=timing)
    table = history.attempts
    for number, job in enumerate(history.trace.jobs):
        own = table.job == number
        for moment in table.launched[own]:
            there = own & (table.launched <= moment) & (table.ended > moment)
            assert job.max_running is None or there.sum() <= job.max_running


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_history(seed) -> None:
    """To the last attempt."""
    trace = make_trace(Synthetic(jobs=8, tasks=4, hours=0.1, interactive=0.3, large=0.2, large_cpus=4), seed)
    again = make_trace(Synthetic(jobs=8, tasks=4, hours=0.1, interactive=0.3, large=0.2, large_cpus=4), seed)
    assert trace == again
    one, two = (run(agents(3, cpus=4, mem=2**20), *found.jobs) for found in (trace, again))
    for name in ("job", "task", "agent", "launched", "started", "ended", "end"):
        assert np.array_equal(getattr(one.attempts, name), getattr(two.attempts, name))
