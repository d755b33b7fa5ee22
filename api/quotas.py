"""Whether a project's limits leave room for even one task of a job, and whether they limit anything at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from api.spelling import find_nearest
from swath.domain.errors import Problem
from swath.domain.jobs import JobSpec
from swath.domain.projects import PLAIN, Project, show_amount, walk_up
from swath.domain.resources import Resources, to_digits
from swath.store.api_store import ApiStore

_UNITS = {"mem": "MiB memory", "disk": "MiB disk"}
_MOST_IMAGES = 1000  # that are looked through
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


def find_idle_limits(project: Project, store: ApiStore) -> list[str]:
    """A warning for each limit on what no agent has and no image asks for: most likely its name is misspelt."""
    limits = [(kind, name) for kind in ("quota", "user_quota") for name in getattr(project, kind) if name not in PLAIN]
    if not limits:
        return []
    agents = store.list_agents()
    known = {name for agent in agents for name, _ in agent.total.custom} | _asked_for(store)
    return [_warn(kind, name, known) for kind, name in limits if agents and name not in known]


def _asked_for(store: ApiStore) -> set[str]:
    """The names of all resources that the manifests of images name."""
    images = store.list_images(limit=_MOST_IMAGES).items
    jobs = [row.image.manifest.get("job") or {} for row in images]
    return {str(scalar["name"]) for job in jobs for scalar in job.get("resources", {}).get("scalar", ())}


def _warn(kind: str, name: str, known: set[str]) -> str:
    near = find_nearest(name, {*known, *PLAIN})
    hint = f"did you mean {near}?" if near else f"agents have {', '.join([*PLAIN, *sorted(known - set(PLAIN))])}"
    return f"{kind}: no agent has {name} and no image asks for it, so the limit holds nothing back; {hint}"
