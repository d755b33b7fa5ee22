"""The Docker engine, through its SDK, which is imported when a container is first wanted: it costs memory."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from executor.runtimes.refusals import to_error
from executor.staging import StartError
from swath.domain.retries import Cause

if TYPE_CHECKING:
    from docker.errors import APIError

    from executor.runtimes.client import Stream

log = logging.getLogger(__name__)

_BELIEVED_S = 5.0  # so long an answer to a ping is not asked for again
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm", "i686": "386", "i386": "386"}


class EngineError(Exception):
    """The engine does not answer, or failed."""


class NoContainerError(EngineError):
    """The engine knows no such container."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """How a container ended."""

    exit_code: int
    oom: bool  # the kernel killed something in it for want of memory


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What an engine runs on."""

    cpus: int
    root: str  # the directory that holds the engine's images
    platform: str  # "linux/amd64", as images have it


class Engine:
    """The calls that the executor makes; from any thread. Each raises EngineError where the engine is sick."""

    def __init__(self, registry_config: Path | None = None) -> None:
        """`registry_config`: a file as `docker login` writes it; None for the one of the executor's user."""
        self._registry_config = registry_config
        self._client: Any = None
        self._machine: Machine | None = None
        self._answered_at_s = float("-inf")
        self.seen = False

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

    def ping(self) -> None:
        """Raises EngineError where the engine does not answer; never believes an answer of before."""
        self._answered_at_s = float("-inf")
        with _translated():
            self._connect().ping()
        self._answered_at_s, self.seen = time.monotonic(), True

    def reach(self) -> None:
        """Raises EngineError for an engine that is ending: it serves those who are connected, and takes nobody else."""
        self._make_client(None).close()

    def machine(self) -> Machine:
        """What the engine runs on; asked for once."""
        if self._machine is None:
            with _translated():
                info = self._connect().info()
            architecture = str(info["Architecture"])
            self._machine = Machine(
                cpus=int(info["NCPU"]),
                root=str(info["DockerRootDir"]),
                platform=f"{info['OSType']}/{_ARCHITECTURES.get(architecture, architecture)}",
            )
        return self._machine

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

    def pull(self, reference: str, silence_s: float) -> Generator[Mapping[str, Any], None, None]:
        """A step of progress after the other; who stops in between makes the engine stop as well, unless others wait for it.

        A pull that says nothing for `silence_s` has failed. Raises StartError where the image cannot be had.
        """
        import docker.errors

        credentials = self._find_credentials(reference)
        with _translated(), closing(self._make_client(silence_s)) as client:
            try:
                for step in client.pull(reference, stream=True, decode=True, auth_config=credentials):
                    if "error" in step:
                        raise to_error(reference, str(step["error"]))
                    yield step
            except docker.errors.APIError as error:
                raise to_error(reference, str(error.explanation or error)) from error

    def _find_credentials(self, reference: str) -> dict[str, Any] | None:
        """What the engine shows to the image's registry; None for what the SDK finds by itself. Read anew for each pull."""
        if self._registry_config is None:
            return None
        from docker import auth
        from docker.errors import DockerException

        try:
            # Read here: the SDK passes by a file that it cannot read, and takes another one.
            document = json.loads(self._registry_config.read_bytes())
            registry, _ = auth.resolve_repository_name(reference.partition("@")[0])
            known = auth.load_config(config_dict=document) if document else auth.AuthConfig({})
            found: dict[str, Any] | None = known.resolve_authconfig(registry)
        except (OSError, ValueError, KeyError, AttributeError, DockerException):  # their words may repeat what is in it
            message = f"{self._registry_config} (SWATH_REGISTRY_CONFIG) cannot be read as credentials for registries"
            raise StartError(Cause.AGENT, message) from None
        return found or {}

    def remove_image(self, name: str) -> bool:
        """Remove an image that no container uses; False where one does, or it is not there."""
        import docker.errors

        with _translated():
            try:
                self._connect().remove_image(name)
            except docker.errors.APIError as error:
                if error.status_code in (404, 409):
                    return False
                raise
        return True

    def create(self, name: str, config: dict[str, Any]) -> str:
        """A new container's id; raises StartError (IMAGE) where the engine refuses what it is asked for."""
        import docker.errors

        with _translated():
            try:
                return str(self._connect().create_container_from_config(config, name)["Id"])
            except docker.errors.APIError as error:
                raise _refused(error) from error

    def attach(self, container: str) -> Stream:
        """What the container writes, from now on, as pairs of stdout and stderr; to be closed."""
        with _translated():
            stream: Stream = self._connect().follow(container)
            return stream

    def start(self, container: str) -> None:
        """Start; raises StartError (IMAGE) where the command is not there."""
        import docker.errors

        with _translated():
            try:
                self._connect().start(container)
            except docker.errors.APIError as error:
                raise _refused(error) from error

    def wait(self, container: str) -> int:
        """Wait until it runs no more; its exit code."""
        with _translated():
            return int(self._connect().wait(container, timeout=None)["StatusCode"])

    def inspect(self, container: str) -> Ended | None:
        """How it ended; None while it runs."""
        with _translated():
            state = self._connect().inspect_container(container)["State"]
        if state["Running"]:
            return None
        return Ended(exit_code=int(state["ExitCode"]), oom=bool(state["OOMKilled"]))

    def health(self, container: str) -> Mapping[str, Any]:
        """What its health check has found last."""
        with _translated():
            found: Mapping[str, Any] = self._connect().inspect_container(container)["State"].get("Health") or {}
        return found

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

    def stats(self, container: str) -> Mapping[str, Any]:
        """What the engine reads from the cgroups and the interfaces of a running container."""
        with _translated():
            found: Mapping[str, Any] = self._connect().stats(container, stream=False, one_shot=True)
        return found

    def _connect(self) -> Any:  # docker.APIClient: some of what is called here has no types in its stubs
        if self._client is None:
            self._client = self._make_client(None)
        return self._client

    def _make_client(self, silence_s: float | None) -> Any:
        """A client whose streams may be silent for so long; None for as long as they like."""
        with _translated():
            from executor.runtimes.client import make_client

            return make_client(silence_s)


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
