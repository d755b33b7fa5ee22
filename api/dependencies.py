"""What a job is to start after: whether those jobs are there, and whether it could ever start after them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from swath.domain.dependencies import Condition, Dependency, Upstream
from swath.domain.errors import Problem
from swath.domain.ids import is_ulid
from swath.domain.jobs import JobSpec
from swath.domain.states import JobCounts
from swath.store.api_store import ApiStore


def check_after(spec: JobSpec, store: ApiStore, siblings: Mapping[str, Upstream]) -> list[Problem]:
    """What is wrong with the job's `after`. `siblings` are jobs of the same batch, by the ids that they are to have."""
    if not spec.after:
        return []
    known = store.find_linked(entry.job for entry in spec.after if is_ulid(entry.job)) | dict(siblings)
    problems: list[Problem] = []
    first: dict[str, int] = {}
    for place, entry in enumerate(spec.after):
        found = _check_entry(entry, known.get(entry.job), spec)
        if entry.job in first:
            found = [("job", f"is the same as in /after/{first[entry.job]}: a job is waited for in one way")]
        first.setdefault(entry.job, place)
        problems += [Problem(f"/after/{place}/{name}", message) for name, message in found]
    return problems


def _check_entry(entry: Dependency, other: Upstream | None, spec: JobSpec) -> list[tuple[str, str]]:
    """(field, what is wrong)."""
    if other is None:
        hint = "" if is_ulid(entry.job) else ": give its id, or the name of a job of the same batch"
        return [("job", f"there is no job {entry.job!r}{hint}")]
    found: list[tuple[str, str]] = []
    if entry.elementwise and other.counts.total != spec.size:
        sizes = f"{other} has {_tasks(other.counts.total)} and this one {_tasks(spec.size)}"
        found.append(("elementwise", f"needs arrays of equal length: {sizes}"))
    found += [("job", message) for message in _find_hopeless(entry, other)]
    return found


def _find_hopeless(entry: Dependency, other: Upstream) -> Iterator[str]:
    """Why the job could never start, as things are."""
    if entry.condition is Condition.ENDED or not other.ended or other.has_succeeded:
        return
    if not entry.elementwise or not other.counts.succeeded:
        done = f"{other.counts.succeeded} of {_tasks(other.counts.total)} succeeded"
        yield f"{other} has ended, and {done}: retry it first, or wait for its end only"


def make_sibling(job_id: str, spec: JobSpec) -> Upstream:
    """A job of a batch as those after it see it."""
    return Upstream(id=job_id, name=spec.name, counts=JobCounts(total=spec.size, pending=spec.size))


def _tasks(count: int) -> str:
    return f"{count} task{'' if count == 1 else 's'}"
