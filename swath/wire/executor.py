"""The executor's driver: pymesos' interface over a connection that survives its agent (MESOS.md part 2, item 11)."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
import uuid
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any

from swath.wire.backoff import FIRST_S, Backoff
from swath.wire.calls import Message
from swath.wire.channel import CALL_TIMEOUT_S, CallChannel, CallResult, Outcome
from swath.wire.endpoints import Endpoint
from swath.wire.environment import parse_environment
from swath.wire.executor_calls import make_executor_message, make_executor_subscribe, make_status, make_update
from swath.wire.masters import FixedMasters
from swath.wire.outbox import Outbox
from swath.wire.pymesos_drivers import MesosExecutorDriver, Process
from swath.wire.subscriber import Loss, Subscriber

logger = logging.getLogger(__name__)

PATH = "/api/v1/executor"
_BATCH = 32  # updates sent at once
_NOT_NOW = frozenset({401, 403, 429})  # refusals that may pass
_FIRST_SUBSCRIPTION_S = 60.0  # an executor without checkpoint gives up its first subscription after this long


class ExecutorDriver(MesosExecutorDriver):  # type: ignore[misc]  # pymesos has no types
    """Keeps an executor subscribed to its agent and delivers its updates in order; thread-safe.

    `on_event` gets every event as the dict that the agent sent, in order, on the reader's thread, except a LAUNCH of a task
    that is known already; plus `{"type": "DISCONNECTED", "reason": ...}`, and a `{"type": "SHUTDOWN"}` of the driver's own
    when the agent stays away longer than the recovery time-out, or at all without checkpointing. SHUTDOWN can be the first
    event (surprise 5). What `on_event` raises is logged.
    """

    def __init__(
        self,
        *,
        on_event: Callable[[Message], None],
        environ: Mapping[str, str],
        timeout_s: float = CALL_TIMEOUT_S,
        first_backoff_s: float = FIRST_S,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        random: Callable[[], float] = random.random,
    ) -> None:
        """Raises InvalidInputError where the agent's variables are missing. `wall_clock` (Unix seconds) stamps updates."""
        self.environment = parse_environment(environ)
        # pymesos' own constructor reads os.environ and takes MESOS_CHECKPOINT=0 for true: only its base's is called.
        Process.__init__(self, master=str(self.environment.agent))
        self._consume = on_event
        self._clock, self._wall_clock = clock, wall_clock
        self._outbox = Outbox()
        self._changed = threading.Condition()  # guards the outbox and what follows
        self._connected = False
        self._stopping = False
        self._shut_down = False  # SHUTDOWN was passed on
        first_s = self.environment.recovery_timeout_s if self.environment.checkpoint else _FIRST_SUBSCRIPTION_S
        self._give_up_at = clock() + first_s
        token = self.environment.token
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        tls = self.environment.tls.make_context() if self.environment.tls else None
        # Updates are sent again for as long as it takes. Giving up the stream of an agent that hangs for a while would begin
        # the recovery time-out, and without checkpointing end all tasks.
        self._channel = CallChannel(PATH, tls=tls, timeout_s=timeout_s, on_gone=self._on_gone, outlasts_silence=True)
        self._pause_s = min(self.environment.backoff_max_s, 0.2)  # before an update is tried again
        self._sender = threading.Thread(target=self._send_updates, name="swath update sender", daemon=True)
        self._subscriber = Subscriber(
            path=PATH,
            masters=FixedMasters([self.environment.agent]),
            handler=self,
            headers=self._headers,
            tls=tls,
            timeout_s=timeout_s,
            backoff=Backoff(first_s=first_backoff_s, longest_s=self.environment.backoff_max_s, random=random),
            name="swath executor stream",
            clock=clock,
        )

    # Life

    def start(self) -> None:
        """Begin to subscribe; once in a driver's life."""
        self._started = True
        self._subscriber.start()
        self._sender.start()

    def stop(self) -> None:
        """Disconnect; updates that are not acknowledged are lost unless `flush` came before."""
        self._started = False
        with self._changed:
            self._stopping = True
            self._connected = False
            self._changed.notify_all()
        self._subscriber.stop()
        self._channel.close()

    def abort(self) -> None:
        """`stop`, by pymesos' other name."""
        self.stop()

    def join(self, timeout_s: float | None = None) -> None:
        """Wait for both threads' end after `stop`."""
        self._subscriber.join(timeout_s)
        if self._sender.ident is not None and threading.current_thread() is not self._sender:
            self._sender.join(timeout_s)

    def run(self) -> None:
        """`start` and `join`."""
        self.start()
        self.join()

    @property
    def connected(self) -> bool:
        """True while subscribed."""
        return self._connected

    # Updates and messages

    def send_update(
        self, task_id: str, state: str, *, data: bytes = b"", message: str = "", healthy: bool | None = None
    ) -> str:
        """Queue an update and return its uuid (base64); never blocks. It is sent until the agent has acknowledged it."""
        status = make_status(
            task_id,
            state,
            executor_id=self.environment.executor_id,
            uuid=uuid.uuid4().bytes,
            timestamp=self._wall_clock(),
            data=data,
            message=message,
            healthy=healthy,
        )
        self._add(status)
        return str(status["uuid"])

    def send_message(self, data: bytes) -> CallResult:
        """A message to the scheduler: at most once, not in order with updates, may be lost on the way."""
        message = make_executor_message(self.environment.framework_id, self.environment.executor_id, data)
        if not self._connected:
            return CallResult(outcome=Outcome.NOT_CONNECTED, message="the executor is not subscribed")
        return self._channel.exchange([message])[0]

    def flush(self, timeout_s: float) -> bool:
        """Wait until the agent has acknowledged every update; False when it has not in time (surprise 2: it may never)."""
        with self._changed:
            return self._changed.wait_for(lambda: self._outbox.is_empty or self._stopping, timeout_s) and (
                self._outbox.is_empty
            )

    def sendStatusUpdate(self, status: Message) -> None:
        """pymesos' name: a TaskStatus as a message; what it lacks is filled in."""
        given = {key: value for key, value in status.items() if key != "task_id"}
        complete = make_status(
            status["task_id"]["value"],
            status["state"],
            executor_id=self.environment.executor_id,
            uuid=uuid.uuid4().bytes,
            timestamp=self._wall_clock(),
        )
        self._add(complete | given)

    def sendFrameworkMessage(self, data: str) -> CallResult:
        """pymesos' name for `send_message`; `data` in base64."""
        return self.send_message(b64decode(data))

    def _add(self, status: Message) -> None:
        with self._changed:
            self._outbox.add(status)
            self._changed.notify_all()

    def _send_updates(self) -> None:
        while (batch := self._wait_for_batch()) is not None:
            ids = self.environment.framework_id, self.environment.executor_id
            results = self._channel.exchange([make_update(*ids, status) for status in batch])
            done = [status for status, result in zip(batch, results, strict=True) if _is_final(result)]
            with self._changed:
                self._outbox.settle(done)
                if len(done) < len(batch):
                    self._changed.wait_for(lambda: self._stopping, self._pause_s)

    def _wait_for_batch(self) -> list[Message] | None:
        """The next updates; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or (self._connected and self._outbox.is_due))
            return None if self._stopping else self._outbox.find_batch(_BATCH)

    # The stream, on the reader's thread

    def make_subscribe(self) -> Message:
        """SUBSCRIBE with everything that is not acknowledged."""
        with self._changed:
            tasks, updates = self._outbox.start_subscribe()
        return make_executor_subscribe(self.environment.framework_id, self.environment.executor_id, tasks, updates)

    def on_open(self, endpoint: Endpoint, stream_id: str | None) -> None:
        """The agent has taken the SUBSCRIBE; SUBSCRIBED follows, or SHUTDOWN. No heartbeat for 30 min (surprise 3)."""
        self._subscriber.watch(None)
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        self._channel.open(endpoint, headers | self._headers)
        with self._changed:
            self._outbox.finish_subscribe()
            self._connected = not self._stopping
            self._give_up_at = math.inf
            self._changed.notify_all()

    def on_record(self, event: Message) -> None:
        """Take what concerns the driver, then pass the event on."""
        kind = event.get("type")
        if kind == "LAUNCH":
            if not self._take_launch(event["launch"]["task"]):
                return
        elif kind == "LAUNCH_GROUP":
            for task in event["launch_group"]["task_group"]["tasks"]:
                self._take_launch(task)
        elif kind == "ACKNOWLEDGED":
            acknowledged = event["acknowledged"]
            with self._changed:
                self._outbox.on_acknowledged(acknowledged["task_id"]["value"], acknowledged["uuid"])
                if self._outbox.is_empty:
                    self._changed.notify_all()
        elif kind == "SHUTDOWN":
            self._shut_down = True
        elif kind == "HEARTBEAT":
            return
        self._consume(event)

    def _take_launch(self, task_info: Message) -> bool:
        with self._changed:
            is_new = self._outbox.on_launch(task_info)
        if not is_new:
            logger.warning("a second LAUNCH of task %s is ignored", task_info["task_id"]["value"])
        return is_new

    def on_loss(self, loss: Loss) -> float | None:
        """DISCONNECTED, and SHUTDOWN where there is no agent to wait for (any more); returns the seconds left to wait."""
        was_open = loss.lived_s > 0
        self._channel.close()
        with self._changed:
            self._connected = False
        if was_open:
            self._give_up_at = self._clock() + self.environment.recovery_timeout_s
            self._pass_on({"type": "DISCONNECTED", "reason": loss.reason})
        left_s = self._give_up_at - self._clock()
        if left_s > 0:
            return left_s
        if not self._shut_down:
            self._shut_down = True
            logger.error("the agent stays away (%s): shutting down", loss.reason)
            self._pass_on({"type": "SHUTDOWN"})
        return None

    def _pass_on(self, event: Message) -> None:
        try:
            self._consume(event)
        except Exception:
            logger.exception("%s was not handled", event["type"])

    def _on_gone(self, reason: str) -> None:
        self._subscriber.drop(reason)

    def _send(self, body: Any, path: str = "", method: str = "", headers: Any = None) -> Any:
        """pymesos' own way out, for what it builds itself; its arguments beside the body are ours to choose."""
        return self._channel.exchange([body])[0]


def _is_final(result: CallResult) -> bool:
    """True when sending the same update again would change nothing: taken, or refused as it stands."""
    refused = result.status is not None and 400 <= result.status < 500 and result.status not in _NOT_NOW
    return result.is_sent or refused
