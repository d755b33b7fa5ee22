"""Jobs as users submit, cancel and retry them during the hour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from swath.domain.ids import make_ulid
from swath.domain.jobs import JobSpec
from swath.domain.projects import Project
from swath.domain.states import ENDED_JOB
from swath.store.rows import ImageRow, JobRecord
from tests.scheduler.world import IMAGE, MANIFEST, a_job
from tests.simulation.timeline import START

if TYPE_CHECKING:
    from tests.simulation.world import World

LAST_SUBMISSION_S = 2400.0
LEAST_TASKS = 300
CALM_S = (3350.0, 3500.0)  # when all faults are over
PROJECTS = ("default", "forest", "forest", "city", "sea")
USERS = ("ada", "ben")
LONG = 120  # tasks of an array whose slots meet with many faults
LARGE = (3.5, 4096)  # cpus and mem of a task that takes nearly all of the smallest agent

_INTERFACE = {
    "command": "true",
    "inputs": {"json": [{"name": "INDEX", "type": "integer", "required": False}]},
    "outputs": {"files": [{"name": "RESULT", "pattern": "*.txt", "multiple": True, "required": False}]},
}
_ERRORS = [{"code": 3, "name": "bad-data", "title": "Bad data", "category": "data"}]


def make_images() -> tuple[ImageRow, ImageRow]:
    """One that is a build context, and one to be pulled; the exit code 3 means bad data in both."""
    job = {**MANIFEST["job"], "interface": _INTERFACE, "errors": _ERRORS}
    image = replace(IMAGE, manifest={**MANIFEST, "job": job})
    return image, replace(image, id=2, digest="sha256:1", reference="registry/true@sha256:1", context=None)


def draw_sizes(random: Random) -> list[int]:
    """Tasks of each job: some single ones, some arrays, 300 in all at least; and one long array beside them."""
    sizes = [1, 1]
    while sum(sizes) < LEAST_TASKS:
        sizes.append(random.choice((1, 2, 5, 10, 20, 40, 60)))
    sizes.append(LONG)
    random.shuffle(sizes)
    return sizes


def draw_job(random: Random, size: int, at_s: float, image: ImageRow) -> JobRecord:
    """A job submitted at `at_s`."""
    submitted = START + timedelta(seconds=at_s)
    job_class = "interactive" if size <= 5 and random.random() < 0.4 else "batch"
    spec: dict[str, Any] = {
        "class": job_class,
        "preemptible": random.random() < (0.9 if job_class == "batch" else 0.1),
        "priority": random.choice((10, 50, 50, 90)),
        "timeout_s": random.choice((120, 300, 900)),
        "retry": {
            "max_attempts": random.choice((1, 2, 3, 3)),
            "backoff_s": random.choice((1, 10, 30)),
            "unreachable_s": random.choice((30, 60, 300, 600)),
        },
    }
    if random.random() < 0.3:
        spec["max_running"] = random.randint(1, 8)
    if random.random() < 0.3:
        spec["expected_s"] = random.choice((10, 60, 600))
    if random.random() < 0.15:
        spec["not_before"] = (submitted + timedelta(seconds=random.uniform(10, 600))).isoformat()
    if random.random() < 0.15:
        spec["deadline"] = (submitted + timedelta(seconds=random.uniform(120, 2400))).isoformat()
    job_id = make_ulid(submitted, random.randbytes(10))
    large = size <= 2 and random.random() < 0.3
    cpus, mem = LARGE if large else (random.choice((0.1, 0.5, 1, 2)), random.choice((64, 256, 1024, 2048)))
    record = replace(a_job(job_id, size, cpus=cpus, mem=mem, **spec), image=image, submitted_at=submitted)
    return replace(record, project=random.choice(PROJECTS), user=random.choice(USERS))


def draw_projects(random: Random) -> dict[str, Project]:
    """A tree in which most of them are limited somehow; whatever fits on an agent may run alone."""
    most = {"cpus": random.choice((4000, 6000, 12000)), "mem": random.choice((8192, 12288))}
    return {
        "land": Project(name="land", weight=2.0, quota=most),
        "forest": Project(name="forest", parent="land", user_max_running=random.choice((4, 10))),
        "city": Project(name="city", parent="land", max_running=random.choice((2, 8))),
        "sea": Project(name="sea", weight=random.choice((0.5, 4.0)), user_quota={"cpus": random.choice((4000, 8000))}),
    }


def with_more(record: JobRecord, random: Random) -> JobRecord:
    """Some jobs ask for ports and licences too, never for more than the smallest agent has."""
    licences = random.choice((0, 0, 0, 0, 500, 1000))
    custom = (("licences", licences),) if licences else ()
    return replace(record, resources=replace(record.resources, ports=random.choice((0, 0, 0, 1, 2)), custom=custom))


def in_slots(record: JobRecord, random: Random) -> JobRecord:
    """Some arrays are of short tasks, which run several in a row in one Mesos task."""
    if record.size < 5 or (record.size < LONG and random.random() > 0.4):
        return record
    said = record.spec.to_document()
    plain = {name: value for name, value in said.items() if name != "max_running"}
    spec = JobSpec.from_document({**plain, "short": True, "class": "batch"})
    return replace(record, spec=spec, resources=replace(record.resources, ports=0))


def after_others(record: JobRecord, known: Mapping[str, JobRecord], random: Random) -> JobRecord:
    """Some jobs wait for one or two that were submitted before, task by task where those have as many.

    No more than three in a row, of which the later ones are tried once and not for long: all of them are to end in time.
    """
    others = [other for other in known.values() if not any(known[entry.job].spec.after for entry in other.spec.after)]
    if not others or random.random() > 0.3:
        return record
    alike = [other for other in others if other.size == record.size] or others
    chosen = dict.fromkeys(random.choice(some).id for some in (alike, others)[: random.choice((1, 1, 2))])
    after = [
        {
            "job": job_id,
            "condition": random.choice(("succeeded", "ended")),
            "elementwise": known[job_id].size == record.size and random.random() < 0.7,
        }
        for job_id in chosen
    ]
    said = record.spec.to_document()
    short = {"timeout_s": 120, "retry": {**said["retry"], "max_attempts": 1}}
    return replace(record, spec=JobSpec.from_document({**said, **short, "after": after}))


class Users:
    """What is wanted, and when."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = world.random("users")
        images = make_images()
        self.accepted = 0
        for at_s in (0.5, *sorted(self._random.uniform(0.0, LAST_SUBMISSION_S) for _ in range(2))):
            world.timeline.after(at_s, "projects are declared", self._declare)
        more, shorts = world.random("ports and licences of jobs"), world.random("short jobs")
        for size in draw_sizes(self._random):
            at_s = self._random.uniform(0.0, LAST_SUBMISSION_S) if self._random.random() < 0.7 else 1.0
            record = with_more(draw_job(self._random, size, at_s, images[size >= 20]), more)
            record = in_slots(record, shorts)
            world.timeline.after(at_s, f"submission of {record.id}", lambda record=record: self._submit(record))

        for _ in range(3):
            at_s = self._random.uniform(*CALM_S)
            record = draw_job(self._random, self._random.randint(1, 3), at_s, images[0])
            world.timeline.after(at_s, f"submission of {record.id}", lambda record=record: self._submit(record))

    def _declare(self) -> None:
        self._world.database.declare(draw_projects(self._random))
        self._world.notify()

    def _submit(self, record: JobRecord) -> None:
        world, random = self._world, self._random
        if world.timeline.now < LAST_SUBMISSION_S:
            record = after_others(record, world.database.jobs, world.random("jobs after others"))
        world.database.submit(record)
        self.accepted += record.size
        world.notify()
        if random.random() < 0.15:
            delay_s = random.uniform(0.0, 600.0)
            world.timeline.after(delay_s, f"cancellation of {record.id}", lambda: self._cancel(record.id))
        if random.random() < 0.5:
            self._plan_retry(record.id, 2)

    def _cancel(self, job_id: str) -> None:
        if self._world.database.request_cancel(job_id):
            self._world.note(f"job {job_id} is to be cancelled")
            self._world.notify()

    def _plan_retry(self, job_id: str, left: int) -> None:
        """Whoever wants the failed tasks again looks at the job now and then, whether it has ended or not."""
        delay_s = self._random.uniform(60.0, 900.0)
        self._world.timeline.after(delay_s, f"a look at {job_id}", lambda: self._retry(job_id, left))

    def _retry(self, job_id: str, left: int) -> None:
        world = self._world
        job = world.database.jobs[job_id]
        if world.timeline.now > LAST_SUBMISSION_S + 900 or (job.state in ENDED_JOB and not job.counts.failed):
            return
        if job.counts.failed and world.database.request_retry(job_id, world.timeline.moment()):
            world.note(f"job {job_id} is to be retried")
            world.notify()
            left -= 1
        if left:
            self._plan_retry(job_id, left)
