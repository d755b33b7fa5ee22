"""For those who watch the service: alive, ready, and its numbers."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.readiness import check
from api.service import Injected

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process is alive. Needs no token."""
    return {"status": "alive"}


@router.get("/readyz", responses={503: {"description": "It cannot serve, or nobody schedules"}})
def readyz(service: Injected) -> Any:
    """Whether the database answers, its schema is current, and the scheduler gives signs of life. Needs no token."""
    checks = check(service)
    ready = all(text == "ok" for text in checks.values())
    return JSONResponse({"ready": ready, "checks": checks}, status_code=200 if ready else 503)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(service: Injected) -> Response:
    """Prometheus' text format. Needs the token (`authorization: {credentials_file: ...}` in Prometheus)."""
    return Response(generate_latest(service.metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
