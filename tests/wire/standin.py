"""A small real HTTP server that stands in for a master or an agent: recorded streams, and every way to break them."""

from __future__ import annotations

import json
import queue
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WITHIN_S = 5.0  # no test waits longer for anything

SUBSCRIBED = {
    "type": "SUBSCRIBED",
    "subscribed": {"framework_id": {"value": "f-1"}, "heartbeat_interval_seconds": 15.0},
}
HEARTBEAT = {"type": "HEARTBEAT"}

Behaviour = Callable[["Exchange"], None]


class Exchange(BaseHTTPRequestHandler):
    """One connection; a SUBSCRIBE gets the server's next behaviour, any other call its answer."""

    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        super().setup()
        self.server.connections.append(self.connection)

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        standin = self.server.standin
        headers = {key.lower(): value for key, value in self.headers.items()}
        if message["type"] == "SUBSCRIBE":
            self.close_connection = True
            standin.note(standin.subscribes, (headers, message))
            try:
                standin.next_behaviour()(self)
            except OSError:  # the driver went first
                return
        else:
            standin.note(standin.calls, (headers, message, self.client_address[1]))
            self.reply(*standin.answer(message))

    def reply(self, status: int, body: str = "", headers: dict[str, str] | None = None) -> None:
        data = body.encode()
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def open_stream(self, stream_id: str = "s-1") -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Mesos-Stream-Id", stream_id)
        self.end_headers()

    def write_chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def write_event(self, event: Any) -> None:
        self.write_chunk(to_record(event))

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    standin: StandIn

    def __init__(self, *args: Any) -> None:
        self.connections: list[socket.socket] = []
        super().__init__(*args)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Broken connections are what the tests are about."""


class Server6(Server):
    address_family = socket.AF_INET6


class StandIn:
    """Records what it is told; does with the n-th SUBSCRIBE what the n-th behaviour says (the last one for all others)."""

    def __init__(
        self, *behaviours: Behaviour, port: int = 0, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.behaviours = deque(behaviours)
        self.subscribes: list[tuple[dict[str, str], Any]] = []  # (headers, message)
        self.calls: list[tuple[dict[str, str], Any, int]] = []  # (headers, message, port of the client)
        self.answer: Callable[[Any], tuple[int, str]] = lambda message: (202, "")
        self.changed = threading.Condition()
        self.released = threading.Event()
        self.host = host
        self.server = (Server6 if ":" in host else Server)((host, port), Exchange)
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.server.standin = self
        self.port: int = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def next_behaviour(self) -> Behaviour:
        return self.behaviours.popleft() if len(self.behaviours) > 1 else self.behaviours[0]

    def note(self, notes: list[Any], item: Any) -> None:
        with self.changed:
            notes.append(item)
            self.changed.notify_all()

    def wait_until(self, met: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(met, WITHIN_S), "the driver did not do it in time"

    def messages(self) -> list[Any]:
        return [message for _, message, _ in self.calls]

    def break_connections(self) -> None:
        """What kill -9 does: every connection ends without a word."""
        for connection in self.server.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self.server.connections.clear()

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        self.break_connections()
        self.thread.join()


class Recorder:
    """An `on_event` that keeps what it gets."""

    def __init__(self) -> None:
        self.queue: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def __call__(self, event: Any) -> None:
        self.queue.put(event)

    def next(self) -> Any:
        return self.queue.get(timeout=WITHIN_S)

    def until(self, kind: str) -> Any:
        while True:
            event = self.next()
            if event["type"] == kind:
                return event


def to_record(event: Any) -> bytes:
    data = json.dumps(event).encode()
    return b"%d\n%b" % (len(data), data)


def hold(*events: Any) -> Behaviour:
    """Subscribe, say these events, and keep the stream open."""

    def behave(exchange: Exchange) -> None:
        exchange.open_stream()
        for event in events:
            exchange.write_event(event)
        exchange.server.standin.released.wait()

    return behave


def end(*events: Any) -> Behaviour:
    """Subscribe, say these events, and end the stream in order."""

    def behave(exchange: Exchange) -> None:
        exchange.open_stream()
        for event in events:
            exchange.write_event(event)
        exchange.wfile.write(b"0\r\n\r\n")

    return behave


def cut(*events: Any) -> Behaviour:
    """Subscribe, say these events and half of a chunk, and go."""

    def behave(exchange: Exchange) -> None:
        exchange.open_stream()
        for event in events:
            exchange.write_event(event)
        exchange.wfile.write(b"100\r\n255\n{")

    return behave


def answer(status: int, body: str = "", **headers: str) -> Behaviour:
    """No stream, but a status."""
    return lambda exchange: exchange.reply(status, body, headers)


def write(data: bytes) -> Behaviour:
    """These bytes instead of a response."""
    return lambda exchange: exchange.wfile.write(data) and None


def replay(raw: bytes) -> Behaviour:
    """A recorded response, byte by byte as it was, and hold."""

    def behave(exchange: Exchange) -> None:
        exchange.wfile.write(raw)
        exchange.server.standin.released.wait()

    return behave
