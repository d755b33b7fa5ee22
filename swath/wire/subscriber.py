"""Keeps one event stream open: SUBSCRIBE, read, and after every kind of loss SUBSCRIBE again (M8 to M12).

One thread does all of it. Nothing ends that thread but `stop()`: whatever goes wrong becomes a `Loss` with its reason.
"""

from __future__ import annotations

import json
import logging
import math
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import Protocol

from swath.domain.errors import WireError
from swath.wire.backoff import Backoff
from swath.wire.calls import Message
from swath.wire.endpoints import Endpoint, connect, find_redirect_target, wake_socket
from swath.wire.masters import Masters
from swath.wire.recordio import Decoder

logger = logging.getLogger(__name__)

_READ_SIZE = 256 * 1024  # bytes taken from the socket at once
_LASTING_S = 1.0  # a stream that lived this long was a good one: the next loss begins with the shortest back-off
_MOST_REDIRECTS = 5  # in a row; more are a loop
_REFUSALS = frozenset({401, 403})
# A server that refuses a certificate of TLS 1.3 does so after the handshake, and the reset of its socket may overtake it.
_CUT_SHORT = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
_MAYBE_REFUSED = " (over TLS: perhaps our certificate is refused, or one is demanded and none was given)"
_HEADERS = {"Content-Type": "application/json", "Accept": "application/json", "Connection": "close"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """Why there is no stream (any more)."""

    reason: str
    status: int | None = None  # of the answer to SUBSCRIBE, when it was not 200
    redirect: Endpoint | None = None  # where a 307 points to
    lived_s: float = 0.0  # how long the stream was open; 0 when it never was

    @property
    def is_refusal(self) -> bool:
        """True for a 4xx: our own mistake or missing rights, which trying again does not mend (M12)."""
        return self.status is not None and 400 <= self.status < 500


class StreamHandler(Protocol):
    """What a driver does with a stream. All four run on the subscriber's thread."""

    def make_subscribe(self) -> Message:
        """The SUBSCRIBE of this attempt; a WireError says why there must be none."""

    def on_open(self, endpoint: Endpoint, stream_id: str | None) -> None:
        """SUBSCRIBE was answered with 200."""

    def on_record(self, event: Message) -> None:
        """One event; what it raises is logged."""

    def on_loss(self, loss: Loss) -> float | None:
        """A stream has ended or an attempt has failed; returns the longest acceptable wait in seconds, None for any."""


class Subscriber:
    """The thread that reads the stream."""

    def __init__(
        self,
        *,
        path: str,
        masters: Masters,
        handler: StreamHandler,
        headers: dict[str, str],
        tls: ssl.SSLContext | None,
        timeout_s: float,
        backoff: Backoff,
        name: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._masters = masters
        self._handler = handler
        self._headers = _HEADERS | headers
        self._tls = tls
        self._timeout_s = timeout_s  # of connecting, and of the answer to SUBSCRIBE
        self._backoff = backoff
        self._clock = clock
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._wakeup = threading.Event()  # set: do not wait any longer
        self._stopping = threading.Event()
        self._socket: socket.socket | None = None  # of the open stream
        self._endpoint: Endpoint | None = None  # of the open stream
        self._target: Endpoint | None = None  # where a redirect led
        self._redirects = 0  # in a row
        self._dropped = ""  # why `drop` was called
        self._slow = False
        self._heard_at: float | None = None  # when the open stream brought its last byte

    def start(self) -> None:
        """Begin to subscribe; raises RuntimeError the second time."""
        self._masters.start(self._on_new_leader)
        self._thread.start()

    def stop(self) -> None:
        """Disconnect and end the thread, from any thread; `join` waits for it. Nothing is said to Mesos (M4)."""
        self._stopping.set()
        self._wakeup.set()
        wake_socket(self._socket)
        self._masters.stop()

    def join(self, timeout_s: float | None = None) -> None:
        """Wait until the thread has ended; returns at once on that thread itself."""
        if self._thread.ident is not None and threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)

    @property
    def is_alive(self) -> bool:
        """True between `start` and the thread's end."""
        return self._thread.is_alive()

    @property
    def silence_s(self) -> float | None:
        """Seconds since the last byte of the open stream, handled or not; None while none is open."""
        heard_at = self._heard_at
        return None if heard_at is None else max(0.0, self._clock() - heard_at)

    def drop(self, reason: str) -> None:
        """End the open stream, if any, and subscribe again."""
        self._dropped = reason
        wake_socket(self._socket)

    def hurry(self) -> None:
        """Cut the present wait short, or that behind the attempt under way."""
        self._wakeup.set()

    def slow_down(self) -> None:
        """The next wait is the longest one, unless somebody hurries from now on: an ERROR must not be fought (M5)."""
        self._slow = True
        self._wakeup.clear()

    def watch(self, silence_s: float | None) -> None:
        """Drop the stream after `silence_s` seconds without a byte (M9); None: wait for ever. On the thread itself only."""
        if self._socket is not None:
            self._socket.settimeout(silence_s)

    def _on_new_leader(self, leader: Endpoint) -> None:
        self._target = None
        if self._endpoint == leader:
            return
        if self._endpoint is not None:
            self.drop(f"{leader} leads now")
        self.hurry()

    def _run(self) -> None:
        while not self._stopping.is_set():
            loss = self._attempt()
            if self._stopping.is_set():
                return
            logger.warning("no stream of %s: %s", self._path, loss.reason)
            longest_s = self._tell(loss)
            self._wait(min(self._choose_delay_s(loss), math.inf if longest_s is None else longest_s))

    def _tell(self, loss: Loss) -> float | None:
        try:
            return self._handler.on_loss(loss)
        except BaseException:  # as in `_deliver`
            logger.exception("the handler of a lost stream failed")
            return None

    def _wait(self, delay_s: float) -> None:
        if delay_s > 0 and not self._stopping.is_set():
            self._wakeup.wait(delay_s)
        self._wakeup.clear()

    def _choose_delay_s(self, loss: Loss) -> float:
        slow, self._slow = self._slow, False
        if loss.redirect is not None and self._redirects < _MOST_REDIRECTS:
            self._redirects += 1
            self._target = loss.redirect
            return 0.0
        self._redirects, self._target = 0, None
        if slow or loss.status in _REFUSALS:
            return self._backoff.draw_longest_s()
        if loss.lived_s >= _LASTING_S:
            self._backoff.reset()
        return self._backoff.draw_s()

    def _attempt(self) -> Loss:
        """One SUBSCRIBE and, if it is answered with 200, its whole stream; raises nothing."""
        opened_at: float | None = None
        self._dropped = ""
        try:
            endpoint = self._target or self._masters.find()
            if endpoint is None:
                return Loss(reason="no master is known")
            response = self._subscribe(endpoint)
            with response:
                if response.status != 200:
                    return _to_loss(response, endpoint)
                opened_at = self._heard_at = self._clock()
                self._endpoint, self._redirects = endpoint, 0
                if not self._dropped:  # whoever hurried before wanted this stream; its loss is another matter
                    self._wakeup.clear()
                self._handler.on_open(endpoint, response.getheader("Mesos-Stream-Id"))
                reason = self._read(response)
        except TimeoutError:
            reason = "nothing was heard for too long"
        except IncompleteRead:  # no 0-chunk: the process died (surprise 7)
            reason = "the stream broke off"
        except (OSError, HTTPException, WireError, UnicodeError) as error:  # UnicodeError: a host name that is none
            reason = f"{type(error).__name__}: {error}"
            if self._tls is not None and opened_at is None and isinstance(error, _CUT_SHORT):
                reason += _MAYBE_REFUSED
        except Exception as error:
            logger.exception("reading the stream of %s failed", self._path)
            reason = f"{type(error).__name__}: {error}"
        finally:
            self._close()
        lived_s = 0.0 if opened_at is None else max(self._clock() - opened_at, 1e-9)
        return Loss(reason=self._dropped or reason, lived_s=lived_s)

    def _subscribe(self, endpoint: Endpoint) -> HTTPResponse:
        """Raises OSError, HTTPException. The response keeps the socket when http.client closes its connection."""
        connection = connect(endpoint, self._tls, self._timeout_s)
        self._socket = connection.sock
        if self._stopping.is_set():
            raise ConnectionAbortedError("stopped")
        body = json.dumps(self._handler.make_subscribe()).encode()  # last: connecting may have taken its time
        connection.request("POST", self._path, body=body, headers=self._headers)
        return connection.getresponse()

    def _read(self, response: HTTPResponse) -> str:
        """Read until the stream ends; returns how it did, or raises."""
        decoder = Decoder()
        while data := response.read1(_READ_SIZE):
            self._heard_at = self._clock()
            for record in decoder.feed(data):
                self._deliver(record)
            if self._stopping.is_set() or self._dropped:
                return "stopped"
        return "the stream was ended by the other side" + ("" if decoder.is_empty else " in the middle of a record")

    def _deliver(self, record: bytes) -> None:
        if self._stopping.is_set():
            return
        try:
            event = _find_event(record)
            if event is None:
                logger.error("this is no event: %r", record[:1000])
            else:
                self._handler.on_record(event)
        except BaseException:
            # One bad record or one bad callback costs itself, never the stream (MESOS.md part 2, item 1). SystemExit, too:
            # off the main thread it would end the reader and nothing else, without a word.
            logger.exception("an event was not handled: %r", record[:1000])

    def _close(self) -> None:
        sock, self._socket, self._endpoint, self._heard_at = self._socket, None, None, None
        if sock is not None:
            wake_socket(sock)
            with suppress(OSError):
                sock.close()


def _find_event(record: bytes) -> Message | None:
    """The JSON object in a record; None where there is none."""
    try:
        event = json.loads(record)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def _to_loss(response: HTTPResponse, endpoint: Endpoint) -> Loss:
    text = response.read(1000).decode("utf-8", "replace")
    reason = f"{endpoint} answered SUBSCRIBE with {response.status} {response.reason}: {text}".rstrip(": ")
    redirect = find_redirect_target(response.getheader("Location")) if response.status == 307 else None
    loss = Loss(reason=reason, status=response.status, redirect=redirect)
    if loss.is_refusal:
        logger.error("%s", reason)
    return loss
