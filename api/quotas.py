"""Whether a project's limits leave room for even one task of a job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from swath.domain.errors import Problem
from swath.domain.jobs import JobSpec
from swath.domain.projects import Project, show_amount, walk_up
from swath.domain.resources import Resources, to_digits

_UNITS = {"mem": "MiB memory", "disk": "MiB disk"}
_ANYWAY = "may_wait accepts the job anyway"


def check_quotas(spec: JobSpec, request: Resources, projects: Mapping[str, Project]) -> list[Problem]:
    """Why no task could start as long as the limits are what they are; nothing where one could, or the job may wait."""
    if spec.may_wait:
        return []
    return [problem for project in walk_up(projects, spec.project) for problem in _check(project, request.amounts())]


def _check(project: Project, needs: Mapping[str, int]) -> Iterator[Problem]:
    for whose, most_tasks, quota in (
        (f"project {project.name}", project.max_running, project.quota),
        (f"a user of project {project.name}", project.user_max_running, project.user_quota),
    ):
        if most_tasks == 0:
            yield Problem("/project", f"{whose} may run no task at all now; {_ANYWAY}")
        for name, most in quota.items():
            if needs.get(name, 0) > most:
                need, limit = show_amount(name, needs[name]), show_amount(name, most)
                unit = _UNITS.get(name, name)
                yield Problem(
                    "/resources",
                    f"need {to_digits(need)} {unit}, and {whose} may hold {to_digits(limit)} at a time; {_ANYWAY}",
                )
