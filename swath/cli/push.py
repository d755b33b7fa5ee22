"""`swath images push`: from a directory or an engine's image to a version that the cluster has tried; for people and for CI."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from swath.cli import engine
from swath.cli.console import print_json, say
from swath.cli.exits import Exit
from swath.cli.options import AsJson, Timeout, open_client
from swath.cli.pipeline import find_pipeline
from swath.client import Client
from swath.domain.errors import InvalidInputError, NotFoundError
from swath.domain.manifest import FILE, LABEL, SWATH_FILE, SWATH_LABEL, Manifest, SwathManifest
from swath.domain.references import Reference

_POLL_S = 1.0
_PREFIX = "SWATH_REGISTRY"  # variable with the host, and what stands before the names there

What = Annotated[
    str,
    typer.Argument(metavar="DIR|REF", help="Directory with a Dockerfile, or registry/name:tag that is built already."),
]


def push(
    what: What,
    to: Annotated[
        str | None, typer.Option(help=f"registry/name:tag for DIR; by default ${_PREFIX}/NAME:VERSION of its manifest.")
    ] = None,
    build_arg: Annotated[list[str] | None, typer.Option(help="NAME=VALUE for `docker build` (repeatable).")] = None,
    no_push: Annotated[bool, typer.Option("--no-push", help="REF is in its registry already: register it.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait for the verification.")] = False,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> None:
    """Build an image where a directory is named, push it, register it, and wait until the cluster has verified it.

    \b
      swath images push ./images/ndvi --to registry.example/eo/ndvi:1.2.0
      swath images push registry.example/eo/ndvi:1.2.0
      swath images push registry.example/eo/ndvi:1.2.0 --no-push --no-wait

    Ends with 0 where the version is active or passed and waits for an approver, 10 where it was rejected, 11 where the build or
    the push failed, 9 after --timeout.
    """
    context = Path(what) if Path(what).is_dir() else None
    reference = _build(context, to, build_arg or []) if context else Reference.parse(what, "REF")
    if to is not None and context is None:
        raise typer.BadParameter("is for a directory; REF is pushed where its name says", param_hint="--to")
    digest = reference.digest if no_push else _push(reference)
    with open_client() as client:
        image = _register(client, reference, digest)
        found = image if no_wait else wait(client, image, timeout)
    code = _tell(found, waited=not no_wait, as_json=as_json)
    raise typer.Exit(code)


def _build(context: Path, to: str | None, arguments: list[str]) -> Reference:
    """Build the directory with its manifests as labels; what it is called."""
    if not (context / "Dockerfile").is_file():
        raise InvalidInputError.at(str(context), "has no Dockerfile")
    labels = _read_manifests(context)
    reference = Reference.parse(to or _name(labels), "--to")
    engine.build(context, reference.familiar, labels=labels, arguments=arguments)
    return reference


def _read_manifests(context: Path) -> dict[str, str]:
    """The labels that the directory's manifests become; raises InvalidInputError before anything is built."""
    labels: dict[str, str] = {}
    for name, label, model in ((FILE, LABEL, Manifest), (SWATH_FILE, SWATH_LABEL, SwathManifest)):
        path = context / name
        if path.is_file():
            text = path.read_text()
            model.from_json(text)
            labels[label] = json.dumps(json.loads(text), separators=(",", ":"))
    return labels


def _name(labels: Mapping[str, str]) -> str:
    """The name in the site's registry that the manifest gives."""
    prefix = os.environ.get(_PREFIX, "").rstrip("/")
    if not prefix or LABEL not in labels:
        raise InvalidInputError.at("--to", f"is needed: registry/name:tag, unless ${_PREFIX} and {FILE} are there")
    job = json.loads(labels[LABEL])["job"]
    # a tag takes no "+", which a version may have
    return f"{prefix}/{job['name'].lower()}:{job['jobVersion'].replace('+', '_')}"


def _push(reference: Reference) -> str:
    if not engine.holds(reference):
        raise NotFoundError(
            f"this machine's engine does not hold {reference.familiar}: build it, or name its directory"
        )
    return engine.push(reference)


def _register(client: Client, reference: Reference, digest: str | None) -> dict[str, Any]:
    """The version that the catalogue made of it; the manifest is read from the registry, by the catalogue."""
    pinned = reference if digest is None else Reference.parse(f"{reference.name}:{reference.tag or 'latest'}@{digest}")
    image = client.register_image({"reference": str(pinned), "provenance": find_pipeline(os.environ).to_document()})
    say(f"registered {image['name']}:{image['version']} ({image['digest']})")
    return image


def wait(client: Client, image: Mapping[str, Any], timeout_s: float | None) -> dict[str, Any]:
    """Wait for the verdict, telling what happens; the verification in its end. Raises TimeoutError."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    told: str | None = None
    while True:
        found = client.verification(image["name"], image["version"], image["digest"])
        if found["verdict"] is not None or found["state"] not in ("REGISTERED", "VERIFYING"):
            return found
        if found["why"] != told:
            told = found["why"]
            say(f"{found['state'].lower()}: {told or 'waits for the cluster'}")
        if deadline is not None and time.monotonic() >= deadline:
            raise TimeoutError(
                f"{image['name']}:{image['version']} has no verdict after {timeout_s:g} s; it is {found['state']}"
            )
        time.sleep(_POLL_S)


def _tell(found: Mapping[str, Any], *, waited: bool, as_json: bool) -> int:
    if as_json:
        print_json(found)
    state = str(found["state"])
    if waited and not as_json:
        say(f"{state.lower()}: {found['why'] or ''}".rstrip(": "))
        for name, text in (found.get("log") or {}).items():
            if text and state == "REJECTED":
                say(f"--- {name}\n{text}")
    return int(Exit.REJECTED if state in ("REJECTED", "RETIRED") else Exit.OK)
