"""A master that only listens: it sends a file of events to whoever subscribes, takes every call, and counts acknowledgements.

A process of its own, so that the scheduler under measurement has its interpreter for itself: `python -m
benchmarks.standin_master FILE COUNT`. It prints its port, and when COUNT updates are acknowledged how many seconds that took
from the moment at which the events were sent.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

_STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMesos-Stream-Id: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_TAKEN = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


class Listener(asyncio.Protocol):
    """One connection."""

    def __init__(self, events: bytes, expected: int, done: asyncio.Future[float], counter: list[float]) -> None:
        self._events = events
        self._expected = expected
        self._done = done
        self._counter = counter  # [acknowledged, when the events were sent], of all connections together
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        answers = []
        while (request := self._take_request()) is not None:
            answers.append(self._answer(request))
        self._transport.write(b"".join(answers))
        if self._counter[0] >= self._expected and not self._done.done():
            self._done.set_result(time.monotonic() - self._counter[1])

    def _take_request(self) -> bytes | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = bytes(self._buffer[:end]).lower()
        length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
        if len(self._buffer) < end + 4 + length:
            return None
        body = bytes(self._buffer[end + 4 : end + 4 + length])
        del self._buffer[: end + 4 + length]
        return body

    def _answer(self, body: bytes) -> bytes:
        if b'"ACKNOWLEDGE"' in body:
            self._counter[0] += 1
        elif b'"SUBSCRIBE"' in body:
            self._counter[1] = time.monotonic()
            return _STREAM + b"%x\r\n%b\r\n" % (len(self._events), self._events)
        return _TAKEN


async def serve(events: bytes, expected: int) -> float:
    """Seconds until everything was acknowledged."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[float] = loop.create_future()
    counter = [0.0, 0.0]
    server = await loop.create_server(lambda: Listener(events, expected, done, counter), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    return await done


if __name__ == "__main__":
    print(asyncio.run(serve(Path(sys.argv[1]).read_bytes(), int(sys.argv[2]))), flush=True)
