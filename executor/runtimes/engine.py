"""The Docker engine, through its SDK, which is imported when a container is first wanted: it costs memory."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from executor.runtimes.pulls import Pulls
from executor.staging import StartError
from swath.domain.attempts import ImageSource
from swath.domain.retries import Cause

if TYPE_CHECKING:
    from docker.errors import APIError

log = logging.getLogger(__name__)

_CALL_S = 60.0  # for one answer of the engine
_PING_S = 5.0
_BELIEVED_S = 5.0  # so long an answer to a ping is not asked for again
_CONNECTIONS = 100  # kept; each container holds one while it runs
_SILENCE_S = (
    60.0  # without progress of a pull that nobody waits for: it would hold the places of those that somebody does
)


class EngineError(Exception):
    """The engine does not answer, or failed."""


class NoContainerError(EngineError):
    """The engine knows no such container."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """How a container ended."""

    exit_code: int
    oom: bool  # the kernel killed something in it for want of memory


class Engine:
    """The calls that the executor makes; from any thread. Each raises EngineError where the engine is sick."""

    def __init__(self, silence_s: float = _SILENCE_S) -> None:
        """`silence_s`: how long a pull that nobody waits for may make no progress."""
        self._silence_s = silence_s
        self._client: Any = None
        self._answered_at_s = float("-inf")
        self.seen = False
        self._pulls = Pulls()

    def answers(self) -> bool:
        """True when the engine is there."""
        now = time.monotonic()
        if now - self._answered_at_s < _BELIEVED_S:
            return True
        try:
            with _translated():
                self._connect().ping()
        except EngineError as error:
            log.info("no Docker engine: %s", error)
            return False
        self._answered_at_s, self.seen = now, True
        return True

    def cpus(self) -> int:
        """CPUs of the engine's machine."""
        with _translated():
            return int(self._connect().info()["NCPU"])

    def root(self) -> str:
        """The directory on the engine's machine that holds its images."""
        with _translated():
            return str(self._connect().info()["DockerRootDir"])

    def list_images(self) -> list[Mapping[str, Any]]:
        """What the engine says of all its images, the newest first."""
        with _translated():
            return list(self._connect().images())

    def inspect_image(self, name: str) -> dict[str, Any] | None:
        """What the engine knows of an image; None where it has none of that name."""
        import docker.errors

        with _translated():
            try:
                found: dict[str, Any] = self._connect().inspect_image(name)
                return found
            except docker.errors.ImageNotFound:
                return None

    def read_history(self, image: str) -> list[Mapping[str, Any]]:
        """The steps that an image was made in, the newest first; none for one that has gone meanwhile."""
        import docker.errors

        with _translated():
            try:
                return list(self._connect().history(image))
            except docker.errors.NotFound:
                return []

    def pull_ahead(self, reference: str) -> str | None:
        """Pull an image that nobody waits for, and return its id; None where it made room for one that somebody waits for.

        Raises StartError where it cannot be had.
        """
        if (found := self._find_local(reference)) is not None:
            return found
        with closing(self._make_client(self._silence_s)) as client, closing(_begin_pull(client, reference)) as progress:
            while not self._pulls.is_in_the_way(reference):
                if next(progress, None) is None:
                    return self._find_local(reference)
        return None

    def find_image(self, source: ImageSource, on_pull: Callable[[str], None]) -> str:
        """The id of an image that is here, pulled if need be; `on_pull` is told of progress and may raise.

        Raises StartError (IMAGE) where it cannot be had.
        """
        for name in (source.image_id, source.reference):
            if name and (found := self._find_local(name)):
                return found
        if not source.reference:
            message = f"image {source.image_id} is not on this agent's engine, and no registry is named to pull it from"
            raise StartError(Cause.IMAGE, message)
        self._pull(source.reference, on_pull)
        found = self._find_local(source.reference)
        if found is None:
            raise StartError(Cause.IMAGE, f"{source.reference} was pulled and is not there")
        return found

    def create(self, name: str, config: dict[str, Any]) -> str:
        """A new container's id; raises StartError (IMAGE) where the engine refuses what it is asked for."""
        import docker.errors

        with _translated():
            try:
                return str(self._connect().create_container_from_config(config, name)["Id"])
            except docker.errors.APIError as error:
                raise _refused(error) from error

    def attach(self, container: str) -> Iterator[tuple[bytes | None, bytes | None]]:
        """What the container writes, from now on, as pairs of stdout and stderr."""
        with _translated():
            return iter(self._connect().attach(container, stream=True, demux=True))

    def start(self, container: str) -> None:
        """Start; raises StartError (IMAGE) where the command is not there."""
        import docker.errors

        with _translated():
            try:
                self._connect().start(container)
            except docker.errors.APIError as error:
                raise _refused(error) from error

    def wait(self, container: str) -> None:
        """Wait until it runs no more."""
        with _translated():
            self._connect().wait(container, timeout=None)

    def inspect(self, container: str) -> Ended | None:
        """How it ended; None while it runs."""
        with _translated():
            state = self._connect().inspect_container(container)["State"]
        if state["Running"]:
            return None
        return Ended(exit_code=int(state["ExitCode"]), oom=bool(state["OOMKilled"]))

    def kill(self, container: str, signal: str) -> None:
        """Send a signal; one that runs no more is no error."""
        import docker.errors

        with _translated():
            try:
                self._connect().kill(container, signal)
            except docker.errors.APIError as error:
                if error.status_code not in (404, 409):
                    raise

    def remove(self, container: str) -> None:
        """Remove with its volumes, whatever it does; one that is gone is no error."""
        import docker.errors

        with _translated():
            try:
                self._connect().remove_container(container, v=True, force=True)
            except docker.errors.APIError as error:
                if error.status_code not in (404, 409):  # 409: it is being removed
                    raise

    def find_labelled(self, label: str) -> list[dict[str, str]]:
        """The labels of all containers with this label ("name=value"), and as "id" their id."""
        with _translated():
            found = self._connect().containers(all=True, filters={"label": label})
        return [{**entry["Labels"], "id": entry["Id"]} for entry in found]

    def usage(self, container: str) -> tuple[float, float]:
        """(seconds of CPU, most memory seen in MiB) of a running container."""
        with _translated():
            stats = self._connect().stats(container, stream=False, one_shot=True)
        memory = stats.get("memory_stats", {})
        most = memory.get("max_usage", memory.get("usage", 0))  # cgroup v2 keeps no maximum
        return float(stats["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9, float(most) / 2**20

    def _connect(self) -> Any:  # docker.APIClient: some of what is called here has no types in its stubs
        if self._client is None:
            self._client = self._make_client(None)
        return self._client

    def _make_client(self, silence_s: float | None) -> Any:
        """A client whose streams may be silent for so long; None for as long as they like."""
        import docker.utils

        class Client(docker.APIClient):
            def post(self, *given: Any, **named: Any) -> Any:  # the SDK lets a pull take its time
                return super().post(*given, **(named if silence_s is None else {**named, "timeout": silence_s}))

        settings = docker.utils.kwargs_from_env()
        many: dict[str, Any] = {"num_pools": _CONNECTIONS, "max_pool_size": _CONNECTIONS}
        with _translated():
            return Client(**settings, version="auto", timeout=int(_CALL_S), **many)

    def _find_local(self, name: str) -> str | None:
        image = self.inspect_image(name)
        return None if image is None else str(image["Id"])

    def _pull(self, reference: str, on_pull: Callable[[str], None]) -> None:
        on_pull(f"pulling {reference}")
        with self._pulls.waited_for(reference):
            for _ in _begin_pull(self._connect(), reference):
                on_pull("")


def _begin_pull(client: Any, reference: str) -> Generator[object, None, None]:
    """A step of progress after the other; who stops in between makes the engine stop as well, unless others wait for it."""
    import docker.errors

    with _translated():
        try:
            for progress in client.pull(reference, stream=True, decode=True):
                if "error" in progress:
                    raise StartError(Cause.IMAGE, f"{reference} cannot be pulled: {progress['error']}")
                yield progress
        except docker.errors.APIError as error:
            raise StartError(Cause.IMAGE, f"{reference} cannot be pulled: {error.explanation}") from error


@contextmanager
def _translated() -> Iterator[None]:
    """The SDK's errors as ours."""
    try:
        import docker.errors
        import requests.exceptions
        import urllib3.exceptions
    except ImportError as error:
        raise EngineError("the Python package `docker` is not installed") from error
    try:
        yield
    except docker.errors.NotFound as error:
        raise NoContainerError(str(error)) from error
    except docker.errors.APIError as error:
        raise EngineError(f"the Docker engine failed: {error.explanation or error}") from error
    # What is read from a stream is urllib3's own, and its errors are, too.
    except (
        docker.errors.DockerException,
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        OSError,
    ) as error:
        raise EngineError(f"the Docker engine does not answer: {error}") from error


def _refused(error: APIError) -> Exception:
    """Whose fault a refusal to create or start is: the image's (its command is not there), or the engine's."""
    said = str(error.explanation or error)
    if error.status_code is not None and error.status_code < 500 and error.status_code != 409:
        return StartError(Cause.IMAGE, f"the container cannot be started: {said}")
    if "exec:" in said:  # the runtime's words for a command that is missing or may not be executed
        return StartError(Cause.IMAGE, f"the command cannot be started: {said}")
    return error
