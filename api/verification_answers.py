"""What is answered about the trial of an image version."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from api.answers import Answered


class VerificationAnswer(Answered):
    """How the trial of a version stands."""

    name: str
    version: str
    digest: str
    state: str
    why: str | None = Field(description="why it is in this state; while it is verified, what the trial waits for")
    verdict: str | None = Field(description="passed, failed, or untried where it declares no smoke test; null before")
    job: str | None = Field(description="of the last trial")
    profile: dict[str, Any] | None = Field(
        description="what was measured: run_s, cpu_s, max_mem (MiB), beside what was asked"
    )
    log: dict[str, str | None] | None = Field(default=None, description="the end of a rejected one's stdout and stderr")
