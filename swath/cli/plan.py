"""What a supervisor is told to run: a value that goes through a file from `swath up` to the supervisor.

Only the standard library is imported: see processes.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """One process; its output goes to log/<name>.log."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)  # beside what the supervisor itself was given
    health: tuple[str, int, str] | None = None  # host, port and path that answer 200 unless it hangs
    at_once: bool = False  # needs no migrated database, so it starts beside the migration


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The processes of one laptop cluster, in the order in which they start; they stop in the opposite one."""

    var: str  # absolute path
    root: str  # the checkout: working directory of every program
    programs: tuple[Program, ...]
    before: tuple[Program, ...] = ()  # run to their end before the rest starts; a failure ends the start
    after: tuple[Program, ...] = ()  # run to their end once the api is ready; a failure is said and no more
    ready: tuple[str, int, str] | None = None  # host, port and path that answer 200 when all is well
    own: str | None = None  # path there that takes this cluster's token only: somebody else may have got the port
    ready_s: float = 60.0
    hung_s: float = 15.0  # a program whose health address does not answer for so long is killed
    stop_s: float = 8.0  # what a program gets between SIGTERM and SIGKILL
    cluster: Mapping[str, Any] = field(default_factory=dict)  # what else stands in cluster.json
    greeting: str = ""  # said once all is well

    def to_json(self) -> str:
        """The plan as text."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def read(cls, path: Path) -> Plan:
        """The plan out of a file that `to_json` made."""
        document = json.loads(path.read_text())
        for name in ("programs", "before", "after"):
            document[name] = tuple(_read_program(entry) for entry in document[name])
        if document["ready"]:
            document["ready"] = tuple(document["ready"])
        return cls(**document)


def _read_program(entry: Mapping[str, Any]) -> Program:
    health = tuple(entry["health"]) if entry["health"] else None
    return Program(**{**entry, "argv": tuple(entry["argv"]), "health": health})
