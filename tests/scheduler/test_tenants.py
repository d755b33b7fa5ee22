"""What the core knows of projects, and of what each user of them holds."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.events import ProjectsSeen
from scheduler.core.held import NOBODY, Held
from scheduler.core.state import State
from swath.domain.projects import Project
from swath.domain.resources import Resources
from swath.domain.wishes import ProjectTree
from tests.fixtures import properties  # noqa: F401 (sets the profile)
from tests.scheduler.world import World, a_job

TREE = ProjectTree(projects={"land": Project(name="land", weight=2.0)}, rev=3)


def recount(state: State) -> dict[tuple[str, str], Held]:
    """What `held` should be."""
    found: dict[tuple[str, str], Held] = {}
    for live in state.attempts.values():
        entry = found.setdefault((live.owner.project, live.owner.user), Held())
        entry.resources += live.attempt.resources
        entry.tasks += 1
    return found


def of(name: str, project: str, user: str, **more):
    """A job of a user in a project."""
    return replace(a_job(name, **more), project=project, user=user)


def test_projects_are_taken_in_and_read_again_at_a_start():
    """The tree is the core's, the revision is observed, and the next core begins with it."""
    world = World().subscribe()
    world.store.projects = TREE
    world.happen(ProjectsSeen(tree=TREE))

    assert world.core.state.projects == TREE.projects
    assert world.store.projects.observed_rev == 3
    assert world.restart().core.state.projects == TREE.projects


def test_a_removed_project_is_forgotten():
    """The tree comes whole."""
    world = World().subscribe().happen(ProjectsSeen(tree=TREE))

    assert world.happen(ProjectsSeen(tree=ProjectTree(rev=4))).core.state.projects == {}


def test_what_a_user_holds_is_known_while_it_is_held():
    """Two tasks of one user and one of another; at the end nobody has an entry."""
    world = World().subscribe().submit(of("j1", "land", "ada", size=2)).submit(of("j2", "land", "eve", mem=300)).offer()
    ids = [attempt.id for attempt in world.launched()]

    assert world.core.state.held == {
        ("land", "ada"): Held(resources=Resources(cpus_m=2000, mem=200), tasks=2),
        ("land", "eve"): Held(resources=Resources(cpus_m=1000, mem=300), tasks=1),
    }
    for attempt_id in ids:
        world.say(attempt_id, "FINISHED")
    assert world.core.state.held == {}


def test_what_is_held_is_known_again_after_a_failover():
    """The attempts tell it, also one whose job the new core does not load."""
    world = World().subscribe().submit(of("j1", "land", "ada", size=3)).offer()
    before = world.core.state.held
    assert world.restart().core.state.held == before

    del world.store.jobs["j1"]
    state = world.restart().core.state

    assert {live.owner for live in state.attempts.values()} == {NOBODY}
    assert state.held == recount(state)
    world.subscribe().say(next(iter(state.attempts)), "FINISHED")
    assert state.held == recount(state)


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["submit", "offer", "FINISHED", "FAILED", "LOST", "UNREACHABLE", "restart", "wait", "cancel"]),
        st.integers(0, 5),
    ),
    max_size=40,
)


@given(_STEPS)
def test_what_is_held_equals_a_recount_after_any_history(steps):
    """Whatever comes and goes, ends twice, is lost, cancelled or read again: the counters are those of the attempts."""
    world = World().subscribe()
    for serial, (step, which) in enumerate(steps):
        live = list(world.core.state.attempts)
        if step == "submit":
            world.submit(of(f"j{serial}", f"p{which % 2}", f"u{which % 3}", size=1 + which, mem=100 + which))
        elif step == "offer":
            world.offer(f"a{which}")
        elif step == "restart":
            world.restart().subscribe()
        elif step == "wait":
            world.advance(100 * which)
        elif step == "cancel" and world.core.state.jobs:
            world.desire(list(world.core.state.jobs)[which % len(world.core.state.jobs)], desired="CANCELLED")
        elif live and step.isupper():
            world.say(live[which % len(live)], step)
        state = world.core.state
        assert state.held == recount(state)
