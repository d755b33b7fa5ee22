"""The stdout and stderr of attempts, read from their sandboxes through the agents' own HTTP API.

An agent that serves its sandboxes needs no shared file system, and keeps an ended attempt's files until it collects them.
READ_FILE, the v1 form of /files/read, "gives base64 and size" (wire transcript 12): a log holds bytes, and a read may end
within a character, which the text inside of /files/read's JSON cannot tell.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx

from swath.domain.errors import AgentUnreachableError, NotFoundError

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

    async def get_size(self, file: LogFile) -> int:
        """Bytes that the file has now. Raises NotFoundError and AgentUnreachableError, as everything here does."""
        _, size = await self._ask(file, 0, 1)
        return size

    async def read(self, file: LogFile, offset: int) -> tuple[bytes, int]:
        """(bytes from `offset` on as many as the agent gives and none at the end, the file's size)."""
        return await self._ask(file, offset, CHUNK)

    async def stream(self, file: LogFile, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes of [start, end) piece by piece. Broken off where the file has become shorter meanwhile."""
        while start < end:
            data, size = await self._ask(file, start, min(end - start, CHUNK))
            if not data:
                raise AgentUnreachableError(f"{file.path} was cut to {size} bytes while it was read")
            start += len(data)
            yield data

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
