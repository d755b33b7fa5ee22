"""Invented workloads are what was ordered, within chance."""

from __future__ import annotations

from collections import Counter
from statistics import median

import pytest

from swath.domain.errors import InvalidInputError
from swath.simulation.synthetic import Synthetic, make_trace


def test_a_workload_is_as_ordered() -> None:
    """So many jobs, tasks about the mean, run times about the median, within the hours."""
    trace = make_trace(Synthetic(jobs=1000, tasks=20, run=100, hours=2), seed=1)
    assert len(trace.jobs) == 1000
    assert 18_000 < trace.tasks < 22_000
    assert 95 < median(run for job in trace.jobs for run in job.runs_s) < 105
    assert 0 <= trace.jobs[0].submitted_s < trace.jobs[-1].submitted_s <= 7200


def test_projects_differ_in_appetite() -> None:
    """The second has about half of the first's jobs."""
    counts = Counter(job.project for job in make_trace(Synthetic(jobs=6000, tasks=1, projects=3), seed=2).jobs)
    assert counts["project-1"] / counts["project-2"] == pytest.approx(2, rel=0.15)
    assert counts["project-1"] / counts["project-3"] == pytest.approx(3, rel=0.15)


def test_interactive_and_large_jobs_come_in_their_parts() -> None:
    """Interactive ones have one short task and are never preempted."""
    trace = make_trace(Synthetic(jobs=2000, interactive=0.25, large=0.1, large_cpus=32), seed=3)
    interactive = [job for job in trace.jobs if job.interactive]
    assert len(interactive) == pytest.approx(500, rel=0.15)
    assert all(len(job.runs_s) == 1 and not job.preemptible for job in interactive)
    assert sum(job.resources.cpus_m == 32_000 for job in trace.jobs) == pytest.approx(150, rel=0.25)


def test_another_seed_is_another_workload() -> None:
    """And the first draw of a seed is known: it must not change between versions."""
    one, two = (make_trace(Synthetic(jobs=5), seed) for seed in (1, 2))
    assert one.jobs != two.jobs
    assert [round(job.submitted_s) for job in one.jobs] == KNOWN


KNOWN = [1413, 1524, 1736, 1822, 2269]


def test_words_become_parameters_and_every_mistake_is_named() -> None:
    """All at once."""
    assert Synthetic.from_words({"jobs": "10", "run": "1.5"}) == Synthetic(jobs=10, run=1.5)
    with pytest.raises(InvalidInputError) as refused:
        Synthetic.from_words({"jobs": "1.5", "run": "-1", "colour": "red", "large": "2", "hours": "nan"})
    assert [problem.path for problem in refused.value.problems] == ["/colour", "/jobs", "/run", "/large", "/hours"]


def test_more_tasks_than_are_taken_are_refused() -> None:
    """Before any is made."""
    with pytest.raises(InvalidInputError, match="at most"):
        make_trace(Synthetic(jobs=1_000_000, tasks=1000), seed=1)
