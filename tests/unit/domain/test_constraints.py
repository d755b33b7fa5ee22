"""Conditions on agents' attributes, and what is wrong with those that are none."""

import pytest

from swath.domain.constraints import Constraint, Preference, to_constraints, to_preferences, with_own
from swath.domain.errors import InvalidInputError
from swath.domain.jobs import JobSpec


def a_constraint(operator, value=None, **more):
    return to_constraints([{"attribute": "rack", "operator": operator, "value": value, **more}])[0]


@pytest.mark.parametrize(
    ("operator", "value", "admitted", "refused"),
    [
        ("equals", "r1", "r1", "r10"),
        ("in", ["r1", "r2"], "r2", "r3"),
        ("in", "r1", "r1", "r2"),
        ("like", "r[0-9]", "r7", "r77"),
        ("unique", None, "r1", None),
        ("group_by", None, "r1", None),
        ("group_by", 3, "r1", None),
        ("max_per", 2, "r1", None),
    ],
)
def test_a_constraint_admits_agents(operator, value, admitted, refused):
    """By the value; those that spread admit every agent that has the attribute, and none admits one without."""
    rule = a_constraint(operator, value)
    assert rule.admits({"rack": admitted})
    assert not rule.admits({} if refused is None else {"rack": refused})
    assert not rule.admits({"other": admitted})


def test_a_soft_constraint_admits_every_agent():
    """And still tells which of them meet it."""
    rule = a_constraint("equals", "r1", hard=False)
    assert rule.admits({})
    assert (rule.is_met({"rack": "r1"}), rule.is_met({"rack": "r2"})) == (True, False)


def test_a_constraint_says_how_many_tasks_a_value_takes():
    """One for unique, what was said for max_per; of group_by it is the number of values."""
    counts = [a_constraint(*words).count for words in (("unique",), ("max_per", 4), ("group_by", 3), ("group_by",))]
    assert counts == [1, 4, 3, None]
    assert a_constraint("equals", "1").count is None


@pytest.mark.parametrize(
    ("operator", "value", "complaint"),
    [
        ("unlike", "x", "/constraints/0/operator: 'unlike' is not supported; use equals, in, like, unique, group_by"),
        ("equals", None, "equals takes a text"),
        ("equals", 3, "equals takes a text"),
        ("in", [], "must name at least one"),
        ("in", ["a", 3], "must name at least one text"),
        ("in", None, "equals|in takes a text or several"),
        ("like", ["a"], "like takes a pattern"),
        ("like", "a(", "/constraints/0/value: is no pattern: a group is not closed"),
        ("unique", "x", "unique takes none"),
        ("unique", 0, "unique takes none"),
        ("group_by", 0, "whole number from 1"),
        ("max_per", None, "whole number from 1"),
        ("max_per", True, "whole number from 1"),
        ("max_per", "2", "whole number from 1"),
        ("max_per", 10**9, "whole number from 1 to 1,000,000"),
    ],
)
def test_a_constraint_that_makes_no_sense_is_refused_with_its_place(operator, value, complaint):
    """The operator, or the value that it does not take."""
    with pytest.raises(InvalidInputError, match=complaint):
        a_constraint(operator, value)


def test_all_that_is_wrong_with_constraints_is_told_at_once():
    """One place each."""
    wrong = [{"attribute": "a", "operator": "no"}, {"attribute": "b", "operator": "in", "value": []}]
    with pytest.raises(InvalidInputError) as caught:
        to_constraints(wrong)
    assert [problem.path for problem in caught.value.problems] == ["/constraints/0/operator", "/constraints/1/value"]


def test_an_agents_own_names_count_where_it_has_no_such_attribute():
    """Host name, region and zone; an attribute of that name goes before, and what an agent does not have is not there."""
    seen = with_own({"region": "mine", "rack": "1"}, hostname="node-1", region="eu", zone=None)
    assert seen == {"hostname": "node-1", "region": "mine", "rack": "1"}
    assert with_own({}, hostname="h", region="eu", zone="a") == {"hostname": "h", "region": "eu", "zone": "a"}


@pytest.mark.parametrize("text", ["rack=r1", "rack in r1,r2", "~rack like r.*", "hostname unique", "rack max_per 2"])
def test_a_constraint_says_itself_as_the_command_line_takes_it(text):
    """For people who look at a job."""
    from swath.cli.jobdoc import parse_constraint

    assert str(to_constraints([parse_constraint(text)])[0]) == text


def test_preferences_have_a_weight():
    """1 where none is given; one that is not above 0 is refused."""
    assert to_preferences([{"attribute": "region", "value": "x"}]) == (Preference(attribute="region", value="x"),)
    assert to_preferences([{"attribute": "region", "value": "x", "weight": 2}])[0].is_met({"region": "x"})
    with pytest.raises(InvalidInputError, match="/prefer/0/weight"):
        to_preferences([{"attribute": "region", "value": "x", "weight": 0}])


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, ("batch", True)),
        ({"class": "interactive"}, ("interactive", False)),
        ({"class": "interactive", "preemptible": True}, ("interactive", True)),
        ({"preemptible": False}, ("batch", False)),
    ],
)
def test_batch_may_be_preempted_unless_it_says_otherwise(said, expected):
    """And interactive work may not."""
    job = JobSpec.from_document({"image": "x", **said})
    assert (job.job_class, job.preemptible) == expected


def test_a_job_reads_where_it_may_run_and_how_long_it_takes():
    """Constraints, preferences and the expected time arrive."""
    rules = [{"attribute": "rack", "operator": "unique", "hard": False}]
    job = JobSpec.from_document(
        {"image": "x", "constraints": rules, "prefer": [{"attribute": "a", "value": "b"}], "expected_s": 1.5}
    )
    assert job.constraints == (Constraint(attribute="rack", operator="unique", hard=False),)
    assert (len(job.prefer), job.expected_s) == (1, 1.5)
