"""The way to an engine's socket: a server of the test's own says what engines say, and what they should not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.runtimes.transport import Output, Reader, Reply, Transport

PING = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"


CLOSE, SILENCE = b"close", b"silence"  # instead of a piece of an answer


class Server:
    """Answers each request with the pieces that it was given, on one connection after another."""

    def __init__(self, directory: Path, pieces: Sequence[bytes]) -> None:
        self.path = str(directory / "s")
        self.heard: list[bytes] = []
        self.connections = 0
        self.has_closed = threading.Event()
        self._pieces = pieces
        self._ended = threading.Event()
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(self.path)
        self._server.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self.connections += 1
                with client:
                    self._answer(client)
                self.has_closed.set()

    def _answer(self, client: socket.socket) -> None:
        while heard := client.recv(65536):
            self.heard.append(heard)
            for piece in self._pieces:
                if piece == SILENCE:
                    self._ended.wait(10)
                if piece in (SILENCE, CLOSE):
                    return
                client.sendall(piece)

    def close(self) -> None:
        """Whoever is connected is hung up on first."""
        self._ended.set()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(5)


Serve = Callable[..., tuple[Server, Transport]]


@pytest.fixture
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Starts a server, and gives a way to it."""
    closed: list[Callable[[], None]] = []

    def start(*pieces: bytes) -> tuple[Server, Transport]:
        server = Server(tmp_path_factory.mktemp("s"), pieces)
        transport = Transport(server.path)
        closed.extend([transport.close, server.close])
        return server, transport

    yield start
    for close in closed:
        close()


def ask(transport: Transport, timeout_s: float = 5.0) -> Reply:
    """A call as any."""
    return transport.ask("GET", "/_ping", headers={}, timeout_s=timeout_s)


def test_calls_share_a_connection(serve: Serve) -> None:
    """The second call finds the first one's."""
    server, transport = serve(PING)
    assert [bytes(ask(transport).body) for _ in range(2)] == [b"OK", b"OK"]
    assert server.connections == 1


def test_a_connection_that_the_engine_has_closed_meanwhile_is_not_used_again(serve: Serve) -> None:
    """A new one is made, and no call fails."""
    server, transport = serve(PING, CLOSE)
    for _ in range(3):
        assert ask(transport).status == 200
        assert server.has_closed.wait(5)
        server.has_closed.clear()
    assert server.connections == 3


def test_a_connection_that_the_engine_is_going_to_close_is_not_kept(serve: Serve) -> None:
    """It says so in its answer."""
    server, transport = serve(PING.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert not ask(transport).is_kept
    ask(transport)
    assert server.connections == 2


def test_what_is_kept_is_closed_with_the_last_who_could_use_it(serve: Serve) -> None:
    """An engine that was looked at for once leaves no connection."""
    server, _ = serve(PING)
    ask(Transport(server.path))
    assert server.has_closed.wait(5)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 20, 1000])
def test_a_reply_is_the_same_however_it_is_cut(size: int) -> None:
    """Its reason, its headers, and a body in chunks."""
    said = b"HTTP/1.1 404 Not Found\r\nApi-Version: 1.41\r\nTransfer-Encoding: chunked\r\n\r\n"
    said += b'3\r\n{"a\r\n4\r\n": 1\r\n1\r\n}\r\n0\r\n\r\n'
    reader = Reader()
    for start in range(0, len(said), size):
        reader.feed(said[start : start + size])
    reply = reader.reply
    assert (reply.status, reply.reason, bytes(reply.body)) == (404, "Not Found", b'{"a": 1}')
    assert reply.headers["Api-Version"] == "1.41"
    assert reply.is_complete


def test_an_answer_without_a_body_ends_at_once(serve: Serve) -> None:
    """204 is what a start and a removal are answered with."""
    _, transport = serve(b"HTTP/1.1 204 No Content\r\n\r\n")
    reply = transport.ask("POST", "/containers/x/start", headers={}, timeout_s=5.0)
    assert (reply.status, bytes(reply.body), reply.is_kept) == (204, b"", True)


@pytest.mark.parametrize("said", [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", b"HTTP/1.1 200"])
def test_an_answer_that_is_cut_off_is_an_error(serve: Serve, said: bytes) -> None:
    """Half of an answer is none."""
    _, transport = serve(said, CLOSE)
    with pytest.raises(ConnectionResetError):
        ask(transport)


def test_silence_is_an_error_after_its_time(serve: Serve) -> None:
    """An engine that hangs holds nobody for longer than he has said."""
    _, transport = serve(SILENCE)
    with pytest.raises(TimeoutError):
        ask(transport, timeout_s=0.1)


def test_what_is_no_http_is_an_error(serve: Serve) -> None:
    """It is the engine's, and not a failure of ours."""
    _, transport = serve(b"SSH-2.0-OpenSSH_9.2\r\n")
    with pytest.raises(ConnectionError, match="no HTTP"):
        ask(transport)


def test_a_call_says_how_long_its_body_is(serve: Serve) -> None:
    """The engine would wait for more."""
    server, transport = serve(PING)
    transport.ask("POST", "/containers/create", headers={"Content-Type": "application/json"}, body=b"{}", timeout_s=5.0)
    head, _, body = server.heard[0].partition(b"\r\n\r\n")
    assert body == b"{}"
    assert {b"Content-Length: 2", b"Content-Type: application/json"} <= set(head.split(b"\r\n"))


def test_a_refusal_to_attach_is_told(serve: Serve) -> None:
    """By the engine's own status."""
    _, transport = serve(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}")
    reply = transport.attach("/containers/x/attach", 5.0)
    assert isinstance(reply, Reply)
    assert reply.status == 404


def test_what_comes_right_behind_the_head_belongs_to_the_stream(serve: Serve) -> None:
    """A container that writes at once loses nothing, and its end is the stream's."""
    head = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    frames = to_frame(1, b"out") + to_frame(2, b"err")
    _, transport = serve(head + frames[:5], frames[5:], CLOSE)
    output = transport.attach("/containers/x/attach", 5.0)
    assert isinstance(output, Output)
    with closing(output):
        assert list(output) == [(b"out", None), (None, b"err")]


def to_frame(stream: int, data: bytes) -> bytes:
    """As the engine packs what a container writes."""
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4) + data


@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40)), max_size=8),
    st.lists(st.integers(min_value=1, max_value=30), min_size=1, max_size=8),
)
def test_output_is_the_same_however_it_is_cut(frames: list[tuple[int, bytes]], sizes: list[int]) -> None:
    """Each stream's bytes, in their order, whatever a read returns."""
    packed = b"".join(to_frame(stream, data) for stream, data in frames)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(packed)
        ours.shutdown(socket.SHUT_WR)
        output = Output(_Cut(theirs, sizes), b"")  # type: ignore[arg-type]  # reads as a socket does
        pairs = list(output)
    for place, stream in enumerate((1, 2)):
        told = b"".join(pair[place] or b"" for pair in pairs)
        assert told == b"".join(data for number, data in frames if number == stream)


class _Cut:
    """A socket whose reads are as long as it is told."""

    def __init__(self, connection: socket.socket, sizes: list[int]) -> None:
        self._connection, self._sizes, self._reads = connection, sizes, 0

    def recv(self, most: int) -> bytes:
        self._reads += 1
        return self._connection.recv(min(most, self._sizes[self._reads % len(self._sizes)]))
