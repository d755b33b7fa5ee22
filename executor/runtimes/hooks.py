"""A site's own programs, which the executor runs before and after each container: to mount, to warm up, to scrub.

They are the operator's and run as the executor's user on the machine, not in the container. Each gets its facts in its
environment, and nothing of the executor's own: that may hold secrets.
"""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from executor.runtimes.port import Assignment
from executor.staging import StartError
from swath.domain.retries import Cause

log = logging.getLogger(__name__)

_LATEST_WORDS = 500  # characters of what a failing hook has said


def run_before(hook: Path | None, assignment: Assignment, limit_s: float) -> None:
    """Raises StartError (AGENT) where the hook ends with anything but 0: the container is not started."""
    if hook is not None and (complaint := _run(hook, "before", assignment, limit_s)):
        raise StartError(Cause.AGENT, f"the hook before the container failed: {complaint}")


def run_after(hook: Path | None, assignment: Assignment, limit_s: float, exit_code: int | None) -> None:
    """After every container whose hook before it has ended well; `exit_code` is None for one that never ran."""
    ended = {} if exit_code is None else {"SWATH_EXIT_CODE": str(exit_code)}
    if hook is not None and (complaint := _run(hook, "after", assignment, limit_s, **ended)):
        log.warning("the hook after the container of attempt %s failed: %s", assignment.attempt, complaint)


def _run(hook: Path, when: str, assignment: Assignment, limit_s: float, **more: str) -> str | None:
    """What went wrong; None where nothing did."""
    try:
        done = subprocess.run(
            [str(hook), when],
            env={**_facts(assignment), **more},
            cwd=assignment.places.attempt_dir,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{hook} took longer than {limit_s:g} s"
    except OSError as error:
        return f"{hook} cannot be run: {error.strerror}"
    if done.returncode == 0:
        return None
    said = (done.stderr or done.stdout).decode(errors="replace").strip()[-_LATEST_WORDS:]
    return f"{hook} ended with {done.returncode}: {said}"


def _facts(assignment: Assignment) -> Mapping[str, str]:
    spec, places = assignment.order.spec, assignment.places
    return {
        "PATH": os.defpath,
        "SWATH_ATTEMPT": spec.attempt,
        "SWATH_JOB": spec.job,
        "SWATH_TASK": str(spec.task),
        "SWATH_IMAGE": f"{spec.image.name}:{spec.image.version}",
        "SWATH_DIRECTORY": str(places.attempt_dir),
        "SWATH_OUTPUT": str(places.output_dir),
    }
