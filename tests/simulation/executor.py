"""Executors without processes: the real core and outbox of ours, and commands that end as they were drawn to."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any

from executor.core import Core, Limits
from executor.events import (
    Begin,
    Clean,
    Effect,
    Event,
    Exit,
    Exited,
    ImagesSeen,
    Look,
    Measure,
    Measured,
    Moment,
    NotPublished,
    NotStarted,
    Order,
    Publish,
    Published,
    Pull,
    Pulled,
    Send,
    Shutdown,
    Signal,
    Started,
    Tell,
    Waiting,
)
from executor.messages import to_event
from executor.slots import Slots
from swath.domain.attempts import OutputFile
from swath.domain.images import HeldImage, ImagesReport
from swath.domain.retries import Cause
from swath.wire.backoff import Backoff
from swath.wire.executor_calls import make_executor_message, make_executor_subscribe, make_status, make_update
from swath.wire.outbox import Outbox
from tests.simulation.messages import to_text
from tests.simulation.timeline import Planned

if TYPE_CHECKING:
    from tests.simulation.agents import AgentHost

LIMITS = Limits(idle_s=600.0, shutdown_grace_s=30.0, staging_s=1800.0, publishing_s=1800.0)
LOCAL_S = 0.0005  # between an executor and its agent
TICK_S = 5.0  # the real one looks far more often; nothing here depends on it
RECOVERY_S = 900.0  # MESOS_RECOVERY_TIMEOUT
LAST_WORDS_S = 9.0  # for the agent to acknowledge the last updates


@dataclass(frozen=True, kw_only=True, slots=True)
class Fate:
    """How an attempt goes, drawn when it begins."""

    staging_s: float
    running_s: float | None  # None: until it is killed
    exit_code: int = 0
    oom: bool = False
    deaf: bool = False  # SIGTERM does not end it
    starts: bool = True
    publishes: bool = True

    def shortened(self) -> Fate:
        """The same for a task of some seconds; what hangs, hangs."""
        running_s = None if self.running_s is None else self.running_s / 12
        return replace(self, staging_s=self.staging_s / 12, running_s=running_s)


def draw_fate(random: Random) -> Fate:
    """Most succeed, after a minute or so."""
    staging_s = random.uniform(0.05, 4.0)
    running_s = random.expovariate(1 / 60.0) + 0.2
    match random.choices(range(8), (72, 7, 2, 4, 2, 2, 3, 8))[0]:
        case 1:
            return Fate(staging_s=staging_s, running_s=running_s, exit_code=random.choice((1, 2, 139)))
        case 2:
            return Fate(staging_s=staging_s, running_s=running_s, exit_code=3)
        case 3:
            return Fate(staging_s=staging_s, running_s=running_s, exit_code=137, oom=True)
        case 4:
            return Fate(staging_s=staging_s, running_s=running_s, starts=False)
        case 5:
            return Fate(staging_s=staging_s, running_s=running_s, publishes=False)
        case 6:
            return Fate(staging_s=staging_s, running_s=None, deaf=random.random() < 0.5)
        case 7:
            return Fate(staging_s=staging_s, running_s=random.uniform(200, 900), deaf=random.random() < 0.5)
    return Fate(staging_s=staging_s, running_s=running_s)


@dataclass(slots=True)
class Command:
    """An attempt in the executor's hands."""

    order: Order
    fate: Fate
    running: bool = False
    planned: Planned | None = None


class SimExecutor:
    """One process of the executor."""

    def __init__(self, host: AgentHost, container_id: str, framework_id: str, executor_id: str) -> None:
        self.host = host
        self.world = host.world
        self.container_id = container_id
        self.framework_id, self.executor_id = framework_id, executor_id
        self.alive = True
        self.stream: str | None = None
        self.commands: dict[str, Command] = {}  # by attempt
        self._random = self.world.random("executors")
        self._of_images = self.world.random("images")
        self._outbox = Outbox()
        self._core = Slots(Core(limits=LIMITS, now=self._moment()))
        self._backoff = Backoff(longest_s=2.0, random=self._random.random)
        self._give_up_us = self.world.timeline.now_us + int(RECOVERY_S * 1e6)
        self._sending = self._shut_down = False
        self._plan(self._random.uniform(0.2, 3.0), "subscribes", self._subscribe)
        self._tick_s = self.world.timeline.now + TICK_S
        self._ticking = self._plan(TICK_S, "ticks", self._tick)

    def __str__(self) -> str:
        return f"executor {self.container_id} of {self.host.agent_id}"

    def _plan(self, seconds: float, label: str, act: Any) -> Planned:
        def unless_dead() -> None:
            if self.alive:
                act()

        return self.world.timeline.after(seconds, f"{self.container_id} {label}", unless_dead)

    def _moment(self) -> Moment:
        return self.world.moment()

    # Life

    def die(self) -> None:
        """kill -9, and with it all commands."""
        self.alive = False
        self.stream = None
        for attempt in list(self.commands):
            self._end_command(attempt)
        self.host.executors.pop(self.container_id, None)

    def exit(self, status: int) -> None:
        """Ended; its agent hears of it if it is there."""
        if self.alive:
            self.die()
            self.host.on_exit(self.container_id, status)

    def _tick(self) -> None:
        self._perform(self._core.on_tick(self._moment()))
        self._tick_s = math.inf
        self._plan_tick()

    def _plan_tick(self) -> None:
        """An idle one looks rarely; what it is given to do brings the next look forward."""
        delay_s = max(TICK_S, self._core.next_tick_s(self._moment()))
        if (at_s := self.world.timeline.now + delay_s) < self._tick_s:
            self._ticking.cancel()
            self._tick_s, self._ticking = at_s, self._plan(delay_s, "ticks", self._tick)

    # The agent

    def _subscribe(self) -> None:
        tasks, updates = self._outbox.start_subscribe()
        call = make_executor_subscribe(self.framework_id, self.executor_id, tasks, updates)
        self.stream = self.host.subscribe(self, to_text(call).encode())
        if self.stream is not None:
            self._outbox.finish_subscribe()
            self._backoff.reset()
            self._send_due()
        elif self.world.timeline.now_us >= self._give_up_us:
            if not self._shut_down:
                self._shut_down = True
                self._handle(Shutdown(message="the agent stays away"))
        else:
            self._plan(self._backoff.draw_s(), "subscribes", self._subscribe)

    def on_lost(self) -> None:
        """The agent died."""
        self.stream = None
        self._give_up_us = self.world.timeline.now_us + int(RECOVERY_S * 1e6)
        self._plan(self._backoff.draw_s(), "subscribes", self._subscribe)

    def on_record(self, stream: str, text: str) -> None:
        """One event of the agent."""
        if stream != self.stream:
            return
        message = json.loads(text)
        kind = message["type"]
        if kind == "LAUNCH" and not self._outbox.on_launch(message["launch"]["task"]):
            return
        if kind == "ACKNOWLEDGED":
            acknowledged = message["acknowledged"]
            self._outbox.on_acknowledged(acknowledged["task_id"]["value"], acknowledged["uuid"])
        if (event := to_event(message)) is not None:
            self._handle(event)

    def _send_due(self) -> None:
        if not self._sending and self.stream is not None and self._outbox.is_due:
            self._sending = True
            self._plan(LOCAL_S, "sends updates", self._send)

    def _send(self) -> None:
        self._sending = False
        for status in self._outbox.find_batch(32):
            call = make_update(self.framework_id, self.executor_id, status)
            answer = self.host.call(to_text(call).encode()) if self.stream is not None else None
            if answer is not None and answer != 503:
                self._outbox.settle([status])
        if self._outbox.is_due and self.stream is not None:
            self._sending = True
            self._plan(0.2, "sends updates", self._send)

    # The core

    def _handle(self, event: Event) -> None:
        if self.alive:
            self._perform(self._core.handle(event, self._moment()))
            self._plan_tick()

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Begin():
                    self._begin(effect.order)
                case Signal():
                    self._signal(effect.attempt, force=effect.force)
                case Measure():
                    self._handle(Measured(attempt=effect.attempt, disk=1.0))
                case Publish():
                    self._plan_next(effect.attempt, self._random.uniform(0.01, 1.0), self._publish)
                case Send():
                    self._report(effect)
                case Clean():
                    self._end_command(effect.attempt)
                case Look():
                    self._plan(self._of_images.uniform(0.01, 2.0), "looks at its images", self._look)
                case Tell():
                    self._tell(effect.report)
                case Pull():
                    self._pull(effect.reference)
                case Exit():
                    self._leave()

    def _look(self) -> None:
        images = tuple(HeldImage(names=(name,), size=100) for name in sorted(self.host.images))
        self._handle(ImagesSeen(report=ImagesReport(engine=True, processes=True, images=images)))

    def _tell(self, report: ImagesReport) -> None:
        call = make_executor_message(self.framework_id, self.executor_id, report.to_json().encode())
        if self.stream is not None:
            self.host.call(json.dumps(call).encode())

    def _pull(self, reference: str) -> None:
        delay_s = self._of_images.uniform(1.0, 120.0)
        self._plan(delay_s, f"pulls {reference}", lambda: self._end_pull(reference))

    def _end_pull(self, reference: str) -> None:
        """Here, or not to be had, or others went first."""
        kind = self._of_images.randrange(4)
        if kind == 0:
            self._handle(Pulled(reference=reference, postponed=True))
        elif kind == 1:
            self._handle(Pulled(reference=reference, problem="the registry is away"))
        else:
            self.host.images.add(reference)
            self._handle(Pulled(reference=reference))

    def _report(self, update: Send) -> None:
        status = make_status(
            update.task_id,
            update.state,
            executor_id=self.executor_id,
            uuid=self._random.randbytes(16),
            timestamp=self.world.timeline.unix,
            data=update.report.to_json().encode(),
            message=update.message,
        )
        self._outbox.add(status)
        self._send_due()

    def _leave(self) -> None:
        """Wait for the last acknowledgements, not for ever."""
        until_us = self.world.timeline.now_us + int(LAST_WORDS_S * 1e6)

        def leave() -> None:
            if self._outbox.is_empty or self.world.timeline.now_us >= until_us:
                self.exit(0)
            else:
                self._plan(0.1, "leaves", leave)

        leave()

    # Commands

    def _begin(self, order: Order) -> None:
        attempt = order.spec.attempt
        fate = self.world.draw_fate(self._random)
        if self.world.database.jobs[order.spec.job].spec.short:
            fate = fate.shortened()
        self.commands[attempt] = Command(order=order, fate=fate)
        self.world.judge.on_begin(self, order)
        if fate.staging_s > 3.5:
            self._handle(Waiting(attempt=attempt, message="its image is on its way"))
        self._plan_next(attempt, fate.staging_s, self._start)

    def _plan_next(self, attempt: str, seconds: float, act: Any) -> None:
        if (command := self.commands.get(attempt)) is not None:
            command.planned = self._plan(seconds, f"{act.__name__.strip('_')} {attempt}", lambda: act(attempt))

    def _start(self, attempt: str) -> None:
        command = self.commands[attempt]
        if not command.fate.starts:
            self._handle(NotStarted(attempt=attempt, cause=Cause.IMAGE, message="the image cannot be had"))
            return
        command.running = True
        reference = command.order.spec.image.reference
        if reference is not None:
            self.host.images.add(reference)
        runtime = "process" if reference is None else "docker"
        self._handle(Started(attempt=attempt, sandbox=f"/sandbox/{attempt}", runtime=runtime))
        if command.fate.running_s is not None and command.planned is not None and command.planned.act is None:
            self._plan_next(attempt, command.fate.running_s, self._finish)

    def _finish(self, attempt: str) -> None:
        command = self.commands[attempt]
        command.running = False
        self._handle(
            Exited(attempt=attempt, exit_code=command.fate.exit_code, oom=command.fate.oom, usage={"cpu_s": 1.0})
        )

    def _signal(self, attempt: str, *, force: bool) -> None:
        command = self.commands.get(attempt)
        if command is None or (command.fate.deaf and not force and command.running):
            return
        if command.planned is not None:
            command.planned.cancel()
        act = self._end_by_signal if command.running else self._give_up
        self._plan_next(attempt, self._random.uniform(0.02, 1.5), act)

    def _end_by_signal(self, attempt: str) -> None:
        self.commands[attempt].running = False
        self._handle(Exited(attempt=attempt, exit_code=143))

    def _give_up(self, attempt: str) -> None:
        self._handle(NotStarted(attempt=attempt, cause=Cause.KILLED, message="ended before it had started"))

    def _publish(self, attempt: str) -> None:
        if not self.commands[attempt].fate.publishes:
            self._handle(NotPublished(attempt=attempt, cause=Cause.OUTPUT, message="no file matches"))
            return
        directory = f"/outputs/{attempt}"
        self.world.judge.on_publish(attempt, directory)
        outputs = (OutputFile(name="RESULT", path="result.txt", size=len(attempt)),)
        self._handle(Published(attempt=attempt, output_dir=directory, outputs=outputs))

    def _end_command(self, attempt: str) -> None:
        command = self.commands.pop(attempt, None)
        if command is not None:
            if command.planned is not None:
                command.planned.cancel()
            self.world.judge.on_end(self, attempt)
