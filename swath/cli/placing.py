"""Where a job's tasks may run and would rather, as people read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from swath.cli.console import duration
from swath.domain.constraints import to_constraints, to_preferences
from swath.domain.errors import InvalidInputError


def place_fields(spec: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What the submitted document says of it, in the command line's own words."""
    yield "class", spec.get("class")
    yield "preemptible", {None: None, True: "yes", False: "no"}[spec.get("preemptible")]
    yield "expected to run", duration(spec["expected_s"]) if spec.get("expected_s") else None
    try:
        yield "runs where", ", ".join(map(str, to_constraints(spec.get("constraints") or ())))
        wishes = to_preferences(spec.get("prefer") or ())
        yield "rather where", ", ".join(f"{wish.attribute}={wish.value} {wish.weight:g}" for wish in wishes)
    except (InvalidInputError, KeyError, TypeError):  # of a service of another version
        yield "runs where", str(spec.get("constraints"))
