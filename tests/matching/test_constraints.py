"""Where tasks may run, where they rather run, and how they are spread."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.domain.constraints import Constraint, Preference
from swath.domain.resources import Resources
from swath.matching.model import AgentView, Policy
from swath.matching.plan import plan
from tests.matching.build import a_demand, an_agent, placed, started, why


def racks(*names: str | None, cpus: float = 8) -> list[AgentView]:
    return [
        an_agent(f"a{number}", cpus=cpus, attributes={"hostname": f"h{number}"} | ({"rack": rack} if rack else {}))
        for number, rack in enumerate(names)
    ]


def by_rack(agents: list[AgentView], result: object) -> dict[str, int]:
    rack = {agent.id: agent.attributes.get("rack") for agent in agents}
    count: dict[str, int] = {}
    for (_, agent), tasks in placed(result).items():
        count[rack[agent]] = count.get(rack[agent], 0) + tasks
    return count


def rule(operator: str, value: object = None, attribute: str = "rack", *, hard: bool = True) -> Constraint:
    return Constraint(attribute=attribute, operator=operator, value=value, hard=hard)


def test_like_takes_a_pattern_of_the_whole_value():
    """Of three racks two begin with r."""
    agents = racks("r1", "r2", "s1")
    assert set(by_rack(agents, plan(agents, [a_demand(count=20, constraints=(rule("like", "r.*"),))]))) == {"r1", "r2"}


def test_unique_means_one_task_a_value_whoever_runs_already():
    """Three hosts, one of them taken by a task that runs there."""
    agents = racks("r", "r", "r")
    demand = a_demand(count=9, constraints=(rule("unique", attribute="hostname"),), running_on={"a1": 1})
    assert placed(plan(agents, [demand])) == {("j1", "a0"): 1, ("j1", "a2"): 1}


def test_max_per_counts_over_all_agents_of_a_value():
    """Two racks of two agents, three a rack, two of them on an agent that offers nothing."""
    agents = racks("r", "r", "s", "s")
    agents[0] = an_agent("a0", offered=False, attributes={"rack": "r"})
    demand = a_demand(count=20, constraints=(rule("max_per", 3),), running_on={"a0": 2})
    assert by_rack(agents, plan(agents, [demand])) == {"r": 1, "s": 3}


def test_group_by_keeps_the_values_level():
    """Three racks, one of them with room for two: no rack gets two tasks more than it."""
    agents = [*racks("r", "s"), an_agent("small", cpus=2, attributes={"rack": "t"})]
    assert by_rack(agents, plan(agents, [a_demand(count=20, constraints=(rule("group_by", 3),))])) == {
        "r": 3,
        "s": 3,
        "t": 2,
    }


def test_agents_without_the_attribute_are_left_out_of_what_spreads_over_it():
    """They have no value to count."""
    agents = racks("r", None)
    assert placed(plan(agents, [a_demand(count=5, constraints=(rule("max_per", 2),))])) == {("j1", "a0"): 2}


def test_two_rules_that_spread_both_hold():
    """At most one a host and two a rack."""
    agents = racks("r", "r", "r", "s")
    rules = (rule("unique", attribute="hostname"), rule("max_per", 2))
    assert by_rack(agents, plan(agents, [a_demand(count=9, constraints=rules)])) == {"r": 2, "s": 1}


def test_soft_rules_give_way_and_hard_ones_do_not():
    """Two tasks that would rather run on rack s, where there is room for one."""
    agents = [*racks("r"), an_agent("s1", cpus=1, attributes={"rack": "s"})]
    soft = a_demand(count=2, constraints=(rule("equals", "s", hard=False),))
    assert by_rack(agents, plan(agents, [soft])) == {"r": 1, "s": 1}
    rather_apart = a_demand(count=3, constraints=(rule("unique", hard=False),))
    assert sum(by_rack(agents, plan(agents, [rather_apart])).values()) >= 2


def test_a_task_goes_to_its_data_and_elsewhere_only_when_there_is_no_room():
    """The region of the data takes three of five tasks."""
    agents = [an_agent(name, cpus=3, attributes={"region": name}) for name in ("bolzano", "ispra")]
    demand = a_demand(count=5, prefer=(Preference(attribute="region", value="ispra", weight=5),))
    assert placed(plan(agents, [demand])) == {("j1", "ispra"): 3, ("j1", "bolzano"): 2}


def test_a_task_goes_where_its_image_is():
    """Though the other agent's executor runs; half an image is worth less than the whole of it."""
    agents = [an_agent("warm"), an_agent("half", cold=True), an_agent("whole", cold=True)]
    demand = a_demand(image="i", image_at={"half": 0.5, "whole": 1.0})
    assert placed(plan(agents, [demand])) == {("j1", "whole"): 1}


def test_an_agent_where_the_image_cools_down_is_not_used_and_one_where_the_task_failed_last():
    """`avoid` is hard, `shun` is not."""
    agents = [an_agent("a"), an_agent("b", cpus=1), an_agent("c")]
    result = plan(agents, [a_demand(count=3, avoid=frozenset("a"), shun=frozenset("c"))])
    assert placed(result) == {("j1", "b"): 1, ("j1", "c"): 2}


def test_whole_agents_stay_free_while_few_tasks_wait():
    """The fuller agent takes them."""
    half = Resources(cpus_m=4000, mem=4000, disk=5000)
    agents = [an_agent("empty", cpus=8), an_agent("half", cpus=8, free=half)]
    assert placed(plan(agents, [a_demand(count=3)])) == {("j1", "half"): 3}


def test_no_more_tasks_start_at_once_on_an_agent_than_it_can_bear():
    """The launch guard: two are starting already, five may."""
    result = plan([an_agent(cpus=32, starting=2)], [a_demand(count=9)], policy=Policy(most_starting=5))
    assert started(result) == {"j1": 3}


def test_ports_and_custom_scalars_are_matched_like_everything_else():
    """Two licences and five ports: two tasks of one licence and two ports."""
    size = Resources(cpus_m=8000, mem=8000, ports=5, custom=(("licences", 2000),))
    agents = [AgentView(id="a", free=size, total=size), an_agent("without")]
    demand = a_demand(count=9)
    need = Resources(cpus_m=1000, ports=2, custom=(("licences", 1000),))
    result = plan(agents, [type(demand)(job="j1", count=9, resources=need, since=demand.since)])
    assert placed(result) == {("j1", "a"): 2}
    assert why(result)["j1"] == "waiting for resources: 2 agents, largest free 0 licences, 1 port"


attributes = st.fixed_dictionaries({"rack": st.sampled_from("xyz"), "hostname": st.sampled_from("abcdef")})
rules = st.sampled_from(
    [
        rule("unique"),
        rule("unique", attribute="hostname"),
        rule("max_per", 2),
        rule("group_by"),
        rule("max_per", 3, "hostname"),
    ]
)


@given(
    st.lists(st.tuples(attributes, st.integers(0, 6), st.integers(0, 2)), min_size=1, max_size=8),
    st.lists(rules, min_size=1, max_size=2, unique=True),
    st.integers(1, 30),
)
def test_no_placement_breaks_a_rule_that_counts(
    rows: list[tuple[dict[str, str], int, int]], chosen: list[Constraint], count: int
):
    """With whatever runs already: unique and max_per never exceed their number by a new task."""
    agents = [an_agent(f"a{n}", cpus=cpus, attributes=found) for n, (found, cpus, _) in enumerate(rows)]
    running = {f"a{n}": tasks for n, (_, _, tasks) in enumerate(rows)}
    result = plan(agents, [a_demand(count=count, constraints=tuple(chosen), running_on=running)])
    new = {agent: tasks for (_, agent), tasks in placed(result).items()}
    for entry in chosen:
        before, after = _by_value(agents, running, entry.attribute), _by_value(agents, new, entry.attribute)
        if entry.operator == "group_by":
            full = {
                value: before.get(value, 0) + after.get(value, 0)
                for value in {a.attributes[entry.attribute] for a in agents}
            }
            assert all(not after.get(value) or tasks <= min(full.values()) + 1 for value, tasks in full.items())
        else:
            most = entry.count or 0
            assert all(before.get(value, 0) + tasks <= most for value, tasks in after.items() if tasks)


def _by_value(agents: list[AgentView], tasks: dict[str, int], attribute: str) -> dict[str, int]:
    count: dict[str, int] = {}
    for agent in agents:
        value = agent.attributes[attribute]
        count[value] = count.get(value, 0) + tasks.get(agent.id, 0)
    return count


@pytest.mark.parametrize("operator", ["unique", "max_per", "group_by"])
def test_without_an_agent_spread_tasks_wait_like_others(operator: str):
    """There are no values to spread them over, and that breaks nothing."""
    spread_out = a_demand(constraints=(rule(operator, 1 if operator != "unique" else None),))
    assert why(plan([], [spread_out])) == {"j1": "no agent is registered"}


@pytest.mark.parametrize("operator", ["unique", "max_per", "group_by"])
def test_a_rule_that_counts_says_nothing_of_other_jobs(operator: str):
    """Another job's tasks may share the rack."""
    agents = racks("r")
    value = None if operator == "unique" else 1
    demands = [a_demand(name, constraints=(rule(operator, value),)) for name in ("j1", "j2")]
    assert started(plan(agents, demands)) == {"j1": 1, "j2": 1}
