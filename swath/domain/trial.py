"""The trial of an image version: its smoke test as an ordinary task, with the manifest's own resources. Pure.

The smoke test takes the place of the image's command and of its inputs. What it leaves in OUTPUT_DIR is held against the
manifest as a run's outputs are; a test that only looks whether the image starts may leave nothing at all.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from swath.domain.retries import Cause

LABEL = "swath.verifies"  # of the job: the image version that it tries
# How a trial may end without a word about the image.
_NOT_ITS_FAULT = frozenset(
    {
        Cause.KILLED,
        Cause.LOST,
        Cause.AGENT,
        Cause.DROPPED,
        Cause.DRAINED,
        Cause.PREEMPTED,
        Cause.TRANSFER,
        Cause.DEPENDENCY,
    }
)


def says_nothing(cause: Cause | None) -> bool:
    """True where a trial that ended so tells nothing of the image, as by a cause that only a later version of Swath knows."""
    return cause is not None and (cause in _NOT_ITS_FAULT or cause not in Cause.__members__)


def find_command(manifest: Mapping[str, Any], swath_manifest: Mapping[str, Any] | None) -> str | None:
    """What a trial runs: the smoke test, or the image's own command where that takes nothing; None where neither is there."""
    test = (swath_manifest or {}).get("smoke_test")
    if test:
        return shlex.join(test)
    interface = manifest["job"].get("interface") or {}
    inputs = interface.get("inputs") or {}
    takes = inputs.get("files") or inputs.get("json") or interface.get("settings")
    return None if takes else interface.get("command") or None


def to_trial(manifest: Mapping[str, Any], swath_manifest: Mapping[str, Any] | None) -> dict[str, Any]:
    """The manifest that a trial runs by: no inputs, no settings, and outputs that may be missing."""
    job = manifest["job"]
    outputs = (job.get("interface") or {}).get("outputs") or {}
    return {
        **manifest,
        "job": {
            **job,
            "interface": {
                "command": find_command(manifest, swath_manifest) or "",
                "outputs": {
                    kind: [_optional(entry) for entry in outputs.get(kind) or ()] for kind in ("files", "json")
                },
            },
        },
    }


def find_missing(manifest: Mapping[str, Any], left: Collection[str]) -> list[str]:
    """The outputs that the manifest requires and a smoke test left out that left others; `left` are names of outputs."""
    outputs = (manifest["job"].get("interface") or {}).get("outputs") or {}
    required = [
        entry["name"] for kind in ("files", "json") for entry in outputs.get(kind) or () if entry.get("required", True)
    ]
    return [name for name in required if name not in left] if left else []


def tell_missing(missing: Iterable[str], left: Iterable[str]) -> str:
    """Why such a version is rejected."""
    return f"its smoke test left {', '.join(sorted(left))}, and not what the manifest requires: {', '.join(missing)}"


def _optional(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {**entry, "required": False}
