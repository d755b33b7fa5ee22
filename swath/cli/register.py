"""Registers the images that come with Swath; `swath up` runs it as `python -m swath.cli.register CHECKOUT`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from swath.cli.machine import Engine
from swath.cli.var import Var
from swath.client import Client
from swath.domain.errors import SwathError

BUILTIN = "true"  # ends at once and writes nothing: benchmarks and first steps; the executor runs it without a context


def documents(root: Path, engine: Engine | None) -> Iterator[dict[str, Any]]:
    """What to register: every image with a Seed manifest in `images/`, by image id where the engine has it built.

    The context is named beside the image id: it serves where no engine answers any more.
    """
    built = engine.seed_images() if engine else {}
    for path in sorted((root / "images").glob("*/seed.manifest.json")):
        manifest = json.loads(path.read_text())
        other = path.with_name("swath.manifest.json")
        found = built.get((manifest["job"]["name"], manifest["job"]["jobVersion"]), {})
        yield {
            "manifest": found.get("manifest", manifest),
            "swath_manifest": found.get("swath_manifest")
            or (json.loads(other.read_text()) if other.exists() else None),
            "reference": None,
            "image_id": found.get("image_id"),
            "context": f"builtin:{BUILTIN}" if path.parent.name == BUILTIN else str(path.parent),
        }


def register(client: Client, root: Path, engine: Engine | None) -> list[str]:
    """Register all of them; returns what could not be registered, in words."""
    problems = []
    for document in documents(root, engine):
        try:
            client.register_image(document)
        except SwathError as error:
            problems.append(f"image {document['manifest']['job']['name']}: {error}")
    return problems


def main() -> int:
    """Register at the cluster in $SWATH_VAR."""
    var = Var.from_environment(os.environ)
    engine = None if os.environ.get("SWATH_DOCKER") == "off" else Engine.from_environment(os.environ)
    with Client(var.read_cluster()["api_url"], var.token_file.read_text().strip()) as client:
        problems = register(client, Path(sys.argv[1]), engine)
    for problem in problems:
        sys.stderr.write(problem + "\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
