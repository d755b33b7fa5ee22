"""Who holds what and held what lately, by hand."""

from __future__ import annotations

from datetime import timedelta

import pytest

from swath.domain.resources import Resources
from swath.simulation.books import EPOCH
from swath.simulation.ledger import Ledger
from tests.simulate.build import a_job


def after(seconds: float):
    return EPOCH + timedelta(seconds=seconds)


def test_what_is_held_is_counted_by_user_and_given_back() -> None:
    """Resources and tasks."""
    ledger = Ledger(Resources(cpus_m=4000), half_life_s=100)
    eva, max_ = a_job("a", 0, 1, project="p", user="eva"), a_job("b", 0, 1, cpus=2, project="p", user="max")
    for job in (eva, max_, max_):
        ledger.add(job, after(0))
    ledger.remove(max_, after(5))
    assert {key: (held.resources.cpus_m, held.tasks) for key, held in ledger.held.items()} == {
        ("p", "eva"): (1000, 1),
        ("p", "max"): (2000, 1),
    }


def test_the_past_decays_by_halves() -> None:
    """Half of the cluster for a half-life is a quarter by then, and an eighth a half-life after the end."""
    ledger = Ledger(Resources(cpus_m=4000), half_life_s=100)
    job = a_job("a", 0, 1, cpus=2, project="p")
    ledger.add(job, after(0))
    assert ledger.past(after(100)) == {"p": pytest.approx(0.25)}
    ledger.remove(job, after(100))
    assert ledger.past(after(200)) == {"p": pytest.approx(0.125)}
