"""The stdout and stderr of attempts: from the site's storage once they are there, until then from their sandboxes.

Sandboxes are read through the agents' own HTTP API.

An agent that serves its sandboxes needs no shared file system, and keeps an ended attempt's files until it collects them.
READ_FILE, the v1 form of /files/read, "gives base64 and size" (wire transcript 12): a log holds bytes, and a read may end
within a character, which the text inside of /files/read's JSON cannot tell.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

import httpx
from starlette.concurrency import run_in_threadpool

from api.archive import Archive, Archived
from swath.domain.errors import AgentUnreachableError, NotFoundError, OutputsUnreachableError
from swath.store.rows import AttemptRow

# Mesos caps a read at 16 pages of memory; whoever wants more asks again.
CHUNK = 64 * 1024
CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LogFile:
    """A file of a sandbox."""

    agent_url: str
    hostname: str
    path: str  # absolute, on the agent


class SandboxReader:
    """Reads files of sandboxes over kept-alive connections."""

    def __init__(self, credential: tuple[str, str] | None = None) -> None:
        """`credential` is the (principal, secret) that the agents ask for, as Mesos' basic authentication."""
        self._http = httpx.AsyncClient(
            auth=None if credential is None else httpx.BasicAuth(*credential),
            timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            # agents are reached directly, whatever proxy the environment names for the world outside
            trust_env=False,
            follow_redirects=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def read(self, file: LogFile, offset: int, length: int = CHUNK) -> tuple[bytes, int]:
        """(bytes from `offset` on as many as the agent gives and none at the end, the file's size).

        Raises NotFoundError and AgentUnreachableError.
        """
        return await self._ask(file, offset, min(length, CHUNK))

    async def _ask(self, file: LogFile, offset: int, length: int) -> tuple[bytes, int]:
        """(bytes of the file, its size)."""
        call = {"type": "READ_FILE", "read_file": {"path": file.path, "offset": offset, "length": length}}
        try:
            # "415 for application/json; charset=utf-8" (surprise 37): the type stands alone
            response = await self._http.post(
                f"{file.agent_url.rstrip('/')}/api/v1", json=call, headers={"Content-Type": "application/json"}
            )
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise AgentUnreachableError(
                f"agent {file.hostname} at {file.agent_url} does not answer ({reason}); its logs can be read once it is back"
            ) from error
        if response.status_code == httpx.codes.NOT_FOUND:
            raise NotFoundError(f"agent {file.hostname} has no {file.path} (any more): sandboxes are removed in time")
        if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise AgentUnreachableError(
                f"agent {file.hostname} refuses this service ({response.status_code}): "
                "set SWATH_AGENT_PRINCIPAL and SWATH_AGENT_SECRET to a credential that it knows"
            )
        if not response.is_success:
            raise AgentUnreachableError(
                f"agent {file.hostname} answers {response.status_code} to a read of {file.path}"
            )
        try:
            said = response.json()["read_file"]
            return base64.b64decode(said["data"], validate=True), int(said["size"])
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            raise AgentUnreachableError(
                f"agent {file.hostname} answers a read with what is no data: {error}"
            ) from error


class Log:
    """One log of an attempt, wherever it can be read.

    Raises NotFoundError, AgentUnreachableError and OutputsUnreachableError where it cannot be.

    What was shipped whole is read from the storage; else the agent is asked, which knows the newest; and where that does not
    answer, or has it no more, as much as was shipped.
    """

    def __init__(self, sandboxes: SandboxReader, archive: Archive | None, attempt: AttemptRow, stream: str) -> None:
        self._sandboxes = sandboxes
        self._archive = archive
        self._attempt = attempt
        self._stream = stream
        self._archived: Archived | None = None  # where it is read from
        self._looked = False

    @property
    def origin(self) -> str:
        """Where it was read from."""
        if self._archived is None:
            return "agent"
        return "archive" if self._archived.complete else "archive; incomplete"

    async def get_size(self) -> int:
        """Bytes that it has now."""
        _, size = await self.read(0, 1)
        return size

    async def read(self, offset: int, length: int = 2**20) -> tuple[bytes, int]:
        """(bytes from `offset` on, no more than `length` and none at the end; the log's size)."""
        if not self._looked:
            self._looked = True
            with suppress(OutputsUnreachableError):  # the agent may have it
                self._archived = await self._find(whole=True)
        if self._archived is None:
            try:
                return await self._sandboxes.read(self._to_file(), offset, length)
            except (AgentUnreachableError, NotFoundError):
                self._archived = await self._find(whole=False)
                if self._archived is None:
                    raise
        return await run_in_threadpool(self._archived.read, offset, length)

    async def stream(self, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes of [start, end) piece by piece. Broken off where the log has become shorter meanwhile."""
        while start < end:
            data, size = await self.read(start, end - start)
            if not data:
                raise AgentUnreachableError(f"{self._stream} was cut to {size} bytes while it was read")
            start += len(data)
            yield data

    async def _find(self, *, whole: bool) -> Archived | None:
        if self._archive is None:
            return None
        return await run_in_threadpool(self._archive.find, self._attempt, self._stream, whole=whole)

    def _to_file(self) -> LogFile:
        attempt = self._attempt
        if attempt.agent_url is None:
            raise AgentUnreachableError(f"nothing is known of agent {attempt.hostname} any more")
        return LogFile(agent_url=attempt.agent_url, hostname=attempt.hostname, path=f"{attempt.sandbox}/{self._stream}")
