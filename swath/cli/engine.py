"""This machine's Docker engine, by its own command: so a build and a push are what they always are, credentials included."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from swath.domain.errors import ConflictError, InternalError
from swath.domain.references import Reference

_PUSHED = re.compile(r"digest: (sha256:[0-9a-f]{64}) size: \d+")


class EngineError(InternalError):
    """A build or a push that did not do; the engine's own words stand above."""


def build(context: Path, tag: str, *, labels: Mapping[str, str], arguments: Sequence[str]) -> None:
    """`docker build` of a directory, with its progress on stderr; raises EngineError."""
    said = [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
    given = [word for argument in arguments for word in ("--build-arg", argument)]
    if _run(["build", "--tag", tag, *given, *said, str(context)]) is None:
        raise EngineError(f"docker build {context} failed")


def push(reference: Reference) -> str:
    """`docker push` of a tag, with its progress on stderr; the digest that the registry has it under. Raises EngineError."""
    said = _run(["push", reference.familiar])
    if said is None:
        raise EngineError(f"docker push {reference.familiar} failed: `docker login {reference.host}` first?")
    found = _PUSHED.findall(said)
    if not found:
        raise EngineError(f"docker push {reference.familiar} told no digest")
    return str(found[-1])


def holds(reference: Reference) -> bool:
    """True where the engine has the image."""
    words = [_docker(), "image", "inspect", reference.familiar]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def _docker() -> str:
    found = shutil.which("docker")
    if found is None:
        raise ConflictError("there is no `docker` command here: install Docker, or push elsewhere and say --no-push")
    return found


def _run(words: Sequence[str]) -> str | None:
    """Run the command with all that it says on stderr as it comes; what it said on stdout, or None where it fails."""
    said: list[str] = []
    with subprocess.Popen([_docker(), *words], stdout=subprocess.PIPE, text=True, errors="replace") as process:
        for line in process.stdout or ():
            said.append(line)
            sys.stderr.write(line)
    return None if process.returncode else "".join(said)
