"""When waiting tasks start, if everything goes as expected."""

from __future__ import annotations

from swath.domain.constraints import Constraint
from swath.domain.projects import Project
from swath.domain.resources import Resources
from swath.matching.forecast import Start, forecast
from swath.matching.model import Tenants
from tests.matching.build import Holds, a_demand, a_running, an_agent, holding, works


def a_full(name: str = "a", cpus: float = 4) -> object:
    return an_agent(name, cpus=cpus, mem=65536, free=Resources(mem=65536, disk=9000), offered=False)


def test_what_fits_starts_now():
    """Nothing has to end first."""
    assert forecast([an_agent()], [a_demand(count=3)]) == {"j1": Start(first_s=0, last_s=0)}


def test_a_task_starts_when_enough_has_ended():
    """Two cpus are free after the second end."""
    work = works(
        a=[a_running("r1", 1, ends_in_s=10), a_running("r2", 1, ends_in_s=25), a_running("r3", 2, ends_in_s=90)]
    )
    assert forecast([a_full()], [a_demand(cpus=2)], work=work) == {"j1": Start(first_s=25, last_s=25)}


def test_an_array_follows_its_own_tasks():
    """Four at a time, each a hundred seconds long: the third round starts at two hundred."""
    starts = forecast([an_agent(cpus=4)], [a_demand(count=12, expected_s=100)])
    assert starts == {"j1": Start(first_s=0, last_s=200)}


def test_who_is_due_first_starts_first():
    """The rich project's older job waits until the poor one's tasks have ended."""
    work = works(a=[a_running("r", 4, "rich", ends_in_s=10, user="ana")])
    demands = [
        a_demand("rich", 4, project="rich", user="ana", expected_s=50, priority=9),
        a_demand("poor", 2, project="poor", expected_s=50),
    ]
    starts = forecast([a_full()], demands, work=work, tenants=holding(rich=4))
    assert starts["poor"].first_s == 10
    assert starts["rich"].last_s == 60


def test_limits_and_quotas_hold_in_the_future_as_well():
    """One task at a time of the job; one cpu of the project."""
    starts = forecast([an_agent(cpus=16)], [a_demand(count=3, limit=1, expected_s=10)])
    assert starts == {"j1": Start(first_s=0, last_s=20)}
    tenants = Tenants(
        projects={"forest": Project(name="forest", quota={"cpus": 1000})},
        held={("forest", "ana"): Holds(resources=Resources(cpus_m=1000), tasks=1)},
    )
    work = works(a1=[a_running("r", 1, "forest", ends_in_s=40, user="ana")])
    starts = forecast([an_agent(cpus=16)], [a_demand(project="forest", user="ben")], tenants=tenants, work=work)
    assert starts["j1"].first_s == 40


def test_a_start_that_is_not_in_sight_is_not_made_up():
    """Too large for the only agent; and an array of which the last task lies beyond the steps."""
    assert forecast([an_agent()], [a_demand(cpus=64)]) == {}
    long = forecast([an_agent(cpus=1)], [a_demand(count=10_000, expected_s=10)], steps=5)
    assert long == {"j1": Start(first_s=0, last_s=None)}


def test_interactive_work_starts_within_the_grace_of_whom_it_takes_the_place():
    """Though batch holds everything for an hour."""
    work = works(a=[a_running(f"r{n}", 1, ends_in_s=3600) for n in range(4)])
    notebook = a_demand("notebook", interactive=True, expected_s=9000)
    starts = forecast([a_full()], [notebook, a_demand("batch")], work=work)
    assert starts["notebook"].first_s == 10
    assert starts["batch"].first_s == 3600


def test_tasks_that_are_spread_follow_the_ends_of_their_own():
    """One at a time on the only host: the second when the one that runs ends, the third after it."""
    rule = Constraint(attribute="hostname", operator="unique")
    work = works(a1=[a_running("r", 1, ends_in_s=8, job="j1")])
    agent = an_agent(cpus=3, attributes={"hostname": "h"})
    demand = a_demand(count=2, constraints=(rule,), running_on={"a1": 1}, expected_s=20)
    assert forecast([agent], [demand], work=work) == {"j1": Start(first_s=8, last_s=28)}


def test_what_nobody_foresees_is_not_waited_for():
    """Behind such tasks no start is in sight, whatever they are let; beside them all is as ever."""
    work = works(a=[a_running("r1", 3, ends_in_s=3600, job="new"), a_running("r2", 1, ends_in_s=20)])
    demands = [a_demand("large", cpus=4), a_demand("small")]
    assert forecast([a_full()], demands, work=work, unforeseen={"new"}) == {"small": Start(first_s=20, last_s=20)}
    own = forecast([an_agent(cpus=4)], [a_demand("new", count=12, expected_s=100)], unforeseen={"new"})
    assert own == {"new": Start(first_s=0, last_s=None)}
