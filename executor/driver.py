"""The port to the agent."""

from __future__ import annotations

from typing import Protocol


class Driver(Protocol):
    """What the executor needs of `swath.wire.executor.ExecutorDriver`; its events come on a thread of its own."""

    def start(self) -> None:
        """Subscribe."""

    def stop(self) -> None:
        """Disconnect."""

    def send_update(self, task_id: str, state: str, *, data: bytes = b"", message: str = "") -> str:
        """Tell the state of a task, soon, and again until the agent acknowledges; never blocks."""

    def send_message(self, data: bytes) -> object:
        """Tell the scheduler something, at most once; may block."""

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything is acknowledged; False when it is not in time."""
