"""Versions are tried before anybody runs them: which job is submitted, and what its end means."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from api.verification import AGAIN_AFTER, Verifier
from swath.domain.catalogue import ImageState, Mover
from swath.domain.changes import AddAttempt, ChangeAttempt
from swath.domain.errors import ConflictError
from swath.domain.ranges import Ranges
from swath.domain.retries import Cause
from swath.domain.states import AttemptState, JobState, TaskState
from swath.domain.trial import LABEL
from swath.store.api_store import ApiStore
from swath.store.database import Database
from swath.store.rows import DetailsRow, ImageRow, JobRow
from tests.api.serving import MANIFEST, Api
from tests.store.build import NOW, Scene, a_task, an_attempt, figures

SMOKE = {"smoke_test": ["ndvi", "--self-test"]}
MEASURED = {"usage": {"wall_s": 2.5, "cpu_s": 2.0, "max_mem": 300.0}}


class Clock:
    """A time that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    """Noon."""
    return Clock()


@pytest.fixture
def verifier(both_scene: Scene, clock: Clock) -> Verifier:
    """One that makes active what passes; its thread never starts."""
    return Verifier(both_scene.api, automatic=True, now=clock)


def register(store: ApiStore, swath_manifest: dict[str, Any] | None = SMOKE, **changed: Any) -> ImageRow:
    """A version that CI has pushed."""
    said = {"name": "ndvi", "version": "2.0.0", "digest": f"sha256:{'2' * 64}", "reference": "registry.example/ndvi"}
    manifest = {**MANIFEST, "job": {**MANIFEST["job"], "jobVersion": "2.0.0"}}
    return store.register_image(
        **{**said, "manifest": manifest, "now": NOW, "user": "ci", "state": ImageState.REGISTERED, **changed},
        details=DetailsRow(pushed_by="ci"),
        swath_manifest=swath_manifest,
    )


def state_of(scene: Scene, image: ImageRow) -> tuple[ImageState, str]:
    """(state, why) of a version now."""
    row = scene.api.get_catalogued(image.id)
    return row.image.state, scene.api.list_transitions(image.id)[-1].why


def trials(scene: Scene) -> list[JobRow]:
    """The jobs that try versions, the first one first."""
    return sorted(
        (job for job in scene.api.list_jobs().items if LABEL in job.labels), key=lambda job: job.labels[LABEL]
    )


def end(scene: Scene, job: JobRow, cause: Cause | None = None, **attempt: Any) -> None:
    """Let the job's task end, well or by `cause`."""
    run = an_attempt(job)
    how = AttemptState.SUCCEEDED if cause is None else AttemptState.FAILED
    task, state = (TaskState.SUCCEEDED, JobState.SUCCEEDED) if cause is None else (TaskState.FAILED, JobState.FAILED)
    counts = {"succeeded": 1} if cause is None else {"failed": 1}
    told = {"outputs": [], "report": MEASURED, **attempt}
    scene.apply(
        AddAttempt(attempt=run),
        ChangeAttempt(attempt_id=run.id, state=how, cause=cause, ended_at=NOW, **told),
        a_task(job, 0, task, cause=cause),
        figures(job, state, Ranges.of(0), ended_at=NOW, **counts),
    )


def test_a_registered_version_is_tried_by_an_ordinary_job(both_scene: Scene, verifier: Verifier) -> None:
    """With the manifest's own resources, in its pusher's name; looking again, in this service or another, adds none."""
    image = register(both_scene.api)
    other = Verifier(both_scene.api, automatic=True, now=lambda: NOW)
    assert verifier.look() < 5
    assert other.look() < 5
    assert verifier.look() < 5
    (job,) = trials(both_scene)
    assert state_of(both_scene, image)[0] is ImageState.VERIFYING
    assert (job.name, job.user, job.project) == ("verify ndvi:2.0.0", "ci", "default")
    assert (job.resources.cpus_m, job.resources.mem, job.spec["trial"]) == (1000, 512, True)


def test_a_version_that_passes_is_active_and_has_a_profile(both_scene: Scene, verifier: Verifier) -> None:
    """Measured seconds and MiB beside what was asked for; jobs may run it."""
    image = register(both_scene.api)
    verifier.look()
    (job,) = trials(both_scene)
    end(both_scene, job, outputs=[{"name": "ndvi", "path": "a.tif", "size": 1}])
    verifier.look()
    assert state_of(both_scene, image) == (ImageState.ACTIVE, f"its smoke test passed: job {job.id}")
    profile = both_scene.api.get_catalogued(image.id).details.profile or {}
    assert (profile["verdict"], profile["run_s"], profile["cpu_s"], profile["max_mem"]) == ("passed", 2.5, 2.0, 300.0)
    assert (profile["job"], profile["outputs"]) == (job.id, ["ndvi"])
    assert profile["asked"]["mem"] == 2048
    assert both_scene.api.find_image("ndvi").id == image.id  # type: ignore[union-attr]


def test_under_approvers_a_version_that_passed_waits_for_one(both_scene: Scene, clock: Clock) -> None:
    """It is tried once; the approver then makes it active."""
    verifier = Verifier(both_scene.api, automatic=False, now=clock)
    image = register(both_scene.api)
    verifier.look()
    end(both_scene, trials(both_scene)[0])
    for _ in range(3):
        verifier.look()
        clock.time += timedelta(hours=1)
    state, why = state_of(both_scene, image)
    assert (state, len(trials(both_scene))) == (ImageState.REGISTERED, 1)
    assert "waits for an approver" in why
    both_scene.api.move_image(image.id, ImageState.ACTIVE, mover=Mover.APPROVER, user="eve", why="looks good", now=NOW)
    verifier.look()
    assert state_of(both_scene, image) == (ImageState.ACTIVE, "looks good")


@pytest.mark.parametrize("cause", [Cause.APP, Cause.OOM, Cause.TIMEOUT, Cause.IMAGE, Cause.OUTPUT, Cause.DISK])
def test_a_version_that_fails_is_rejected_with_the_cause(both_scene: Scene, verifier: Verifier, cause: Cause) -> None:
    """And the container's last words."""
    image = register(both_scene.api)
    verifier.look()
    (job,) = trials(both_scene)
    end(both_scene, job, cause, exit_code=3, message="no module numpy")
    verifier.look()
    state, why = state_of(both_scene, image)
    assert state is ImageState.REJECTED
    assert why == f"its smoke test failed: {cause} (exit code 3): no module numpy; job {job.id}"
    assert (both_scene.api.get_catalogued(image.id).details.profile or {})["verdict"] == "failed"


def test_a_smoke_test_that_leaves_half_of_the_outputs_is_no_pass(both_scene: Scene, verifier: Verifier) -> None:
    """The message names what it left and what is missing; values in seed.outputs.json count as outputs."""
    image = register(both_scene.api)
    verifier.look()
    end(both_scene, trials(both_scene)[0], report={**MEASURED, "json_outputs": {"MEAN": 0.5}})
    verifier.look()
    state, why = state_of(both_scene, image)
    assert state is ImageState.REJECTED
    assert why == "its smoke test left MEAN, and not what the manifest requires: ndvi"


NOVEL: Any = "NOVEL"  # a cause of a later version of Swath, whose scheduler leads already


@pytest.mark.parametrize("cause", [Cause.LOST, Cause.AGENT, Cause.DROPPED, Cause.TRANSFER, NOVEL])
def test_what_the_cluster_could_not_say_is_tried_again_later(
    both_scene: Scene, verifier: Verifier, clock: Clock, cause: Cause
) -> None:
    """Nothing is held against the version; a minute later there is another job."""
    image = register(both_scene.api)
    verifier.look()
    end(both_scene, trials(both_scene)[0], cause, message="the agent is gone")
    verifier.look()
    verifier.look()
    state, why = state_of(both_scene, image)
    assert (state, len(trials(both_scene))) == (ImageState.REGISTERED, 1)
    assert "the cluster could not say" in why
    clock.time += AGAIN_AFTER
    verifier.look()
    assert (state_of(both_scene, image)[0], len(trials(both_scene))) == (ImageState.VERIFYING, 2)


def test_a_rejected_version_is_tried_again_when_somebody_says_so(both_scene: Scene, verifier: Verifier) -> None:
    """Each time by another job, and the last one counts."""
    image = register(both_scene.api)
    verifier.look()
    end(both_scene, trials(both_scene)[0], Cause.APP)
    verifier.look()
    both_scene.api.move_image(image.id, ImageState.VERIFYING, mover=Mover.OWNER, user="ada", why="again", now=NOW)
    verifier.look()
    _, second = trials(both_scene)
    end(both_scene, second)
    verifier.look()
    assert state_of(both_scene, image) == (ImageState.ACTIVE, f"its smoke test passed: job {second.id}")


def test_a_version_that_is_pushed_again_is_tried_again_unless_somebody_said_no(
    both_scene: Scene, verifier: Verifier
) -> None:
    """What the last trial rejected gets another; what a person rejected, or what has passed, does not."""
    image = register(both_scene.api)
    verifier.begin(image.id, "forest")
    end(both_scene, trials(both_scene)[0], Cause.APP)
    verifier.look()
    verifier.begin(image.id, "forest")
    _, second = trials(both_scene)
    assert second.project == "forest"
    both_scene.api.move_image(image.id, ImageState.REJECTED, mover=Mover.APPROVER, user="eve", why="no", now=NOW)
    verifier.begin(image.id, "forest")
    assert (state_of(both_scene, image), len(trials(both_scene))) == ((ImageState.REJECTED, "no"), 2)


def test_a_version_whose_last_trial_says_nothing_is_as_untried_as_a_new_one(
    both_scene: Scene, verifier: Verifier, clock: Clock
) -> None:
    """Rejected, pushed again, and the agent lost: what the trial before has measured does not stand for the next one."""
    image = register(both_scene.api)
    verifier.begin(image.id, None)
    end(both_scene, trials(both_scene)[0], Cause.APP)
    verifier.look()
    verifier.begin(image.id, None)
    end(both_scene, trials(both_scene)[1], Cause.LOST)
    verifier.look()
    assert both_scene.api.get_catalogued(image.id).details.profile is None
    clock.time += AGAIN_AFTER
    verifier.look()
    end(both_scene, trials(both_scene)[2])
    verifier.look()
    assert state_of(both_scene, image)[0] is ImageState.ACTIVE


def test_another_manifest_is_tried_anew_before_it_counts(both_scene: Scene, verifier: Verifier) -> None:
    """While a version is verified, and while it waits for an approver; the trial of what it said before decides nothing."""
    image = register(both_scene.api)
    verifier.begin(image.id, None)
    register(both_scene.api, {"smoke_test": ["ndvi", "--other"]})
    end(both_scene, trials(both_scene)[0])
    verifier.look()
    assert state_of(both_scene, image) == (
        ImageState.REGISTERED,
        "it has another manifest now: it is to be tried again",
    )
    cautious = Verifier(both_scene.api, automatic=False, now=lambda: NOW)
    cautious.begin(image.id, None)
    end(both_scene, trials(both_scene)[1])
    cautious.look()
    assert "waits for an approver" in state_of(both_scene, image)[1]
    register(both_scene.api)
    assert both_scene.api.get_catalogued(image.id).details.profile is None
    cautious.begin(image.id, None)
    assert (state_of(both_scene, image)[0], len(trials(both_scene))) == (ImageState.VERIFYING, 3)


def test_a_verdict_on_what_has_changed_since_is_none(both_scene: Scene, verifier: Verifier) -> None:
    """Another service may have read a version before it got its manifest, and come to speak after that."""
    image = register(both_scene.api)
    verifier.begin(image.id, None)
    seen = both_scene.api.get_image(image.id)
    register(both_scene.api, {"smoke_test": ["ndvi", "--other"]})
    verifier.begin(image.id, None)
    with pytest.raises(ConflictError, match="another manifest"):
        both_scene.api.move_image(
            image.id, ImageState.ACTIVE, mover=Mover.SERVICE, user="swath", why="it passed", now=NOW, seen=seen
        )
    assert state_of(both_scene, image)[0] is ImageState.VERIFYING


def test_a_job_that_only_looks_like_a_trial_is_none(both_scene: Scene, verifier: Verifier) -> None:
    """Whoever gives a job its name and label, and uses up a key of that name, neither passes a version nor holds it up."""
    image = register(both_scene.api)
    label = f"{image.id}.1"
    for forged_for in (both_scene.image, image):
        both_scene.image = forged_for
        end(both_scene, both_scene.submit(name=f"verify {image}", labels={LABEL: label}))
    both_scene.submit(idempotency=(f"{LABEL}={label}", "somebody's"))
    verifier.look()
    verifier.look()
    assert state_of(both_scene, image)[0] is ImageState.VERIFYING
    (job,) = [job for job in trials(both_scene) if job.spec.get("trial")]
    found = verifier.find_job(both_scene.api.get_image(image.id))
    assert found is not None
    assert found.id == job.id


class KilledError(BaseException):
    """What no program catches."""


class Dying(ApiStore):
    """A store whose program is killed where it would write a verdict."""

    def move_image(self, image_id: int, after: ImageState, **arguments: Any) -> ImageRow:
        """Only what comes before a verdict is written."""
        if after is not ImageState.VERIFYING:
            raise KilledError
        return super().move_image(image_id, after, **arguments)


def test_a_service_that_is_killed_between_two_steps_loses_nothing(
    both_scene: Scene, verifier: Verifier, database: Database
) -> None:
    """VERIFYING without a job gets one; and a verdict stands as a whole or not at all, where nothing is to be tried, too."""
    image = register(both_scene.api)
    untried = register(both_scene.api, swath_manifest=None, version="3.0.0")
    both_scene.api.move_image(image.id, ImageState.VERIFYING, mover=Mover.SERVICE, user="swath", why="so far", now=NOW)
    dying = Verifier(Dying(database), automatic=True, now=lambda: NOW)
    with pytest.raises(KilledError):
        dying.look()
    verifier.look()
    assert state_of(both_scene, untried)[0] is ImageState.ACTIVE
    (job,) = trials(both_scene)
    end(both_scene, job)
    with pytest.raises(KilledError):
        dying.look()
    assert both_scene.api.get_catalogued(image.id).details.profile is None
    verifier.look()
    assert state_of(both_scene, image)[0] is ImageState.ACTIVE


def test_a_verification_that_was_cancelled_proves_nothing(both_scene: Scene, verifier: Verifier) -> None:
    """REJECTED, and not tried again by itself: somebody wanted its end."""
    image = register(both_scene.api)
    verifier.look()
    (job,) = trials(both_scene)
    both_scene.apply(figures(job, JobState.CANCELLED, Ranges.of(0), cancelled=1, ended_at=NOW))
    verifier.look()
    state, why = state_of(both_scene, image)
    assert (state, len(trials(both_scene))) == (ImageState.REJECTED, 1)
    assert "was cancelled" in why


def test_an_image_that_offers_nothing_to_try_says_so(both_scene: Scene, verifier: Verifier) -> None:
    """Active without a job; its history tells why."""
    image = register(both_scene.api, swath_manifest=None)
    verifier.look()
    state, why = state_of(both_scene, image)
    assert (state, trials(both_scene)) == (ImageState.ACTIVE, [])
    assert "declares no smoke test" in why


def test_a_manifest_that_no_task_can_have_is_rejected_and_holds_up_nobody(
    both_scene: Scene, verifier: Verifier
) -> None:
    """Its problem is the reason; the version behind it is tried."""
    broken = {**MANIFEST, "job": {**MANIFEST["job"], "resources": {"scalar": [{"name": "cpus", "value": -1.0}]}}}
    first = register(both_scene.api, version="1.9.0", manifest=broken)
    second = register(both_scene.api)
    verifier.look()
    assert state_of(both_scene, first)[0] is ImageState.REJECTED
    assert state_of(both_scene, second)[0] is ImageState.VERIFYING


def test_a_version_that_nobody_foresaw_holds_up_nobody(both_scene: Scene, verifier: Verifier) -> None:
    """A row without a job in its manifest, from whatever version of Swath: the version behind it is tried."""
    register(both_scene.api, swath_manifest=None, version="1.9.0", manifest={"seedVersion": "1.0.0"})
    image = register(both_scene.api)
    verifier.look()
    assert state_of(both_scene, image)[0] is ImageState.VERIFYING


def test_nobody_can_submit_a_trial(api: Api) -> None:
    """It would run a command without the inputs that the image demands."""
    assert api.refusal({"image": "ndvi", "trial": True})["/trial"] == "is not a known field"


def test_the_verification_is_shown_while_it_goes_on(api: Api, scene: Scene) -> None:
    """State, reason, verdict and job."""
    image = register(scene.api)
    path = "/v1/images/ndvi/2.0.0/verification"
    shown = api.get(path).json()
    assert (shown["state"], shown["verdict"], shown["job"]) == ("REGISTERED", None, None)
    Verifier(scene.api, automatic=True, now=lambda: NOW).look()
    shown = api.get(path, params={"digest": image.digest}).json()
    assert (shown["state"], shown["verdict"]) == ("VERIFYING", None)
    assert shown["why"] == "the scheduler has not taken in the last change yet"
    (job,) = trials(scene)
    assert shown["job"] == job.id
    end(scene, job, Cause.APP, exit_code=1, message="broken")
    Verifier(scene.api, automatic=True, now=lambda: NOW).look()
    shown = api.get(path).json()
    assert (shown["state"], shown["verdict"]) == ("REJECTED", "failed")
    assert "broken" in shown["why"]
    assert shown["log"] == {"stdout": None, "stderr": None}  # this agent serves no files
    assert api.get("/v1/images/ndvi/9.9.9/verification").status_code == 404
