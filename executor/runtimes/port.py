"""The port between the executor and what its attempts run in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from executor.events import Order
from executor.places import Places
from executor.staging import Seen, check_seen


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """An order with its places made and its inputs found."""

    order: Order
    places: Places
    inputs: dict[str, list[Path]]  # real paths
    seen: tuple[Seen, ...] = ()  # those among them that others may write to
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)  # values of the settings that are secret
    secret_files: Mapping[str, Path] = field(default_factory=dict)  # those among them that the image wants as files

    @property
    def attempt(self) -> str:
        """The attempt's id."""
        return self.order.spec.attempt

    def check_inputs(self) -> None:
        """Raises StartError where an input is not any more what was looked at; to be called just before its path is used."""
        check_seen(self.seen)

    def settings(self, place: Callable[[str, Path], str]) -> Mapping[str, str]:
        """All settings, the secret ones among them; of those that are files their place, as `place` says by name and path."""
        files = {name: place(name, path) for name, path in self.secret_files.items()}
        return {**self.order.spec.settings, **self.secrets, **files}


class Runtime(Protocol):
    """Runs commands. What becomes of them it posts as events: Waiting, Started, NotStarted, Exited, Vanished, Unhealthy."""

    def start(self, assignment: Assignment) -> None:
        """Start the attempt's command, now or soon; raises StartError where it is known at once that this cannot be."""

    def signal(self, attempt: str, *, force: bool) -> None:
        """SIGTERM to the command, or SIGKILL to all that it started. An attempt that is not here is no error."""

    def observe(self, attempt: str) -> Mapping[str, float]:
        """What the attempt has used so far, as a report has it and as far as it is known. May block; from any thread."""

    def find_elsewhere(self, attempt: str) -> Sequence[Path]:
        """Directories in which the attempt writes for now, and which are none of its places; from any thread."""

    def clean(self, attempt: str) -> None:
        """Forget an attempt that has ended, or was given up while it started: whatever of it still runs is killed."""
