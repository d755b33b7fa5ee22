"""What stands for the scheduler's driver: its port's methods, over a connection that breaks in every way."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from local.messages import OpenStream, Respond
from swath.wire.backoff import Backoff
from swath.wire.calls import Message, make_id, make_subscribe, with_framework_id
from swath.wire.channel import CallResult, Outcome
from tests.simulation.messages import to_text
from tests.simulation.network import Wire
from tests.simulation.timeline import Planned

if TYPE_CHECKING:
    from tests.simulation.process import SchedulerProcess

CALL_TIMEOUT_S = 10.0
SILENCE_S = 75.0  # five missed heartbeats (M9)
DEPTH = 32  # calls in flight
LASTING_S = 1.0
_GONE = ("Framework is not subscribed", "Framework cannot be found", "stream ID")
_TIMED_OUT = "TimeoutError: timed out"
_SENT = CallResult(outcome=Outcome.SENT, status=202)


class Connection:
    """One stream of events from the master to one driver."""

    def __init__(self, driver: SimDriver) -> None:
        self.driver = driver
        self.world = driver.world
        self.stream = ""
        self.opened_us = self.world.timeline.now_us
        self.wire = Wire(self.world.timeline, driver.random)
        self.broken = False

    def send(self, event: Message) -> None:
        """The master writes an event."""
        mishaps, kind, text = self.world.mishaps, event["type"], to_text(event)
        if mishaps.strikes("event lost") and kind != "SUBSCRIBED":
            self.world.note(f"lost {kind} to {self.driver.process}")
            return
        late_s = self.driver.random.uniform(0.0, 8.0) if mishaps.strikes("event late") else 0.0
        for _ in range(2 if mishaps.strikes("event repeated") else 1):
            label = f"{_describe(event)} -> {self.driver.process}"
            self.wire.carry(label, lambda: self.driver.process.defer(lambda: self._deliver(text)), late_s=late_s)

    def _deliver(self, text: str) -> None:
        if not self.broken:
            event = json.loads(text)
            self.world.judge.on_event(self, event)
            self.driver.on_record(self, event)

    def finish(self) -> None:
        """The master ends the stream in order: after what it has written."""
        self.wire.carry("end of stream", lambda: self.close("the stream was ended by the other side"))

    def close(self, reason: str) -> None:
        """The stream breaks; the driver notices when it can."""
        self.driver.process.defer(lambda: self.driver.lose(self, reason))

    def abandon(self) -> None:
        """The driver's own side ends: the master hears of it, unless nothing passes any more."""
        if not self.broken:
            self.broken = True
            stream, silent = self.stream, self.wire.silent
            if not silent:
                self.world.timeline.after(0.001, f"hang up {stream}", lambda: self.world.master.hang_up(stream))


class SimDriver:
    """One subscription after the other, as `swath.wire.scheduler.SchedulerDriver` keeps them."""

    def __init__(
        self,
        process: SchedulerProcess,
        *,
        on_event: Callable[[Message], None],
        framework: Message,
        framework_id: str | None,
        suppressed: tuple[str, ...],
        may_subscribe: Callable[[], bool],
    ) -> None:
        self._may_subscribe = may_subscribe
        self.process = process
        self.world = process.world
        self.random: Random = self.world.random(f"driver {process}")
        self.suppressed = suppressed
        self.connection: Connection | None = None
        self.connected = False
        self.framework_id = framework_id
        self._framework = framework
        self._on_event = on_event
        self._backoff = Backoff(random=self.random.random)
        self._attempt: Planned | None = None
        self._watchdog: Planned | None = None
        self._stopped = False
        self._slow = False

    # Life

    def start(self) -> None:
        """Begin to subscribe."""
        self._plan_attempt(0.0)

    def stop(self) -> None:
        """Disconnect; nothing is said to Mesos (M4)."""
        self._stopped = True
        for planned in (self._attempt, self._watchdog):
            if planned is not None:
                planned.cancel()
        connection, self.connection, self.connected = self.connection, None, False
        if connection is not None:
            connection.abandon()

    def resubscribe(self, reason: str = "asked to subscribe again") -> None:
        """End the stream, if any, and subscribe at once."""
        if self.connection is not None:
            self.lose(self.connection, reason)
        if not self._stopped:
            self._plan_attempt(0.0)

    # The stream

    def _plan_attempt(self, delay_s: float) -> None:
        if self._attempt is not None:
            self._attempt.cancel()
        label = f"{self.process} subscribes"
        self._attempt = self.world.timeline.after(delay_s, label, lambda: self.process.defer(self._subscribe))

    def _subscribe(self) -> None:
        if self._stopped or self.connection is not None:
            return
        if not self._may_subscribe():
            self._retry(0.0)
            return
        connection = Connection(self)
        info = (
            dict(self._framework)
            if self.framework_id is None
            else {**self._framework, "id": make_id(self.framework_id)}
        )
        body = to_text(make_subscribe(info, self.suppressed)).encode()
        link = self.process.link
        self.world.timeline.after(
            link.draw_latency_s(), f"SUBSCRIBE of {self.process}", lambda: self._ask(connection, body)
        )

    def _ask(self, connection: Connection, body: bytes) -> None:
        if self._stopped or self.process.dead:
            return
        link = self.process.link
        if link.cut:
            self._retry(CALL_TIMEOUT_S if link.silent else 0.0)
            return
        answer = None if self.world.mishaps.strikes("refused 503") else self.world.master.call(body, connection)
        if not isinstance(answer, OpenStream):
            self._retry(0.0)
            return
        self.connection, connection.opened_us = connection, self.world.timeline.now_us
        self._watch(connection)

    def _retry(self, wait_s: float) -> None:
        self._plan_attempt(wait_s + self._backoff.draw_s())

    def _watch(self, connection: Connection) -> None:
        """Drop the stream when nothing is heard for too long."""
        if self._watchdog is not None:
            self._watchdog.cancel()
        label = f"{self.process} has heard nothing"
        self._watchdog = self.world.timeline.after(
            SILENCE_S,
            label,
            lambda: self.process.defer(lambda: self.lose(connection, "nothing was heard for too long")),
        )

    def on_record(self, connection: Connection, event: Message) -> None:
        """An event arrives."""
        if connection is not self.connection or self._stopped:
            return
        self._watch(connection)
        if event["type"] == "SUBSCRIBED":
            self.framework_id = event["subscribed"]["framework_id"]["value"]
            self.connected = True
        elif event["type"] == "ERROR":
            self._slow = True
        self._on_event(event)

    def lose(self, connection: Connection, reason: str) -> None:
        """The stream has ended."""
        if connection is not self.connection or self._stopped:
            return
        connection.abandon()
        self.connection, self.connected = None, False
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._on_event({"type": "DISCONNECTED", "reason": reason})
        if self.world.timeline.now_us - connection.opened_us >= LASTING_S * 1e6:
            self._backoff.reset()
        slow, self._slow = self._slow, False
        self._plan_attempt(self._backoff.draw_longest_s() if slow else self._backoff.draw_s())

    # Calls, from the scheduler's own thread

    def calls(self, messages: Sequence[Message]) -> list[CallResult]:
        """Send calls in order, pipelined; a result for each."""
        self.process.reach("before calls")
        connection, results, silence = self.connection, list[CallResult](), list[CallResult]()
        for start in range(0, len(messages), DEPTH):
            batch = messages[start : start + DEPTH]
            results += silence * len(batch) or self._exchange(batch)
            silence = silence or [result for result in results[-1:] if result.message == _TIMED_OUT]
        self.process.reach("after calls")
        reason = _find_loss(results) or (f"no call gets through: {_TIMED_OUT}" if silence else None)
        if reason is not None and connection is not None:
            self.lose(connection, reason)
        return results

    def _exchange(self, messages: Sequence[Message]) -> list[CallResult]:
        connection, framework_id = self.connection, self.framework_id
        if connection is None or not self.connected or framework_id is None:
            return [CallResult(outcome=Outcome.NOT_CONNECTED, message="there is no subscription")] * len(messages)
        exchange = Exchange(self, connection, [with_framework_id(message, framework_id) for message in messages])
        return exchange.run()


class Exchange:
    """A few calls under way: what arrives, what is answered, and how long that takes."""

    def __init__(self, driver: SimDriver, connection: Connection, messages: list[Message]) -> None:
        self.driver, self.connection, self.messages = driver, connection, messages
        self.world, self.process = driver.world, driver.process
        self.results: list[CallResult] = []
        self.wait_s = 0.0

    def run(self) -> list[CallResult]:
        """On the scheduler's thread: blocked until there are answers, or nobody waits for them any more."""
        for message in self.messages:
            self.world.judge.on_call(self.process, message)
        link = self.process.link
        if link.cut:
            self.process.sleep(CALL_TIMEOUT_S if link.silent else link.draw_latency_s(), "calls in vain")
            self._fail(_TIMED_OUT if link.silent else "ConnectionResetError")
            return self.results
        self.process.sleep(link.draw_latency_s(), f"{len(self.messages)} calls of {self.process} arrive")
        for message in self.messages:
            if self.wait_s or not self._arrive(message):
                break
            self.process.reach("between calls")
        self.process.sleep(link.draw_latency_s() + self.wait_s, f"answers to {self.process}")
        self._fail(_TIMED_OUT if self.wait_s else "ConnectionResetError")
        return self.results

    def _arrive(self, message: Message) -> bool:
        """One call reaches the master; False when the conversation breaks off with it."""
        mishaps, random = self.world.mishaps, self.driver.random
        if mishaps.strikes("refused 503"):
            self.results.append(CallResult(outcome=Outcome.FAILED, status=503, message="not the leading master"))
            return True
        if mishaps.strikes("refused 4xx"):
            self.results.append(CallResult(outcome=Outcome.FAILED, status=401, message="who are you"))
            return True
        if mishaps.strikes("call late"):
            self.wait_s = CALL_TIMEOUT_S
            self.world.timeline.after(
                random.uniform(0.1, 60.0), f"late {message['type']}", lambda: self._deliver(message)
            )
            return False
        if mishaps.strikes("call lost"):
            self.wait_s = random.choice((0.0, CALL_TIMEOUT_S))
            return False
        answer = self._deliver(message)
        if answer is None or mishaps.strikes("answer lost"):
            self.wait_s = 0.0 if answer is None else random.choice((0.0, CALL_TIMEOUT_S))
            return False
        self.results.append(_SENT if answer.status < 300 else _to_failure(answer))
        return True

    def _deliver(self, message: Message) -> Respond | None:
        body = to_text(message).encode()
        answer = self.world.master.call(body, self.connection)
        status = answer.status if isinstance(answer, Respond) else None
        self.world.note(f"{_describe(message)} of {self.process}: {status}")
        self.world.judge.on_answer(self.process, message, answer)
        return answer if isinstance(answer, Respond) else None

    def _fail(self, reason: str) -> None:
        missing = len(self.messages) - len(self.results)
        self.results += [CallResult(outcome=Outcome.FAILED, message=reason)] * missing


def _find_loss(results: Sequence[CallResult]) -> str | None:
    """As in `swath.wire.channel`: why the subscription is gone, when an answer says so."""
    for result in results:
        if result.status in (400, 403) and any(text in result.message for text in _GONE):
            return f"a call was refused: {result.message}"
    return None


def _to_failure(answer: Respond) -> CallResult:
    return CallResult(outcome=Outcome.FAILED, status=answer.status, message=answer.text)


def _describe(message: dict[str, Any]) -> str:
    """The message in a few words, for the trace."""
    kind = message["type"]
    match kind:
        case "UPDATE":
            status = message["update"]["status"]
            return f"UPDATE {status['task_id']['value']} {status['state']} {status.get('reason', '')}".rstrip()
        case "ACCEPT":
            tasks = message["accept"]["operations"][0]["launch"]["task_infos"]
            offers = ",".join(entry["value"] for entry in message["accept"]["offer_ids"])
            return f"ACCEPT {offers}: {','.join(task['task_id']['value'] for task in tasks)}"
        case "DECLINE":
            return f"DECLINE {','.join(entry['value'] for entry in message['decline']['offer_ids'])}"
        case "OFFERS":
            return f"OFFERS {','.join(offer['id']['value'] for offer in message['offers']['offers'])}"
        case "ACKNOWLEDGE" | "KILL":
            return f"{kind} {message[kind.lower()]['task_id']['value']}"
        case "RECONCILE":
            return f"RECONCILE {len(message['reconcile']['tasks'])}"
        case "ERROR":
            return f"ERROR {message['error']['message']}"
    return str(kind)
