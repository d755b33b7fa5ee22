"""What an executor is told of an attempt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scheduler.core.effects import Launch
from swath.domain import duration
from swath.domain.attempts import AttemptSpec, ImageSource
from swath.domain.jobs import bind_item
from swath.domain.secrets import split_settings
from swath.domain.trial import to_trial
from swath.store.rows import JobRecord

KILL_GRACE_S = 10.0


def make_spec(launch: Launch, item: Any, file_inputs: frozenset[str], outputs_root: str) -> AttemptSpec:
    """The attempt in full, `item` being its element of the job's array; raises InvalidInputError for one of another form.

    `file_inputs` are the manifest's: reading it for every task of an array would cost more than all the rest.
    """
    attempt, job = launch.attempt, launch.job
    binding = bind_item(job.spec, file_inputs, item)
    manifest = manifest_of(job)
    settings, secrets = split_settings(manifest, job.spec.settings)
    return AttemptSpec(
        attempt=attempt.id,
        job=job.id,
        task=attempt.task_index,
        number=attempt.number,
        name=job.name,
        user=job.user,
        image=ImageSource(
            name=job.image.name,
            version=job.image.version,
            reference=job.image.reference,
            image_id=job.image.image_id,
            context=job.image.context,
        ),
        manifest=manifest,
        swath_manifest=job.image.swath_manifest,
        files={name: list(hrefs) for name, hrefs in binding.files.items()},
        checksums=binding.checksums,
        parameters=binding.parameters,
        settings=settings,
        secrets=secrets,
        resources=attempt.resources.to_document(),
        ports=list(attempt.ports),
        timeout_s=timeout_s(job),
        kill_grace_s=KILL_GRACE_S,
        outputs_root=outputs_root,
    )


def manifest_of(job: JobRecord) -> Mapping[str, Any]:
    """What the job's attempts run by. A trial takes no settings: nobody trusts the version with a secret yet."""
    return to_trial(job.image.manifest, job.image.swath_manifest) if job.spec.trial else job.image.manifest


def timeout_s(job: JobRecord) -> float:
    """Seconds that one attempt may take."""
    return duration.timeout_s(job.spec, job.image.manifest)
