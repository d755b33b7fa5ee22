"""Projects: their documents, and what is no tree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.domain.errors import InvalidInputError
from swath.domain.projects import DEEPEST, Project, check_tree, find_project, walk_up
from tests.fixtures import properties  # noqa: F401 (sets the profile)


def tree(**parents: str | None) -> dict[str, Project]:
    """Projects by name, each with its parent."""
    return {name: Project(name=name, parent=parent) for name, parent in parents.items()}


def complaints(projects: dict[str, Project]) -> list[str]:
    """What is wrong with the tree."""
    try:
        check_tree(projects)
    except InvalidInputError as error:
        return [problem.message for problem in error.problems]
    return []


def refusals(document: object, name: str = "forest") -> dict[str, str]:
    """What is wrong with a project's document, by path."""
    with pytest.raises(InvalidInputError) as caught:
        Project.from_document(name, document)
    return {problem.path: problem.message for problem in caught.value.problems}


def test_a_document_becomes_a_project_and_back():
    """Amounts are fixed-point inside, and as they were written outside."""
    document = {
        "parent": "land",
        "weight": 2.5,
        "quota": {"cpus": 1.5, "mem": 2048, "custom": {"licences": 2}},
        "max_running": 10,
        "user_quota": {"gpus": 0},
        "user_max_running": None,
    }
    project = Project.from_document("forest", document)

    assert project.quota == {"cpus": 1500, "licences": 2000, "mem": 2048}
    assert (project.user_quota, project.user_max_running) == ({"gpus": 0}, None)
    assert project.to_document() == document


def test_an_empty_document_is_a_project_with_the_defaults():
    """Whoever says nothing gets what an undeclared project has."""
    assert Project.from_document("forest", {}) == find_project({}, "forest") == Project(name="forest")


def test_every_mistake_of_a_document_is_named():
    """A quota below 0, a weight of 0, a misspelt resource, half a GPU, a limit that is no number, an unknown field."""
    found = refusals(
        {
            "weight": 0,
            "quota": {"cpus": -1, "memory": 5, "gpus": 0.5, "mem": float("nan"), "disk": 10**20},
            "user_quota": {"custom": {"cpus": 1, "licences": float("inf")}},
            "max_running": -1,
            "user_max_running": True,
            "wieght": 1,
        }
    )

    assert found["/weight"].startswith("must be more than 0")
    assert found["/quota/cpus"] == "must not be below 0"
    assert (
        found["/quota/memory"] == "is not a resource; known are cpus, mem, disk, gpus, ports, and others within custom"
    )
    assert found["/quota/gpus"] == "must be whole"
    assert found["/quota/mem"] == "must be a number"
    assert found["/quota/disk"].startswith("is absurdly large")
    assert found["/user_quota/custom/cpus"] == "cannot be the name of a custom resource"
    assert "absurdly large" in found["/user_quota/custom/licences"]
    assert {"/max_running", "/user_max_running", "/wieght"} < set(found)


@pytest.mark.parametrize("quota", [7, [], {"custom": 5}, {"cpus": "1"}])
def test_a_quota_is_made_of_amounts(quota):
    """Whatever else is sent, its place is named."""
    (path,) = refusals({"quota": quota})
    assert path.startswith("/quota")


@pytest.mark.parametrize("weight", [float("inf"), float("nan"), -1, "2", 10**400, True, 1e-9])
def test_a_weight_is_a_sensible_number(weight):
    """Nothing that the order could not divide by."""
    assert list(refusals({"weight": weight})) == ["/weight"]


@pytest.mark.parametrize("name", ["", "a b", "x" * 129, "a\n", None])
def test_a_name_is_one_that_a_job_can_say(name):
    """Names are what a job's document takes for its project."""
    assert "/name" in refusals({}, name)


def test_a_tree_is_accepted():
    """Several below the root, and others below those."""
    assert complaints(tree(land=None, forest="land", fields="land", sea=None)) == []


def test_an_unknown_parent_is_named():
    """Both names are said, and what to do."""
    assert complaints(tree(forest="land")) == [
        "there is no project land, which forest is to be below: declare it first"
    ]


def test_a_cycle_is_spelled_out_once():
    """From its first member and back to it, whoever leads into it."""
    assert complaints(tree(c="b", b="a", a="c", leaf="b", sea=None)) == [
        "a project would be below itself: a -> c -> b -> a"
    ]
    assert complaints(tree(a="a")) == ["a project would be below itself: a -> a"]


def test_a_tree_is_not_too_deep():
    """As deep as may be is accepted; one more is refused by name."""
    names = [f"p{level}" for level in range(DEEPEST + 1)]
    deep = tree(**dict(zip(names, [None, *names], strict=False)))

    assert complaints({name: deep[name] for name in names[:-1]}) == []
    assert complaints(deep) == [f"p{DEEPEST} would be {DEEPEST + 1} levels deep, at most {DEEPEST} are taken"]


@given(st.dictionaries(st.sampled_from("abcdefghijkl"), st.none() | st.sampled_from("abcdefghijklm"), max_size=12))
def test_what_is_accepted_is_a_tree(parents):
    """Exactly those are accepted from which everybody comes to the root, by declared projects and within the depth."""
    projects = tree(**parents)

    def comes_up(name: str | None) -> bool:
        for _ in range(DEEPEST):
            if name not in projects:
                return False
            name = projects[name].parent
            if name is None:
                return True
        return False

    assert (complaints(projects) == []) == all(map(comes_up, projects))
    if not complaints(projects):
        assert all([*walk_up(projects, name)][-1].parent is None for name in projects)
