"""The scheduler's driver: pymesos' interface over a connection that survives (MESOS.md part 1 M8 to M14, part 2)."""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from typing import Any

from swath.domain.errors import WireError
from swath.domain.strict_json import read_strictly
from swath.wire.backoff import FIRST_S, Backoff
from swath.wire.calls import Message, make_id, make_subscribe, with_framework_id
from swath.wire.channel import CALL_TIMEOUT_S, CallChannel, CallResult, Outcome
from swath.wire.endpoints import Credential, Endpoint, TlsOptions, connect
from swath.wire.masters import make_masters
from swath.wire.observer import Observer, Unobserved
from swath.wire.pymesos_calls import PymesosCalls
from swath.wire.pymesos_drivers import MesosSchedulerDriver
from swath.wire.subscriber import Loss, Subscriber

logger = logging.getLogger(__name__)

PATH = "/api/v1/scheduler"
OPERATOR_PATH = "/api/v1"
MISSED_HEARTBEATS = 5  # Mesos' own advice, in scheduler-http-api.md
_HEARTBEAT_S = 15.0  # until SUBSCRIBED announces another interval
_LONGEST_HEARTBEAT_S = 3600.0  # an interval beyond this would be no watch


class SchedulerDriver(PymesosCalls, MesosSchedulerDriver):  # type: ignore[misc]  # pymesos has no types
    """Keeps the framework subscribed and sends its calls; thread-safe.

    `on_event` gets every event as the dict that Mesos sent, in order, on the reader's thread, plus
    `{"type": "DISCONNECTED", "reason": ...}` when a subscription ends or is refused. It must not block: put the event into
    a queue. What it raises is logged. `stop` disconnects and never tears down (M4).
    """

    stream_id: str | None  # pymesos' property; None while calls are NOT_CONNECTED

    def __init__(
        self,
        *,
        on_event: Callable[[Message], None],
        framework_info: Mapping[str, Any],
        masters: str,
        credential: Credential | None = None,
        tls: TlsOptions | None = None,
        suppressed: Sequence[str] = (),
        observer: Observer | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
        first_backoff_s: float = FIRST_S,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random.random,
        may_subscribe: Callable[[], bool] = lambda: True,
    ) -> None:
        """`timeout_s` bounds connecting and each answer; raises InvalidInputError for bad masters, OSError for bad TLS files.

        `may_subscribe` is asked before each SUBSCRIBE, on the reader's thread: the newest SUBSCRIBE wins (surprise 33), so
        one that leads no more must send none.
        `clock` in seconds and `random` in [0, 1) are seams for tests.
        """
        super().__init__(None, dict(framework_info), masters, implicit_acknowledgements=False, failover=True)
        self._framework: Message = dict(framework_info)
        self.suppressed = tuple(suppressed)  # roles that the next SUBSCRIBE suppresses
        self._consume = on_event
        self._may_subscribe = may_subscribe
        self._observer = observer or Unobserved()
        self.heartbeat_interval_s = _HEARTBEAT_S  # as the last SUBSCRIBED announced it
        self._timeout_s = timeout_s
        self._headers = {"Authorization": credential.to_header()} if credential else {}
        self._tls_options = tls
        self._tls = tls.make_context() if tls else None
        self._channel = CallChannel(PATH, tls=self._tls, timeout_s=timeout_s, on_gone=self._on_gone)
        self._endpoint: Endpoint | None = None
        self._opened_with: str | None = None  # the stream id of a stream whose SUBSCRIBED has not come yet
        self._subscriber = Subscriber(
            path=PATH,
            masters=make_masters(masters, prefer_hostname=tls is not None and tls.verify_hostname),
            handler=self,
            headers=self._headers,
            tls=self._tls,
            timeout_s=timeout_s,
            backoff=Backoff(first_s=first_backoff_s, random=random),
            name="swath scheduler stream",
            clock=clock,
        )

    # Life

    def start(self) -> None:
        """Begin to subscribe, for as long as it takes; once in a driver's life."""
        self._started = True
        self._subscriber.start()

    def stop(self, failover: bool = True) -> None:
        """Disconnect; tasks run on until the failover time-out. pymesos' `failover=False` would tear down and is ignored."""
        self._started = False
        self._subscriber.stop()
        self._set_disconnected()

    def abort(self) -> None:
        """`stop`, by pymesos' other name."""
        self.stop()

    def join(self, timeout_s: float | None = None) -> None:
        """Wait for the reader's end after `stop`."""
        self._subscriber.join(timeout_s)

    def run(self) -> None:
        """`start` and `join`."""
        self.start()
        self.join()

    def resubscribe(self, reason: str = "asked to subscribe again") -> None:
        """End the stream, if any, and subscribe at once, as after `set_framework_id`."""
        self._subscriber.drop(reason)
        self._subscriber.hurry()

    @property
    def last_heard_s(self) -> float | None:
        """Seconds since the master's last byte on the open stream; None while there is none."""
        return self._subscriber.silence_s

    # What the next SUBSCRIBE says

    @property
    def framework(self) -> Message:
        """FrameworkInfo as given, with the id as far as it is known; pymesos' adds GPU_RESOURCES (M33)."""
        return dict(self._framework)

    def set_framework_id(self, framework_id: str | None) -> None:
        """The id of the next SUBSCRIBE; None registers anew."""
        info = {key: value for key, value in self._framework.items() if key != "id"}
        self._framework = info if framework_id is None else {**info, "id": make_id(framework_id)}

    # Calls

    def call(self, message: Message) -> CallResult:
        """Send one call, complete with the framework id, and wait for its answer (at most the time-out)."""
        return self.calls([message])[0]

    def calls(self, messages: Sequence[Message]) -> list[CallResult]:
        """Send calls in order, pipelined; a result for each, in the same order."""
        framework_id = self.framework_id
        if framework_id is None or not self.connected:
            unsent = CallResult(outcome=Outcome.NOT_CONNECTED, message="the framework is not subscribed")
            results = [unsent] * len(messages)
        else:
            results = self._channel.exchange([with_framework_id(message, framework_id) for message in messages])
        for message, result in zip(messages, results, strict=True):
            self._report(self._observer.on_call, message["type"], result.outcome, result.seconds)
        return results

    def query(self, message: Message) -> tuple[CallResult, Message]:
        """Ask the operator API of the master we are subscribed to, as with `{"type": "GET_AGENTS"}`; the answer or {}.

        What is no answer (a proxy's page, half of one) is FAILED; nothing is raised.
        """
        endpoint = self._endpoint
        if endpoint is None:
            return CallResult(outcome=Outcome.NOT_CONNECTED, message="the framework is not subscribed"), {}
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Connection": "close"}
        try:
            connection = connect(endpoint, self._tls, self._timeout_s)
            try:
                connection.request("POST", OPERATOR_PATH, json.dumps(message).encode(), headers | self._headers)
                response = connection.getresponse()
                body = response.read()
                if response.status != 200:
                    text = body.decode("utf-8", "replace")[:1000]
                    return CallResult(outcome=Outcome.FAILED, status=response.status, message=text), {}
                return CallResult(outcome=Outcome.SENT, status=200), _to_message(body) if body else {}
            finally:
                connection.close()
        except (OSError, HTTPException, ValueError) as error:
            return CallResult(outcome=Outcome.FAILED, message=f"{type(error).__name__}: {error}"), {}

    # The stream, on the reader's thread

    def make_subscribe(self) -> Message:
        """SUBSCRIBE with the present framework id and suppressed roles; raises WireError where there must be none."""
        if not self._may_subscribe():
            raise WireError("this scheduler does not lead (any more): it does not subscribe")
        return make_subscribe(self._framework, self.suppressed)

    def on_open(self, endpoint: Endpoint, stream_id: str | None) -> None:
        """Calls wait for SUBSCRIBED, which brings the framework id and the interval of heartbeats."""
        self._endpoint, self._master, self._opened_with = endpoint, str(endpoint), stream_id or ""
        self._subscriber.watch(MISSED_HEARTBEATS * _HEARTBEAT_S)

    def on_record(self, event: Message) -> None:
        """Take what concerns the driver, then pass the event on."""
        kind = event.get("type")
        if kind == "SUBSCRIBED":
            if not self._take_subscribed(event):
                return
        elif not self.connected and kind != "ERROR":
            self._subscriber.drop(f"the stream began with {kind} instead of SUBSCRIBED: no call could be made on it")
            return
        elif kind == "ERROR":
            # The master ends the subscription (M5). By the longest wait, whoever decides can stop the driver first.
            self._subscriber.slow_down()
            logger.error("Mesos: %s", event.get("error"))
        self._consume(event)

    def _take_subscribed(self, event: Message) -> bool:
        """False for one that cannot be used: without it the stream is worth nothing, and the next one may be better."""
        framework_id = find_framework_id(event)
        if framework_id is None:
            self._subscriber.drop("a SUBSCRIBED event without a framework id")
            logger.error("a SUBSCRIBED without a framework id: %r", event)
            return False
        self._on_subscribed(framework_id, find_heartbeat_s(event) or _HEARTBEAT_S)
        return True

    def _on_subscribed(self, framework_id: str, interval_s: float) -> None:
        self.set_framework_id(framework_id)
        self.heartbeat_interval_s = interval_s
        self._subscriber.watch(MISSED_HEARTBEATS * interval_s)
        if self._endpoint is not None and self._opened_with is not None:
            headers = {"Content-Type": "application/json", "Accept": "application/json"}
            self._channel.open(self._endpoint, headers | {"Mesos-Stream-Id": self._opened_with} | self._headers)
            self.stream_id = self._opened_with  # `connected` from here on
            if not self._started:  # `stop` came in between
                self._set_disconnected()
        self._report(self._observer.on_subscribed)

    def on_loss(self, loss: Loss) -> float | None:
        """Offers are gone, calls are NOT_CONNECTED; refusals are passed on as well, for nobody else would see them (M12)."""
        was_open = loss.lived_s > 0
        self._set_disconnected()
        self._reload_certificate()
        self._report(self._observer.on_lost, loss.reason)
        if was_open or loss.is_refusal:
            self._consume({"type": "DISCONNECTED", "reason": loss.reason})
        return None

    def _reload_certificate(self) -> None:
        """The loss may be that of a certificate that has run out, and another lies there by now."""
        if self._tls_options is not None and self._tls is not None:
            try:
                self._tls_options.reload(self._tls)
            except OSError as error:  # perhaps it is just being written: after the next loss it is read again
                logger.error("our certificate cannot be read: %s", error)

    def _set_disconnected(self) -> None:
        self.stream_id = None
        self._endpoint, self._opened_with = None, None
        self._channel.close()

    def _on_gone(self, reason: str) -> None:
        self._subscriber.drop(reason)

    def _report(self, report: Callable[..., None], *facts: object) -> None:
        """Tell the observer; what it thinks of it is no concern of the driver's."""
        try:
            report(*facts)
        except Exception:
            logger.exception("the observer of the driver failed")


def find_framework_id(event: Message) -> str | None:
    """The id that a SUBSCRIBED gives; None where there is none."""
    try:
        value = event["subscribed"]["framework_id"]["value"]
    except (KeyError, TypeError):
        return None
    return value if isinstance(value, str) and value else None


def find_heartbeat_s(event: Message) -> float | None:
    """The interval that a SUBSCRIBED announces, in seconds; None where there is none that a clock could keep."""
    value = event["subscribed"].get("heartbeat_interval_seconds")
    return float(value) if isinstance(value, int | float) and 0 < value <= _LONGEST_HEARTBEAT_S else None


def _to_message(body: bytes) -> Message:
    """The object in an answer's body; raises ValueError for anything else."""
    message = read_strictly(body)
    if not isinstance(message, dict):
        raise ValueError(f"the answer is no object: {body[:100]!r}")
    return message
