"""How long an attempt may take, and how long it is expected to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swath.domain.jobs import JobSpec

DEFAULT_TIMEOUT_S = 24 * 3600.0  # where neither the job nor its manifest names one
_MARGIN = 1.5  # on the longest run so far


def timeout_s(spec: JobSpec, manifest: Mapping[str, Any]) -> float:
    """Seconds that one attempt may take: as the job says, else as its image's Seed manifest does."""
    if spec.timeout_s is not None:
        return float(spec.timeout_s)
    return float(manifest.get("job", {}).get("timeout") or DEFAULT_TIMEOUT_S)


def expected_s(
    spec: JobSpec, manifest: Mapping[str, Any], longest_run_s: float | None, alike_s: float | None = None
) -> float:
    """Seconds that an attempt is expected to take: half as long again as the job's longest so far; before there is one, as
    its job expects, else as the longest of the jobs like it (`alike_s`), and at last as long as it is let.
    """
    allowed = timeout_s(spec, manifest)
    known_s = longest_run_s if longest_run_s is not None or spec.expected_s is not None else alike_s
    if known_s is not None:
        return min(allowed, _MARGIN * known_s)
    return min(allowed, spec.expected_s or allowed)


def is_foreseen(spec: JobSpec, longest_run_s: float | None, alike_s: float | None = None) -> bool:
    """False where nobody has said or seen how long an attempt takes, and there is no more than how long it is let."""
    return any(known is not None for known in (longest_run_s, spec.expected_s, alike_s))


def left_s(expected_s: float, age_s: float) -> float:
    """Seconds until an attempt of this age is expected to end: as soon as expected at first; once it is overdue, after as
    long again as it has run over, for the longer it has, the less its end is in sight.
    """
    return abs(expected_s - age_s)
