"""All that one operation says on the network: within one deadline, so many bytes, and never a secret to a stranger."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Protocol, Self

import httpx

from swath.domain.errors import RegistryError, RegistryMalformedError, RegistryUnreachableError, TruncatedError
from swath.registry.endpoint import Endpoint

MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long is waited for registries, in seconds."""

    connect_s: float = 5.0
    silence_s: float = 10.0  # between two pieces of an answer
    deadline_s: float = 60.0  # of everything that one question costs, repetitions included


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """One request of the protocol."""

    path: str  # "v2/...", with its query
    scope: str  # of the token that it takes
    what: str  # is asked for, in messages
    limit: int  # bytes of the answer, at most
    method: str = "GET"
    accept: str = "*/*"
    taken: frozenset[int] = frozenset({200})  # the statuses that are answers, and not refusals


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: httpx.Headers
    body: bytes
    own: bool  # from the registry itself, and not from where it sent us


class Contexts(Protocol):
    """Whose certificates are believed."""

    def __call__(self, endpoint: Endpoint | None) -> ssl.SSLContext:
        """The context for a registry and the hosts beside it; for all others with None."""


class Exchange:
    """Connections that live as long as one operation.

    A time-out of httpx counts from byte to byte, and a hostile server sends one now and then: what ends an operation is a timer
    that shuts its sockets.
    """

    def __init__(self, contexts: Contexts, patience: Patience) -> None:
        self._contexts = contexts
        self._patience = patience
        self._ends_at_s = time.monotonic() + patience.deadline_s
        self._timer = threading.Timer(patience.deadline_s, self._end)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._over = False
        self._sockets: list[socket.socket] = []
        self._transports: dict[int, httpx.HTTPTransport] = {}
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._closing.close()
        with self._lock:
            for sock in self._sockets:
                sock.close()

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return self._ends_at_s - time.monotonic()

    def ask(self, endpoint: Endpoint, question: Question, authorization: str | None = None) -> Answer:
        """The answer, wherever the registry sends us for it; only the registry itself hears `authorization`."""
        headers = {"Accept": question.accept}
        url = endpoint.url.join(question.path)
        for _ in range(MOST_REDIRECTS + 1):
            own = endpoint.owns(url)
            secret = {"Authorization": authorization} if own and authorization else {}
            answer = self.fetch(endpoint, url, question, {**headers, **secret})
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or location is None:
                return replace(answer, own=own)
            url = endpoint.follow(url, location)
        raise RegistryMalformedError(f"registry {endpoint.host} sends us in circles: {MOST_REDIRECTS} times elsewhere")

    def fetch(self, endpoint: Endpoint, url: httpx.URL, question: Question, headers: Mapping[str, str]) -> Answer:
        """What a host says to one request, redirects included; raises RegistryError."""
        where = endpoint.host if endpoint.owns(url) else f"{url.host} (where registry {endpoint.host} sends us)"
        failure: RegistryError | None = None
        for address in endpoint.find_addresses(url):
            if self._over or self.left_s <= 0:
                break
            try:
                return self._fetch_from(endpoint, url, address, question, headers)
            except httpx.ConnectError as error:  # the next address may do
                failure = _to_error(where, error, self._patience, body=False)
            except httpx.HTTPError as error:
                failure = _to_error(where, error, self._patience, body=False)
                break
            except _BodyError as error:
                failure = error.make(where, self._patience)
                break
        if self._over or failure is None:
            raise RegistryUnreachableError(f"registry {where} did not finish within {self._patience.deadline_s:g} s")
        raise failure

    def _fetch_from(
        self, endpoint: Endpoint, url: httpx.URL, address: str, question: Question, headers: Mapping[str, str]
    ) -> Answer:
        context = self._contexts(endpoint if endpoint.knows(url) else None)
        request = httpx.Request(
            question.method,
            url.copy_with(host=address),
            headers={"Accept-Encoding": "identity", "User-Agent": "swath", **headers, "Host": url.netloc.decode()},
            extensions={"timeout": self._timeout(), "trace": self._trace, "sni_hostname": url.host},
        )
        response = self._transport(context).handle_request(request)
        try:
            body = b"" if question.method == "HEAD" else _read(response, question.limit)
        finally:
            response.close()
        return Answer(status=response.status_code, headers=response.headers, body=body, own=False)

    def _transport(self, context: ssl.SSLContext) -> httpx.HTTPTransport:
        """Not httpx's client: that keeps cookies, reads ~/.netrc and proxies from the environment, and logs addresses."""
        known = self._transports.get(id(context))
        if known is None:
            known = self._transports[id(context)] = httpx.HTTPTransport(verify=context, trust_env=False)
            self._closing.callback(known.close)
        return known

    def _timeout(self) -> dict[str, float]:
        left = max(0.001, self.left_s)
        silence = min(self._patience.silence_s, left)
        return {"connect": min(self._patience.connect_s, left), "read": silence, "write": silence, "pool": left}

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Keep another handle of every socket: TLS takes the first one away from whoever opened it."""
        if event != "connection.connect_tcp.complete":
            return
        sock = info["return_value"].get_extra_info("socket").dup()
        with self._lock:
            self._sockets.append(sock)
            if self._over:
                _shut(sock)

    def _end(self) -> None:
        with self._lock:
            self._over = True
            for sock in self._sockets:
                _shut(sock)


class _BodyError(Exception):
    """What went wrong after the head of an answer had come."""

    def __init__(self, cause: httpx.HTTPError | str) -> None:
        super().__init__(str(cause))
        self.cause = cause

    def make(self, where: str, patience: Patience) -> RegistryError:
        if isinstance(self.cause, str):
            return RegistryMalformedError(f"registry {where} {self.cause}")
        return _to_error(where, self.cause, patience, body=True)


def _read(response: httpx.Response, limit: int) -> bytes:
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise _BodyError("compresses what was asked for as it is")
    body = bytearray()
    try:
        for piece in response.iter_raw():
            body += piece
            if len(body) > limit:
                raise _BodyError(f"sends more than the {limit} bytes that can be right")
    except httpx.HTTPError as error:
        raise _BodyError(error) from error
    return bytes(body)


def _to_error(where: str, error: httpx.HTTPError, patience: Patience, *, body: bool) -> RegistryError:
    """httpx's exceptions never hold more than addresses and reasons of the system."""
    if isinstance(error, httpx.ConnectTimeout):
        return RegistryUnreachableError(f"registry {where} took no connection within {patience.connect_s:g} s")
    if isinstance(error, httpx.TimeoutException):
        return RegistryUnreachableError(f"registry {where} was silent for {patience.silence_s:g} s")
    if isinstance(error, httpx.ConnectError):
        return _to_connect_error(where, error)
    if body:
        return TruncatedError(f"registry {where} ended the connection before its answer was whole")
    return RegistryUnreachableError(f"registry {where} ended the connection without an answer")


def _to_connect_error(where: str, error: httpx.ConnectError) -> RegistryError:
    reason = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return RegistryMalformedError(
            f"registry {where} shows a certificate that is not trusted ({reason.partition('verify failed: ')[2] or reason}): "
            "name its authority in ca_file"
        )
    if "SSL" in reason:
        return RegistryUnreachableError(
            f"registry {where} does not speak TLS ({reason}): if it speaks plain http, declare it insecure"
        )
    return RegistryUnreachableError(f"registry {where} takes no connection ({reason})")


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):  # it has ended by itself
        sock.shutdown(socket.SHUT_RDWR)
