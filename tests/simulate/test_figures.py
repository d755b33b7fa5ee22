"""Figures against ones that were worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from swath.simulation.figures import Spread, make_figures
from swath.simulation.timeline import make_timeline
from swath.simulation.waits import make_waits
from tests.simulate.build import EXACT, a_job, agents, run


def test_waits_and_slowdowns_of_a_queue() -> None:
    """Runs of 20 one after the other: waits 0, 20, 40, and (wait + run) / run."""
    figures = make_figures(run(agents(1), a_job("a", 0, 20, 20, 20)))
    assert figures.wait_s == Spread(mean=20, median=20, p95=38, largest=40)
    assert figures.slowdown.median == 2
    assert figures.slowdown.largest == 3
    assert figures.makespan_s == 60
    assert figures.turnaround_s.mean == 60


def test_the_slowdown_of_a_short_task_is_bounded() -> None:
    """A run of 1 s after a wait of 4 s is no slowdown of 5."""
    figures = make_figures(run(agents(1), a_job("a", 0, 4), a_job("b", 0, 1)))
    assert figures.slowdown.largest == 1


def test_utilisation_is_what_was_held_of_what_there_was() -> None:
    """One of two cpus for all, both for half of the time."""
    figures = make_figures(run(agents(2), a_job("a", 0, 100, 50)))
    assert figures.utilisation["cpus"] == pytest.approx(0.75)


def test_utilisation_while_tasks_wait_leaves_out_the_tail() -> None:
    """For ten seconds three tasks want two cpus, then one runs alone."""
    figures = make_figures(run(agents(2), a_job("a", 0, 10, 10, 30)))
    assert figures.utilisation_waiting["cpus"] == pytest.approx(1.0)
    assert figures.utilisation["cpus"] == pytest.approx(50 / 80)


def test_equal_shares_are_fair_and_one_that_takes_all_is_not() -> None:
    """Jain's index: 1 for halves, one half where one of two has everything."""
    fair = run(agents(2), *(a_job(f"{n}{p}", 0, 10, project=p) for n in range(9) for p in "pq"))
    assert make_figures(fair).fairness == pytest.approx(1.0)
    greedy = run(agents(2), a_job("a", 0, *[10] * 10, project="p"), a_job("b", 1, *[10] * 10, project="q"))
    line = make_timeline(greedy, spans=100)
    assert line.fairness[5] == pytest.approx(0.5)


def test_weights_count_for_fairness() -> None:
    """Two thirds and one third are fair for weights of 2 and 1."""
    jobs = [a_job(f"p{n}", 0, 10, project="p") for n in range(20)] + [
        a_job("q", 0, *[10] * 10, project="q", max_running=1, priority=90)
    ]
    history = run(agents(3), *jobs)
    assert make_figures(history, weights={"p": 2.0, "q": 1.0}).fairness == pytest.approx(1.0)
    assert make_figures(history).fairness == pytest.approx(0.9)


def test_who_wants_little_is_not_treated_badly() -> None:
    """A project whose one task runs does not count while another fills the rest."""
    history = run(agents(4), a_job("small", 0, 50, project="p"), a_job("big", 1, *[10] * 15, project="q"))
    line = make_timeline(history, spans=10)
    assert np.isnan(line.fairness[:8]).all()


def test_a_project_gets_its_own_figures() -> None:
    """Tasks, waits, cpu hours and the share that it had while it waited."""
    history = run(agents(2), *(a_job(f"{n}{p}", 0, 1800, project=p) for n in range(2) for p in "pq"))
    p, q = make_figures(history).projects
    assert (p.project, p.tasks, p.cpu_hours) == ("p", 2, 1.0)
    assert p.share == pytest.approx(0.5)
    assert q.wait_s.largest == 1800


def test_what_never_ran_is_counted_and_waits_to_the_end() -> None:
    """It is in no mean wait."""
    history = run(agents(1), a_job("huge", 0, 1, cpus=9), a_job("a", 0, 5))
    figures = make_figures(history)
    assert (figures.never_ran, figures.finished, figures.wait_s.largest) == (1, 1, 0.0)
    waits = make_waits(history)
    assert sorted(zip(waits.launched.tolist(), waits.ended.tolist(), strict=True)) == [(False, 5.0), (True, 0.0)]


def test_nothing_has_no_mean() -> None:
    """And no error."""
    figures = make_figures(run(agents(1), timing=EXACT))
    assert math.isnan(figures.wait_s.mean)
    assert math.isnan(figures.fairness)
