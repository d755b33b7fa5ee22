"""The operator API and the plain GET endpoints of master and agents."""

from __future__ import annotations

from typing import Any

from local.master import Master
from local.master_state import VERSION
from local.replies import Reply, make_json, make_text, not_found
from local.runtime import Machine, Runtime
from local.streams import Stream

Json = dict[str, Any]


class OperatorApi:
    """Answers about one machine."""

    def __init__(self, runtime: Runtime, machine: Machine) -> None:
        self._runtime = runtime
        self._machine = machine

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> Reply | Stream:
        if path == "/health":
            return make_text(200)
        if path == "/version":
            return make_json({"version": VERSION})
        if path == "/redirect" and isinstance(self._machine, Master):
            state = self._machine.state
            return make_text(307, "", (b"location", f"//{state.hostname}:{state.port}".encode()))
        return not_found()
