"""A limit on the size of bodies, kept before anything parses them, with and without Content-Length."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import to_response
from swath.domain.errors import TooLargeError


class BodyLimit:
    """ASGI middleware that answers 413 as soon as a body is known to be larger than `limit` bytes, and reads no further."""

    def __init__(self, app: ASGIApp, *, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdecimal() or int(declared) > self._limit:
            await self._refuse(scope, receive, send)
            return
        counted = _Counted(receive, send, self._limit)
        await self._app(scope, counted.receive, counted.send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        counted = _Counted(receive, send, -1)
        await to_response(too_large(self._limit), scope)(scope, receive, counted.send)


class _Counted:
    """`receive` and `send` of one request, counting the body."""

    def __init__(self, receive: Receive, send: Send, limit: int) -> None:
        self._receive = receive
        self._send = send
        self._limit = limit
        self._left = limit

    async def receive(self) -> Message:
        """The next piece of the request; raises TooLargeError, which the application answers, at the first byte too many."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise too_large(self._limit)
        return message

    async def send(self, message: Message) -> None:
        """Send on; what is left of a body that is too large is not read, so nothing can follow it on this connection."""
        if message["type"] == "http.response.start" and self._left < 0:
            MutableHeaders(raw=message["headers"])["connection"] = "close"
        await self._send(message)


def too_large(limit: int) -> TooLargeError:
    """The error of a body beyond `limit` bytes."""
    return TooLargeError(f"the body is larger than the {limit} bytes that are taken")
