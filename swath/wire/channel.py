"""Calls over one kept-alive connection, pipelined where several are ready, each with an outcome."""

from __future__ import annotations

import json
import logging
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from http.client import HTTPConnection, HTTPException, HTTPResponse
from io import BufferedReader
from typing import cast

from swath.wire.calls import Message
from swath.wire.endpoints import Endpoint, connect, wake_socket

logger = logging.getLogger(__name__)

CALL_TIMEOUT_S = 10.0
_DEPTH = 32  # calls in flight at once: their answers fit into any socket buffer, so neither side waits for the other
_UNREPEATABLE = frozenset({"ACCEPT", "ACCEPT_INVERSE_OFFERS", "MESSAGE"})  # twice would not be the same as once
_SUBSCRIPTION_IS_GONE = (
    "Framework is not subscribed",
    "Framework cannot be found",
    "Executor cannot be found",
    "stream ID",
)


class Outcome(StrEnum):
    """What became of a call."""

    SENT = "SENT"  # answered with 2xx: Mesos has it in its queue, nothing more (M16)
    FAILED = "FAILED"  # refused (then there is a status), or lost on the way: nobody knows whether it arrived
    NOT_CONNECTED = "NOT_CONNECTED"  # there is no subscription; nothing was sent


@dataclass(frozen=True, kw_only=True, slots=True)
class CallResult:
    """The outcome of one call."""

    outcome: Outcome
    status: int | None = None  # of the HTTP response, where there was one
    message: str = ""  # why not, in Mesos' or the operating system's words
    seconds: float = field(default=0.0, compare=False)  # until the outcome was known, from when its batch left

    @property
    def is_sent(self) -> bool:
        """True when Mesos has taken the call."""
        return self.outcome is Outcome.SENT


@dataclass(frozen=True, eq=False, slots=True)
class Session:
    """One subscription as calls see it: where they go, and the head of every request up to its length."""

    endpoint: Endpoint
    head: bytes


class _Pipe:
    """What `HTTPResponse` takes for a socket: all responses read on from one buffer, which none of them closes."""

    def __init__(self, reader: BufferedReader) -> None:
        self._reader = reader
        self.readline, self.read, self.readinto = reader.readline, reader.read, reader.readinto

    def makefile(self, mode: str) -> _Pipe:
        return self

    def flush(self) -> None:
        """Nothing is written through here."""

    def close(self) -> None:
        """The connection stays open for the next response."""


class CallChannel:
    """Sends calls while a session is open. Thread-safe; callers wait for each other, never for longer than the time-outs."""

    def __init__(
        self,
        path: str,
        *,
        tls: ssl.SSLContext | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
        on_gone: Callable[[str], None],
        outlasts_silence: bool = False,
    ) -> None:
        """`on_gone` is told why a subscription is worth nothing although its stream looks alive: the other side knows none
        of ours, or no call gets through to it. With `outlasts_silence` the latter costs no more than the exchange.
        """
        self._path = path
        self._tls = tls
        self._timeout_s = timeout_s  # of connecting, and of each answer
        self._on_gone = on_gone
        self._outlasts_silence = outlasts_silence
        self._lock = threading.Lock()  # held while calls are under way; `open` and `close` never take it
        self._session: Session | None = None
        self._gone: Session | None = None  # of which `on_gone` was told: the stream's end is a matter of moments
        self._impasse: CallResult | None = None  # what a call of this exchange waited for in vain
        self._connected_for: Session | None = None
        self._connection: HTTPConnection | None = None
        self._pipe: _Pipe | None = None

    def open(self, endpoint: Endpoint, headers: Mapping[str, str]) -> None:
        """Calls go to `endpoint` with `headers` from now on."""
        lines = [
            f"POST {self._path} HTTP/1.1",
            f"Host: {endpoint}",
            *(f"{key}: {value}" for key, value in headers.items()),
        ]
        self._session = Session(endpoint, "\r\n".join([*lines, "Content-Length: "]).encode("latin-1"))

    def close(self) -> None:
        """Calls are NOT_CONNECTED from now on; one that is under way fails at once instead of at its time-out."""
        self._session = None
        connection = self._connection
        if connection is not None:
            wake_socket(connection.sock)
        self._tidy()

    def exchange(self, messages: Sequence[Message]) -> list[CallResult]:
        """Send the calls in order and return their outcomes in the same order; raises nothing.

        One time-out is the longest that it waits in vain: when a call does not get through, those behind it have FAILED.
        """
        results: list[CallResult] = []
        with self._lock:
            session, self._impasse = self._session, None
            for start in range(0, len(messages), _DEPTH):
                results += self._exchange_some(session, messages[start : start + _DEPTH])
            if reason := _find_loss(results) or self._find_silence():
                self._gone = session  # whoever waits for the lock would wait in vain, too
        if self._session is None:
            self._tidy()
        elif self._session is session and reason:
            self._on_gone(reason)
        return results

    def _find_silence(self) -> str | None:
        if self._impasse is None or self._outlasts_silence:
            return None
        return f"no call gets through: {self._impasse.message}"

    def _tidy(self) -> None:
        """Close the connection of an ended session, unless a call is under way: that one comes here itself."""
        if self._lock.acquire(blocking=False):
            try:
                if self._session is None:
                    self._drop_connection()
            finally:
                self._lock.release()

    def _exchange_some(self, session: Session | None, messages: Sequence[Message]) -> list[CallResult]:
        if session is None or session is not self._session or session is self._gone:
            return [CallResult(outcome=Outcome.NOT_CONNECTED, message="there is no subscription")] * len(messages)
        if self._impasse is not None:
            return [self._impasse] * len(messages)
        results: list[CallResult] = []
        was_kept, begun = self._is_kept_for(session), time.monotonic()
        is_connected = was_kept
        try:
            if not was_kept:
                self._connect(session)
                is_connected = True
            self._converse(session, messages, results)
        except (OSError, HTTPException, ValueError) as error:
            self._drop_connection()
            text, seconds = f"{type(error).__name__}: {error}", time.monotonic() - begun
            failure = CallResult(outcome=Outcome.FAILED, message=text, seconds=seconds)
            rest = messages[len(results) :]
            if isinstance(error, TimeoutError) or not is_connected:
                self._impasse = failure
            elif was_kept and not _UNREPEATABLE & {call["type"] for call in rest}:
                return results + self._exchange_some(session, rest)  # once: its connection is a new one
            results += [failure] * len(rest)
        return results

    def _connect(self, session: Session) -> None:
        self._drop_connection()
        self._connection = connect(session.endpoint, self._tls, self._timeout_s)
        self._pipe = _Pipe(self._connection.sock.makefile("rb"))
        self._connected_for = session

    def _converse(self, session: Session, messages: Sequence[Message], results: list[CallResult]) -> None:
        """Append the result of every call that was answered; raises where the conversation broke off."""
        connection, pipe = self._connection, self._pipe
        assert connection is not None  # noqa: S101  made above
        assert pipe is not None  # noqa: S101
        begun = time.monotonic()
        connection.sock.sendall(b"".join(_make_request(session, message) for message in messages))
        for _ in messages:
            response = HTTPResponse(cast(socket.socket, pipe), method="POST")
            response.begin()
            results.append(_to_result(response, begun))
            if response.will_close:
                self._drop_connection()
                if len(results) < len(messages):
                    raise ConnectionResetError("the connection was closed between two answers")

    def _is_kept_for(self, session: Session) -> bool:
        """True when the connection of the last call can serve again: same session, and not closed by the other side."""
        connection = self._connection
        return self._connected_for is session and connection is not None and _is_quiet(connection.sock)

    def _drop_connection(self) -> None:
        connection, self._connection, self._connected_for, self._pipe = self._connection, None, None, None
        if connection is not None:
            connection.close()


def _is_quiet(sock: socket.socket) -> bool:
    """False when something is to be read although no answer is due: the end of the connection. poll() has no limit of 1,024."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return not poll.poll(0)


def _make_request(session: Session, message: Message) -> bytes:
    body = json.dumps(message, separators=(",", ":")).encode()
    return b"%b%d\r\n\r\n%b" % (session.head, len(body), body)


def _to_result(response: HTTPResponse, begun: float) -> CallResult:
    body, seconds = response.read(), time.monotonic() - begun
    if 200 <= response.status < 300:
        return CallResult(outcome=Outcome.SENT, status=response.status, seconds=seconds)
    text = body.decode("utf-8", "replace")[:1000]
    logger.warning("a call was answered with %d %s: %s", response.status, response.reason, text)
    return CallResult(outcome=Outcome.FAILED, status=response.status, message=text or response.reason, seconds=seconds)


def _find_loss(results: Sequence[CallResult]) -> str | None:
    """Why the subscription has to be made anew, when an answer says so: a stale stream id, another leader."""
    for result in results:
        if result.status == 307:
            return "a call was redirected: another master leads"
        if result.status in (400, 403) and any(text in result.message for text in _SUBSCRIPTION_IS_GONE):
            return f"a call was refused: {result.message}"
    return None
