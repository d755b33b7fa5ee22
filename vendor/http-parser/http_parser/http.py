"""`HttpParser`: feed it the bytes of one HTTP response, ask it what has arrived so far.

pymesos treats a parser that has an ``errno`` as the pure-Python one, and reads ``errstr`` when ``errno`` is set.
"""

from __future__ import annotations

import h11

BAD_RESPONSE = 1  # the value of `errno` after bytes that are no HTTP response


class HttpParser:
    """An incremental parser of one HTTP/1.x response, with http-parser's method names."""

    def __init__(self) -> None:
        self.errno = 0  # 0, or BAD_RESPONSE
        self.errstr = ""  # what h11 said of the bad bytes
        self._connection = h11.Connection(h11.CLIENT)
        self._connection.send(h11.Request(method="POST", target="/", headers=[("Host", "mesos")]))
        self._connection.send(h11.EndOfMessage())
        self._response: h11.Response | None = None
        self._body = bytearray()
        self._complete = False

    def execute(self, data: bytes, length: int) -> int:
        """Parse ``data[:length]``; returns ``length``, or 0 with ``errno`` set when the bytes are no HTTP response."""
        try:
            self._connection.receive_data(data[:length])
            self._drain()
        except h11.RemoteProtocolError as error:
            self.errno, self.errstr = BAD_RESPONSE, str(error)
            return 0
        return length

    def _drain(self) -> None:
        while not self._complete:
            event = self._connection.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return
            if isinstance(event, h11.Response):
                self._response = event
            elif isinstance(event, h11.Data):
                self._body += event.data
            elif isinstance(event, h11.EndOfMessage):
                self._complete = True

    def is_headers_complete(self) -> bool:
        """True once the status line and all headers have arrived."""
        return self._response is not None

    def get_status_code(self) -> int:
        """The response's status code; 0 before it has arrived."""
        return self._response.status_code if self._response else 0

    def get_headers(self) -> dict[str, str]:
        """The response's headers; of a repeated one the last."""
        if self._response is None:
            return {}
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self._response.headers.raw_items()}

    def is_chunked(self) -> bool:
        """True when the body comes in chunks of unknown total length."""
        return "chunked" in {name.lower(): value.lower() for name, value in self.get_headers().items()}.get(
            "transfer-encoding", ""
        )

    def is_partial_body(self) -> bool:
        """True when body bytes wait to be taken by `recv_body`."""
        return bool(self._body)

    def recv_body(self) -> bytes:
        """Take the body bytes that have arrived since the last call."""
        body, self._body = bytes(self._body), bytearray()
        return body

    def is_message_complete(self) -> bool:
        """True once the whole response has arrived."""
        return self._complete
