"""How the trial of an image version stands; what CI follows after a push."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from api.follow import find_log
from api.openapi import PROBLEMS
from api.routes.images import Digest, Name, Version, refer
from api.service import Injected, Service
from api.verification import why_verifying
from api.verification_answers import VerificationAnswer
from swath.domain.catalogue import ImageState
from swath.domain.errors import SwathError
from swath.store.rows import ImageRow

router = APIRouter(prefix="/v1/images", tags=["images"], responses=PROBLEMS)

MOST_SHOWN = 4096  # bytes of each log: its end


@router.get("/{name}/{version}/verification", response_model=VerificationAnswer)
async def get_verification(service: Injected, name: Name, version: Version, digest: Digest = None) -> Any:
    """The version's state and why, its verdict and what was measured; of a rejected one also the end of its logs."""
    found = await run_in_threadpool(_show, service, refer(name, version, digest))
    if found["state"] == ImageState.REJECTED and found["job"]:
        found["log"] = {stream: await _read_end(service, found["job"], stream) for stream in ("stdout", "stderr")}
    return found


def _show(service: Service, reference: str) -> dict[str, Any]:
    row = service.catalogue.find(reference)
    image, profile = row.image, row.details.profile or {}
    job = service.verifier.find_job(image)
    return {
        "name": image.name,
        "version": image.version,
        "digest": image.digest,
        "state": image.state,
        "why": _why(service, image),
        "verdict": None if image.state is ImageState.VERIFYING else profile.get("verdict"),
        "job": None if job is None else job.id,
        "profile": row.details.profile,
    }


def _why(service: Service, image: ImageRow) -> str | None:
    job = service.verifier.find_job(image) if image.state is ImageState.VERIFYING else None
    if job is not None:
        return why_verifying(service.store, job, service.now())
    moves = service.store.list_transitions(image.id)
    return moves[-1].why if moves else None


async def _read_end(service: Service, job_id: str, stream: str) -> str | None:
    """The last bytes of a log; None where nobody can read it any more."""
    try:
        log = await run_in_threadpool(find_log, service, job_id, 0, None, stream)
        if log is None:
            return None
        size = await log.get_size()
        content = b"".join([part async for part in log.stream(max(0, size - MOST_SHOWN), size)])
    except SwathError:
        return None
    return content.decode("utf-8", "replace")
