"""HTTP to the engine's socket by the shortest way: connections that are kept, and a parser written in C.

A container takes a handful of calls, and the SDK's own way to make one (requests over urllib3 over http.client) is most of what
an executor does for it. What is sent and what is answered is the same.
"""

from __future__ import annotations

import select
import socket
import weakref
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

_CONNECTIONS = 100  # kept while nobody uses them
_PIECE = 64 * 1024  # bytes that are read at once
_FRAME_HEAD = 8  # bytes: the stream, three of nothing, the length
_STDOUT = 1


@dataclass(slots=True)
class Reply:
    """What the engine has answered."""

    status: int = 0
    reason: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    is_kept: bool = False  # the connection can serve again
    is_complete: bool = False


class Reader:
    """One reply, out of the pieces that it arrives in; what begins with `on_` is for the parser to call."""

    def __init__(self) -> None:
        self.reply = Reply()
        self._parser = HttpResponseParser(self)
        self.rest: bytes | None = None  # what came behind the head of a reply that turns the connection into a stream

    def feed(self, data: bytes) -> None:
        """Raises ConnectionError for what is no HTTP."""
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self.on_message_complete()
            self.rest = data[upgrade.args[0] :]
        except HttpParserError as error:
            raise ConnectionError(f"the engine's answer is no HTTP: {error}") from error

    def on_status(self, reason: bytes) -> None:
        self.reply.reason += reason.decode("latin-1")  # each piece's part of it, unlike headers

    def on_header(self, name: bytes, value: bytes) -> None:
        self.reply.headers[name.decode("latin-1")] = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        self.reply.body += data

    def on_message_complete(self) -> None:
        self.reply.status = self._parser.get_status_code()
        self.reply.is_kept = self._parser.should_keep_alive()
        self.reply.is_complete = True


class Output:
    """What a container writes, as pairs of stdout and stderr of which one is None; it ends with the connection."""

    def __init__(self, connection: socket.socket, begun: bytes) -> None:
        self._connection = connection
        self._buffer = bytearray(begun)
        self._stream, self._left = 0, 0  # of the frame under way

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> tuple[bytes | None, bytes | None]:
        while True:
            if self._left and self._buffer:
                return self._take()
            if not self._left and len(self._buffer) >= _FRAME_HEAD:
                self._stream, self._left = self._buffer[0], int.from_bytes(self._buffer[4:_FRAME_HEAD])
                del self._buffer[:_FRAME_HEAD]
                continue
            data = self._connection.recv(_PIECE)
            if not data:
                raise StopIteration
            self._buffer += data

    def close(self) -> None:
        """The engine stops telling."""
        self._connection.close()

    def _take(self) -> tuple[bytes | None, bytes | None]:
        data = bytes(self._buffer[: self._left])
        del self._buffer[: self._left]
        self._left -= len(data)
        return (data, None) if self._stream == _STDOUT else (None, data)


class Transport:
    """Connections to one socket; from any thread. Everything raises OSError where the engine does not answer."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._idle: deque[socket.socket] = deque(maxlen=_CONNECTIONS)
        self.close = weakref.finalize(self, _close_all, self._idle)  # also once nobody has it any more

    def ask(
        self, method: str, target: str, *, headers: dict[str, str], body: bytes = b"", timeout_s: float | None
    ) -> Reply:
        """One call and its answer; `timeout_s` is the longest silence, None for any."""
        connection = self._find()
        try:
            connection.settimeout(timeout_s)
            connection.sendall(_to_request(method, target, {"Connection": "keep-alive", **headers}, body))
            reply = _read(connection).reply
        except BaseException:
            connection.close()
            raise
        if reply.is_kept and len(self._idle) < _CONNECTIONS:
            self._idle.append(connection)
        else:
            connection.close()
        return reply

    def attach(self, target: str, timeout_s: float) -> Output | Reply:
        """The stream that a call's connection becomes; what the engine says where it does not."""
        connection = self._connect()
        try:
            connection.settimeout(timeout_s)
            connection.sendall(_to_request("POST", target, {"Connection": "Upgrade", "Upgrade": "tcp"}, b""))
            reader = _read(connection)
        except BaseException:
            connection.close()
            raise
        if reader.rest is None:
            connection.close()
            return reader.reply
        connection.settimeout(None)
        return Output(connection, reader.rest)

    def _find(self) -> socket.socket:
        """A connection that the engine has not closed meanwhile, or a new one."""
        for connection in self._take_idle():
            if _is_quiet(connection):
                return connection
            connection.close()
        return self._connect()

    def _take_idle(self) -> Iterator[socket.socket]:
        while True:
            try:
                yield self._idle.pop()
            except IndexError:
                return

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(self._path)
        except BaseException:
            connection.close()
            raise
        return connection


def _close_all(connections: deque[socket.socket]) -> None:
    while connections:
        connections.pop().close()


def _read(connection: socket.socket) -> Reader:
    reader = Reader()
    while not reader.reply.is_complete:
        data = connection.recv(_PIECE)
        if not data:
            raise ConnectionResetError("the engine has closed the connection")
        reader.feed(data)
    return reader


def _to_request(method: str, target: str, headers: dict[str, str], body: bytes) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: engine", *(f"{name}: {value}" for name, value in headers.items())]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _is_quiet(connection: socket.socket) -> bool:
    """False when something is to be read although no answer is due: the end of the connection."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return not poll.poll(0)
