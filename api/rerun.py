"""A job once more, exactly as it was."""

from __future__ import annotations

from pydantic import ValidationError

from api.errors import to_problems
from api.image_schemas import ImageDocument
from api.images import digest_context
from api.schemas import JobDocument
from swath.domain.errors import CannotRunError, ConflictError, InvalidInputError, Problem
from swath.store.api_store import ApiStore
from swath.store.rows import ImageRow, JobRow

_OF_ITS_MOMENT = ("not_before", "deadline", "after")


def to_document_again(store: ApiStore, job: JobRow) -> JobDocument:
    """The job's document with its image's digest. Raises CannotRunError where a build context holds other files by now."""
    said = {name: value for name, value in store.read_document(job.id).items() if name not in _OF_ITS_MOMENT}
    _check_context(store.get_image(job.image_version_id))
    image = f"{job.image_name}:{job.image_version}@{job.image_digest}"
    if said.get("trial"):
        raise ConflictError(f"job {job.id} tried an image version: it is the service that tries one again")
    # It was checked when it was submitted, and JSON has no tuples: strictness would only find that out again.
    try:
        document = JobDocument.model_validate({**said, "name": job.name}, strict=False)
    except ValidationError as error:  # by a version of Swath that took other documents
        raise InvalidInputError(to_problems(error, said)) from error
    return document.model_copy(update={"image": image})


def _check_context(image: ImageRow) -> None:
    """Nothing keeps a directory as it was but its owner."""
    if image.context is None or image.reference or image.image_id:
        return
    manifests = {"manifest": dict(image.manifest), "swath_manifest": image.swath_manifest}
    try:
        found = digest_context(ImageDocument.model_validate({**manifests, "context": image.context}))
    except InvalidInputError as error:
        raise CannotRunError(Problem("/image", entry.message) for entry in error.problems) from error
    if found != image.digest:
        raise CannotRunError.at("/image", f"the files in {image.context} are others than the job ran with")
