"""The executor's program with an agent of two pipes: a line of JSON for each event in, one for each update out."""

from __future__ import annotations

import base64
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from executor.guardian import Charge, Guard, start_guardian
from executor.program import run
from executor.settings import Settings


class PipeDriver:
    """The interface of swath.wire.executor.ExecutorDriver over stdin and stdout; everything is acknowledged at once."""

    def __init__(self, on_event: Callable[[Mapping[str, Any]], None]) -> None:
        self._on_event = on_event
        self._lock = threading.Lock()

    def start(self) -> None:
        """Subscribe."""
        threading.Thread(target=self._read, daemon=True).start()
        self._write({"subscribed": os.getpid()})

    def stop(self) -> None:
        """Disconnect."""

    def flush(self, timeout_s: float) -> bool:
        """All is acknowledged."""
        return True

    def send_update(self, task_id: str, state: str, *, data: bytes = b"", message: str = "") -> str:
        """Write a line."""
        self._write({"task": task_id, "state": state, "data": base64.b64encode(data).decode(), "message": message})
        return ""

    def send_message(self, data: bytes) -> None:
        """Write a line."""
        self._write({"message": base64.b64encode(data).decode()})

    def _read(self) -> None:
        self._on_event({"type": "SUBSCRIBED"})
        for line in sys.stdin:
            self._on_event(json.loads(line))

    def _write(self, document: dict[str, Any]) -> None:
        with self._lock:
            print(json.dumps(document), flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    settings = Settings.from_environ(os.environ)
    charge = Charge.of(settings)
    guard = start_guardian(charge) if "STANDIN_UNGUARDED" not in os.environ else Guard(os.open(os.devnull, os.O_WRONLY))
    sys.exit(run(settings, PipeDriver, guard))
