"""The SDK's client, made to cost less. Imported when an engine is first asked for something: it loads the SDK."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import urlencode

import docker
import docker.utils
import requests
from docker.transport import UnixHTTPAdapter
from requests.structures import CaseInsensitiveDict

from executor.runtimes.transport import Output, Reply, Transport

_CALL_S = 60.0  # for one answer of the engine
_CONNECTIONS = 100  # kept; each container holds one while it runs
_PLAIN = frozenset(
    {"params", "data", "json", "headers", "timeout", "allow_redirects"}
)  # what a call may have to be sent by us


class Stream(Iterator[tuple[bytes | None, bytes | None]], Protocol):
    """What a container writes, as pairs of stdout and stderr."""

    def close(self) -> None:
        """Hear no more of it."""


class Client(docker.APIClient):
    """A client whose streams may be silent for so long; None for as long as they like.

    The engine of this machine is asked over a way of our own, except for streams of JSON, and any other engine over the SDK's.
    """

    _transport: Transport | None = None

    def __init__(self, silence_s: float | None, **settings: Any) -> None:
        many: dict[str, Any] = {"num_pools": _CONNECTIONS, "max_pool_size": _CONNECTIONS}
        super().__init__(**settings, version="auto", timeout=int(_CALL_S), **many)
        self._silence_s = silence_s
        adapter = self.get_adapter(self.base_url)
        if isinstance(adapter, UnixHTTPAdapter):
            self.trust_env = False  # proxies are no way to a socket of this machine
            self._transport = Transport(adapter.socket_path)

    def close(self) -> None:
        """Close all connections."""
        super().close()
        if self._transport is not None:
            self._transport.close()

    def post(self, *given: Any, **named: Any) -> Any:
        """As the SDK does, which lets a pull take its time."""
        return super().post(*given, **(named if self._silence_s is None else {**named, "timeout": self._silence_s}))

    def request(self, method: Any, url: Any, *given: Any, **named: Any) -> Any:
        """As requests does, to the byte; all calls of the SDK come here."""
        data = named.get("data")
        plain = not given and named.keys() <= _PLAIN and named.get("json") is None and isinstance(data, str | None)
        if self._transport is None or not plain:
            return super().request(method, url, *given, **named)
        reply = self._transport.ask(
            method.upper(),
            self._to_target(url, named.get("params")),
            headers=named.get("headers") or {},
            body=(data or "").encode(),
            timeout_s=named.get("timeout"),
        )
        return _to_response(reply, url)

    def follow(self, container: str) -> Stream:
        """What a container writes from now on."""
        sdk: Any = self  # what is called of it here has no types in its stubs
        if self._transport is None:
            stream: Stream = sdk.attach(container, stream=True, demux=True)
            return stream
        url = sdk._url("/containers/{0}/attach", container)
        target = self._to_target(url, {"logs": 0, "stdout": 1, "stderr": 1, "stream": 1})
        found = self._transport.attach(target, _CALL_S)
        if isinstance(found, Output):
            return found
        response = _to_response(found, url)
        sdk._raise_for_status(response)
        raise ConnectionError(f"the engine does not attach: {response.status_code} {response.text}")

    def _to_target(self, url: str, parameters: Mapping[str, Any] | None) -> str:
        path = url.removeprefix(self.base_url)  # quoted by the SDK
        given = {name: value for name, value in (parameters or {}).items() if value is not None}
        return f"{path}?{urlencode(given, doseq=True)}" if given else path

    def _check_is_tty(self, container: str) -> bool:
        """No container of ours has one; the SDK would ask the engine each time before it attaches."""
        return False


def _to_response(reply: Reply, url: str) -> requests.Response:
    response = requests.Response()
    response.status_code, response.reason, response.url = reply.status, reply.reason, url
    response.headers = CaseInsensitiveDict(reply.headers)
    response.raw, response.encoding = io.BytesIO(reply.body), "utf-8"
    return response


def make_client(silence_s: float | None) -> Client:
    """A client of the engine that the environment names."""
    return Client(silence_s, **docker.utils.kwargs_from_env())
