"""Projects: what the api declares, and what the scheduler reads of it."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from threading import Thread

import pytest

from swath.domain.changes import AddAttempt, ObserveProjects, PutPast
from swath.domain.errors import ConflictError, InvalidInputError, NotFoundError
from swath.domain.projects import Project
from swath.domain.shares import Past
from swath.domain.states import JobState, TaskState
from swath.domain.wishes import ProjectTree, Wishes
from swath.store.database import Channel
from swath.store.notification import Listener
from swath.store.rows import Owner
from tests.store.build import NOW, a_task, an_attempt, figures

LAND = Project(name="land", weight=2.0, quota={"cpus": 1500, "licences": 2000, "mem": 0}, max_running=7)
FOREST = Project(name="forest", parent="land", user_quota={"gpus": 1}, user_max_running=3)


def declare(scene, *projects):
    """Put projects, in order."""
    for project in projects:
        scene.api.put_project(project, user="ada", now=NOW)


def test_nobody_has_declared_a_project_at_first(scene):
    """The tree is empty, and a scheduler that starts finds no project."""
    assert scene.api.read_projects() == ProjectTree()
    assert scene.scheduler.read_wishes() == Wishes()
    assert scene.scheduler.load().projects == {}


def test_projects_are_read_whole_until_they_are_taken_in(scene):
    """Both sides read back what was declared; the revision stays pending until the scheduler observes it."""
    declare(scene, LAND, FOREST)
    tree = ProjectTree(projects={"forest": FOREST, "land": LAND}, rev=2)

    assert scene.scheduler.read_wishes() == Wishes(projects=tree)
    assert scene.api.read_projects() == tree
    scene.apply(ObserveProjects(rev=2))

    assert scene.scheduler.read_wishes() == Wishes()
    assert scene.scheduler.load().projects == tree.projects
    assert scene.api.read_projects().observed_rev == 2


def test_a_change_that_comes_meanwhile_is_not_lost(scene):
    """The scheduler observes what it has read: a newer revision stays pending, an older one lowers nothing."""
    declare(scene, LAND, FOREST)
    scene.apply(ObserveProjects(rev=1))
    assert scene.scheduler.read_wishes().projects.rev == 2

    scene.apply(ObserveProjects(rev=2))
    scene.apply(ObserveProjects(rev=1))
    assert scene.scheduler.read_wishes() == Wishes()


def test_declaring_the_same_again_changes_nothing(scene):
    """No revision is raised; another weight raises one, and replaces the whole project."""
    declare(scene, LAND, LAND)
    assert scene.api.read_projects().rev == 1

    declare(scene, Project(name="land", weight=3.0))
    assert scene.api.read_projects() == ProjectTree(projects={"land": Project(name="land", weight=3.0)}, rev=2)


def test_what_is_no_tree_is_refused_and_changes_nothing(scene):
    """An unknown parent, and a cycle by way of what is there."""
    declare(scene, LAND, FOREST)

    with pytest.raises(InvalidInputError, match="no project nowhere"):
        declare(scene, Project(name="sea", parent="nowhere"))
    with pytest.raises(InvalidInputError, match="forest -> land -> forest"):
        declare(scene, Project(name="land", parent="forest"))

    assert scene.api.read_projects() == ProjectTree(projects={"forest": FOREST, "land": LAND}, rev=2)


def test_a_declaration_wakes_the_scheduler(scene, database):
    """Its listener returns at once."""
    with closing(Listener(database, Channel.DESIRED)) as listener:
        while listener.wait(0.05):
            pass
        declare(scene, LAND)

        assert listener.wait(10.0)


def test_a_project_with_others_below_it_is_not_removed(scene):
    """The children are named; once they have gone, it may go."""
    declare(scene, LAND, FOREST)

    with pytest.raises(ConflictError, match="has others below it: forest"):
        scene.api.remove_project("land")
    scene.api.remove_project("forest")
    scene.api.remove_project("land")

    assert scene.api.read_projects() == ProjectTree(rev=4)
    assert scene.scheduler.read_wishes().projects == ProjectTree(rev=4)


def test_a_project_with_open_jobs_is_not_removed(scene):
    """A job that has not ended is named; one that has holds nobody up."""
    declare(scene, LAND)
    job = scene.submit(project="land")

    with pytest.raises(ConflictError, match=f"jobs that have not ended: {job.id}"):
        scene.api.remove_project("land")
    scene.apply(figures(job, JobState.SUCCEEDED, succeeded=1))

    scene.api.remove_project("land")
    assert scene.api.read_projects().projects == {}


def test_what_was_never_declared_cannot_be_removed(scene):
    """NotFoundError, although every project exists."""
    with pytest.raises(NotFoundError, match="land was never declared"):
        scene.api.remove_project("land")

    assert scene.api.read_projects().rev == 0


def test_two_changes_at_once_make_no_cycle(scene):
    """Of "a below b" and "b below a" one is refused, whichever comes second."""
    declare(scene, Project(name="a"), Project(name="b"))
    refused = []

    def move(name, parent):
        try:
            declare(scene, Project(name=name, parent=parent))
        except InvalidInputError:
            refused.append(name)

    threads = [Thread(target=move, args=pair) for pair in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(refused) == 1
    assert scene.api.read_projects().rev == 3


def test_whose_an_attempt_is_that_outlives_its_job_is_known(scene):
    """A scheduler that starts does not load the ended job, and knows project, user and image all the same."""
    job = scene.submit(project="land", user="eve")
    scene.apply(a_task(job, 0, TaskState.ACTIVE), AddAttempt(attempt=an_attempt(job)))
    assert scene.scheduler.load().owners == {}

    scene.apply(figures(job, JobState.SUCCEEDED, succeeded=1))

    loaded = scene.scheduler.load()
    assert loaded.jobs == []
    assert loaded.owners == {job.id: Owner(project="land", user="eve", image="ndvi:1.0.0")}


def test_what_projects_have_held_of_late_is_kept(scene):
    """The last of each project is what a scheduler that starts reads, to the digit."""
    later = NOW + timedelta(microseconds=1)
    first, second = (Past(value=0.1, share=0.3, at=NOW), Past(value=1 / 3, share=0.0, at=later, half_life_s=60.0))
    scene.apply(PutPast(project="land", past=first), PutPast(project="sea", past=first))
    scene.apply(PutPast(project="land", past=second))

    assert scene.scheduler.load().pasts == {"land": second, "sea": first}
