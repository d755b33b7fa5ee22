"""Requests exactly as they were recorded, over a socket, and what comes back as far as it is to be compared."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import Any, BinaryIO

Json = dict[str, Any]
Headers = list[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Response:
    """Header names in lower case. The body of a stream is its first chunk."""

    status: str
    headers: dict[str, str]
    body: bytes

    @property
    def is_stream(self) -> bool:
        return self.headers.get("transfer-encoding") == "chunked"

    def shape(self) -> Json:
        """What both sides must agree on, whatever the content is: dates, lengths and ids differ."""
        told = ("content-type", "content-encoding", "transfer-encoding", "allow")
        shape: Json = {name: self.headers[name] for name in told if name in self.headers}
        shape |= {"status": self.status, "stream id": "mesos-stream-id" in self.headers}
        if self.headers.get("content-type", "").startswith("text/plain"):
            shape["text"] = self.body.decode()
        return shape


def begin(
    port: int, method: str, path: str, headers: Headers, body: bytes, version: str = "1.1"
) -> tuple[socket.socket, Response]:
    """Headers in their order, with a Host of this machine and the length of this body. -> the socket, still open."""
    kept = [(name, value) for name, value in headers if name.lower() not in ("host", "content-length", "date")]
    if not any(name.lower() == "transfer-encoding" for name, _ in kept):
        kept.append(("Content-Length", str(len(body))))
    head = f"{method} {path} HTTP/{version}\r\nHost: 127.0.0.1:{port}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in kept)
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(head.encode() + b"\r\n" + body)
    with connection.makefile("rb") as file:
        return connection, read_response(file)


def send(port: int, method: str, path: str, headers: Headers, body: bytes, version: str = "1.1") -> Response:
    connection, response = begin(port, method, path, headers, body, version)
    connection.close()
    return response


def read_response(file: BinaryIO) -> Response:
    """From a socket or a recorded file. A "100 Continue", which Mesos never sends, is passed over."""
    status = file.readline().decode().strip()
    if status.startswith("HTTP/1.1 100"):
        file.readline()
        status = file.readline().decode().strip()
    headers: dict[str, str] = {}
    while (line := file.readline().decode().strip()) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("transfer-encoding") == "chunked":
        body = file.read(int(file.readline(), 16))
    else:
        body = file.read(int(headers.get("content-length", "0")))
    return Response(status=status, headers=headers, body=body)


def read_record(chunk: bytes) -> Json:
    """The one RecordIO record of a chunk."""
    length, _, record = chunk.partition(b"\n")
    assert int(length) == len(record)
    document: Json = json.loads(record)
    return document
