"""A container in which attempts of one slot run one after another (ADR 26)."""

from __future__ import annotations

import logging
import secrets
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, Self

from executor.runtimes.contained import Ground, make_volumes
from executor.runtimes.container import (
    ATTEMPT,
    INPUTS,
    OUTPUT,
    SECRETS,
    SLOT,
    TASK,
    TMP,
    Berth,
    Site,
    make_command,
    make_config,
    make_mount,
)
from executor.runtimes.engine import EngineError
from executor.runtimes.line import Ending, Line, NotTakenError, WarmError
from executor.runtimes.lodging import Lodging
from executor.runtimes.port import Assignment
from executor.runtimes.users import choose_user
from executor.staging import StartError
from swath.domain.ids import make_ulid

log = logging.getLogger(__name__)

_RUNNER = PurePosixPath("/swath/runner")
_PYTHON = ("python3", "-I", "-S", "-B")
_READY_S = 60.0  # for the runner to begin: the machine may be busy
_LOOK_S = 0.5  # between two looks at whether it has failed meanwhile
_EMPTIED = (str(TMP), "/run", "/dev/shm", "/dev/mqueue")  # noqa: S108 - of the container


class WarmContainer:
    """A container and the socket to its runner. One thread runs attempts in it; signals come from any."""

    def __init__(self, assignment: Assignment, ground: Ground) -> None:
        self.id = ""
        self.lodging = Lodging.of(make_ulid(datetime.now(UTC), secrets.token_bytes(10)), assignment, ground.settings)
        self.is_spent = True  # in no state for another attempt
        self._ground = ground
        self._engine = ground.engine
        self._name = f"swath-{self.lodging.id}"
        self._entry: list[str] = []  # the image's entry point
        self._default: list[str] = []  # its arguments where the manifest names none
        self._line: Line | None = None
        self._held = ExitStack()  # the image

    @classmethod
    def open(cls, assignment: Assignment, ground: Ground) -> Self:
        """A container that waits for work; raises WarmError where that cannot be."""
        warm = cls(assignment, ground)
        try:
            warm._open(assignment)
        except Exception as error:
            warm.close()
            if isinstance(error, WarmError):
                raise
            raise WarmError(str(error)) from error
        return warm

    def _open(self, assignment: Assignment) -> None:
        image = self._held.enter_context(self._ground.images.held(assignment.order.spec, lambda _: None))
        config = image.get("Config") or {}
        self._entry, self._default = list(config.get("Entrypoint") or ()), list(config.get("Cmd") or ())
        self.lodging.make(self._ground.journal)
        user = choose_user(image, assignment.order.spec.user, allow_root=self._ground.settings.allow_root)
        berth = Berth(image=str(image["Id"]), user=user, volumes=make_volumes(image, self.lodging.directory))
        with self.lodging.listen() as listener:
            made = make_warm_config(assignment, berth, self._ground.site(), self.lodging)
            self.id = self._ground.create(self._name, 0, lambda _: made)
            assignment.check_inputs()  # the engine follows their paths now
            self._engine.start(self.id)
            self._line = Line(self._await_runner(listener))
        self.lodging.close_door()
        self._line.greet()
        self.is_spent = False

    def _await_runner(self, listener: socket.socket) -> socket.socket:
        listener.settimeout(_LOOK_S)
        deadline = time.monotonic() + _READY_S
        while True:
            with suppress(TimeoutError):
                return listener.accept()[0]
            if (ended := self._engine.inspect(self.id)) is not None:
                raise WarmError(f"its runner ended with {ended.exit_code}")
            if time.monotonic() > deadline:
                raise WarmError(f"its runner does not begin within {_READY_S:g} s")

    def begin(self, assignment: Assignment, files: Sequence[int]) -> Mapping[str, float]:
        """Start the attempt's command; what the container has used before.

        Raises NotTakenError, StartError where the command cannot be started, WarmError for a container that has failed, and
        InvalidInputError for a command that is none.
        """
        arguments, variables = make_command(assignment, OUTPUT / assignment.attempt)
        argv = self._entry + (arguments or self._default)
        if not argv or self._line is None:
            raise NotTakenError("the image names no command")
        self.is_spent = True  # until it has ended well
        try:
            return self._line.begin(assignment.attempt, argv, variables, files)
        except StartError:
            self.is_spent = False
            raise

    def await_end(self, attempt: str) -> Ending:
        """Wait until the attempt's command has ended, and everything that it started; raises WarmError."""
        if self._line is None:
            raise WarmError("the container is closed")
        ending = self._line.await_end(attempt)
        self.is_spent = not ending.clean
        return ending

    def signal(self, attempt: str, number: signal.Signals) -> None:
        """Pass it on."""
        if (line := self._line) is not None:
            line.signal(attempt, number)

    def kill(self) -> None:
        """End it, whatever its runner does. Raises EngineError."""
        self._hang_up()
        self._engine.kill(self.id, "SIGKILL")

    def was_oom(self) -> bool:
        """True where it has ended, and the kernel has killed something in it for want of memory. Raises EngineError."""
        ended = self._engine.inspect(self.id)
        return ended is not None and ended.oom

    def close(self) -> None:
        """Remove it, whatever it does, and all that it leaves."""
        self.is_spent = True
        self._hang_up()
        try:
            self._engine.remove(self._name)
        except EngineError as error:
            log.warning("the warm container %s stays for now: %s", self._name, error)
            self._ground.leave(self._name)
        if self._line is not None:
            self._line.close()
        self.lodging.remove(self._ground.journal)
        self._held.close()

    def _hang_up(self) -> None:
        if (line := self._line) is not None:
            line.hang_up()


def make_warm_config(assignment: Assignment, berth: Berth, site: Site, lodging: Lodging) -> dict[str, Any]:
    """The body of "create a container": as for the attempt alone, but for its command, its environment and its places."""
    places = replace(assignment.places, output_dir=lodging.output, tmp=lodging.tmp, scratch=lodging.scratch)
    config = make_config(replace(assignment, places=places, inputs=lodging.mounted, secret_files={}), berth, site)
    emptied = dict.fromkeys((*_EMPTIED, *berth.volumes))
    config |= {
        "Entrypoint": [*_PYTHON, str(_RUNNER / "runner.py"), str(_RUNNER / "socket"), *emptied],
        "Cmd": [],
        "Env": [],
        "AttachStdout": False,
        "AttachStderr": False,
    }
    labels: dict[str, str] = config["Labels"]
    labels |= {ATTEMPT: lodging.id, SLOT: str(assignment.order.slot)}
    del labels[TASK]
    host: dict[str, Any] = config["HostConfig"]
    host["Init"] = False  # the runner is process 1
    for directory, place in ((lodging.runner, _RUNNER), (lodging.inputs, INPUTS)):
        host["Mounts"].append(make_mount(site.to_host(directory), place, read_only=True))
    if lodging.secrets:
        host["Mounts"].append(make_mount(str(lodging.secrets), SECRETS, read_only=True))
    return config
