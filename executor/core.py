"""The executor's decisions: events in, effects out. No clock, no I/O, no logging.

An attempt goes STARTING -> RUNNING -> PUBLISHING and is forgotten with its terminal update. Whoever wants it to end early
(a KILL, its time-out, its disk limit, a shutdown) leaves a `Stop` behind; how the command then exits no longer matters.

A command that was killed ends. What starts or publishes an attempt may hang in a file system that does not answer, where no
signal reaches it: after the grace such an attempt is given up, whatever becomes of its thread.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import assert_never

from executor.events import (
    Begin,
    Clean,
    Effect,
    EngineSeen,
    Event,
    Exit,
    Exited,
    ImagesSeen,
    Kill,
    Launch,
    Measure,
    Measured,
    Moment,
    NotPublished,
    NotStarted,
    Prefetch,
    Publish,
    Published,
    Pulled,
    Send,
    Shutdown,
    Signal,
    Started,
    Subscribed,
    Unhealthy,
    Vanished,
    Waiting,
    Work,
)
from executor.images import Images
from executor.orders import to_order
from executor.runs import Phase, Run, Stop
from executor.sickness import Sickness
from executor.words import to_exit_message, to_rfc3339
from swath.domain.attempts import AttemptReport
from swath.domain.errors import InvalidInputError
from swath.domain.resources import to_digits
from swath.domain.retries import Cause

TICK_S = 0.2  # how exactly time-outs and graces are kept
MEASURE_S = 1.0  # between two looks at an attempt's disk; an attempt that is over by then pays nothing
MEASURE_SHARE = 0.1  # of the time at most goes into looking
FORCE_AGAIN_S = 1.0  # between two SIGKILLs: a process may fork faster than it is found
FIRST_TOLD_S, LONGEST_TOLD_S = 15.0, 300.0  # between two words of what an attempt uses: the longer it runs, the rarer
SHUTDOWN_SHARE = 0.5  # of the agent's grace, for attempts to end; the rest is for their reports
REMEMBERED = 10_000  # ended tasks whose LAUNCH would be a repetition
FIRST_OUTPUTS = 1000  # a report names no more; the rest stands in the published directory


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What the executor's settings say to its core; all in seconds."""

    idle_s: float  # without a task for so long, the executor ends: it holds its own resources
    shutdown_grace_s: float  # from SHUTDOWN until the agent kills us (MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD)
    staging_s: float  # for an image and inputs to be had
    publishing_s: float  # for outputs to be stored
    force_s: float = 60.0  # of SIGKILLs in vain; then the attempt is given up, and its engine is sick
    engine: bool = False  # may there be a Docker engine, which is looked at from time to time?


class Core:
    """All attempts of this executor and what they wait for."""

    def __init__(self, *, limits: Limits, now: Moment) -> None:
        self._limits = limits
        self._runs: dict[str, Run] = {}  # by attempt
        self._attempts: dict[str, str] = {}  # Mesos task -> attempt
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._idle_since_s = now.clock_s
        self._closing: Shutdown | None = None
        self._images = Images()
        self._sickness = Sickness()

    @property
    def running(self) -> int:
        """Attempts that have not ended."""
        return len(self._runs)

    def next_tick_s(self, now: Moment) -> float:
        """Seconds until `on_tick` has something to do, at most."""
        if self._runs or self._closing:
            return TICK_S
        until_s = min(self._idle_since_s + self._limits.idle_s, self._images.next_at_s, self._sickness.next_at_s)
        return max(0.0, until_s - now.clock_s)

    def handle(self, event: Event, now: Moment) -> list[Effect]:
        """What to do about `event`; news of attempts that have ended is ignored."""
        match event:
            case Launch():
                return self.on_launch(event, now)
            case Kill():
                return self.on_kill(event, now)
            case Shutdown():
                return self.on_shutdown(event, now)
            case EngineSeen():
                return self._sickness.on_seen(event, now)
            case Subscribed():
                told = self._sickness.on_subscribed(now) if self._limits.engine else []
                return [*self._images.handle(event, now), *told]
            case Prefetch() | ImagesSeen() | Pulled():
                return self._images.handle(event, now)
            case Work():
                return []  # for slots: see executor.slots
        run = self._runs.get(event.attempt)
        if run is None:
            return []
        match event:
            case Waiting():
                run.waits_by = event.fault
                return [run.send("TASK_STARTING", event.message)]
            case Started():
                return self.on_started(run, event, now)
            case NotStarted():
                run.report = replace(run.report, sandbox=event.sandbox or run.report.sandbox)
                return self._end_stopped(run, now) or self._fail(run, event.cause, event.message, now)
            case Exited():
                return self.on_exited(run, event, now)
            case Vanished():
                return self._end_stopped(run, now) or self._fail(run, Cause.AGENT, event.message, now)
            case Unhealthy():
                return self._stop(run, Cause.APP, event.message, run.spec.kill_grace_s, now) if run.stop is None else []
            case Measured():
                return self.on_measured(run, event, now)
            case Published():
                return self.on_published(run, event, now)
            case NotPublished():
                return self._end_stopped(run, now) or self._fail(run, event.cause, event.message, now)
            case _:
                assert_never(event)

    def on_launch(self, event: Launch, now: Moment) -> list[Effect]:
        """Begin, or refuse what cannot be begun; a repeated LAUNCH changes nothing."""
        if event.task_id in self._attempts or event.task_id in self._ended:
            return []
        if self._closing:
            return self._refuse(event.task_id, Cause.AGENT, self._closing.message)
        try:
            order = to_order(event.task_id, event.data, event.slot)
        except (InvalidInputError, RecursionError) as error:  # the latter for JSON of a thousand brackets
            return self._refuse(event.task_id, Cause.SPEC, f"the task's specification is wrong: {error}")
        attempt = order.spec.attempt
        if attempt in self._runs:
            return self._refuse(event.task_id, Cause.SPEC, f"attempt {attempt} runs already, as another Mesos task")
        if self._sickness.problem and order.needs_engine:
            return self._refuse(event.task_id, Cause.AGENT, self._sickness.problem)
        deadline_s = now.clock_s + self._limits.staging_s
        self._runs[attempt] = Run(order=order, begun_s=now.clock_s, deadline_s=deadline_s, report=AttemptReport())
        self._attempts[event.task_id] = attempt
        return [Begin(order=order)]

    def on_kill(self, event: Kill, now: Moment) -> list[Effect]:
        """End the attempt within its grace. KILL is repeated until it works (MESOS.md, M36): only the first one counts.

        A command that has ended well gets its grace for publishing too, and has succeeded if that is enough.
        """
        run = self._runs.get(self._attempts.get(event.task_id, ""))
        if run is None or run.stop is not None:
            return []
        grace_s = run.spec.kill_grace_s if event.grace_s is None else event.grace_s
        effects = self._stop(run, Cause.KILLED, "killed by request", grace_s, now)
        return [run.send("TASK_KILLING", "killed by request"), *effects] if effects else []

    def on_shutdown(self, event: Shutdown, now: Moment) -> list[Effect]:
        """End everything in time: after the grace "a deaf executor gets SIGKILL" (transcript 10), and could report nothing."""
        if self._closing:
            return []
        self._closing = event
        grace_s = self._limits.shutdown_grace_s
        effects: list[Effect] = []
        for run in self._runs.values():
            share_s = grace_s * SHUTDOWN_SHARE
            if run.stop is not None:  # whose grace may be longer than the agent's
                run.stop = replace(run.stop, force_at_s=min(run.stop.force_at_s, now.clock_s + share_s))
            elif run.phase is Phase.PUBLISHING:
                effects += self._stop(run, Cause.AGENT, event.message, share_s, now)
            else:
                effects += self._stop(run, Cause.AGENT, event.message, min(run.spec.kill_grace_s, share_s), now)
        return effects + self._exit_if_done()

    def on_started(self, run: Run, event: Started, now: Moment) -> list[Effect]:
        """Report RUNNING, and pass on a signal that came too early."""
        run.phase = Phase.RUNNING
        run.begun_s = now.clock_s
        run.deadline_s = now.clock_s + run.spec.timeout_s
        run.measure_at_s = now.clock_s + MEASURE_S
        run.tell_at_s = now.clock_s + FIRST_TOLD_S
        run.report = AttemptReport(
            sandbox=event.sandbox, runtime=event.runtime, warnings=list(event.warnings), started_at=to_rfc3339(now)
        )
        images = self._images.on_used(run.spec.image, now) if event.runtime == "docker" else []
        if run.stop is not None:
            return [Signal(attempt=event.attempt, force=now.clock_s >= run.stop.force_at_s), *images]
        return [run.send("TASK_RUNNING"), *images]

    def on_exited(self, run: Run, event: Exited, now: Moment) -> list[Effect]:
        """Decide what an exit means; success waits for the outputs."""
        run.report = replace(run.report, exit_code=event.exit_code, usage=run.to_usage(event.usage, now))
        if run.stop is not None:
            return self._end_stopped(run, now)
        if event.exit_code == 0:
            run.phase = Phase.PUBLISHING
            run.deadline_s = now.clock_s + self._limits.publishing_s
            return [Publish(attempt=event.attempt)]
        # The kernel kills one process of a container, not the container: where the command ends well without the child
        # that was killed, nothing is wrong.
        if event.oom:
            mem = run.spec.resources.get("mem", 0)
            return self._fail(run, Cause.OOM, f"it was ended: more than {to_digits(mem)} MiB memory was needed", now)
        return self._fail_by_exit_code(run, event.exit_code, now)

    def on_measured(self, run: Run, event: Measured, now: Moment) -> list[Effect]:
        """Hold what is written against what was asked for."""
        run.measure_at_s = now.clock_s + max(MEASURE_S, event.took_s / MEASURE_SHARE)
        limit = run.spec.resources.get("disk", 0)
        if run.phase is not Phase.RUNNING or run.stop is not None:
            return []
        if not 0 < limit < event.disk:
            return self._tell_usage(run, event, now)
        message = f"wrote {event.disk:.0f} MiB where {to_digits(limit)} MiB disk were asked for"
        return self._stop(run, Cause.DISK, message, 0.0, now)

    def _tell_usage(self, run: Run, event: Measured, now: Moment) -> list[Effect]:
        """What a long attempt uses is worth knowing before it ends; the update of the same state replaces the one before."""
        if now.clock_s < run.tell_at_s or not event.usage:
            return []
        run.tell_at_s = now.clock_s + min(max(FIRST_TOLD_S, now.clock_s - run.begun_s), LONGEST_TOLD_S)
        run.report = replace(run.report, usage=run.to_usage(event.usage, now))
        return [run.send("TASK_RUNNING")]

    def on_published(self, run: Run, event: Published, now: Moment) -> list[Effect]:
        """The one way to succeed."""
        run.report = replace(
            run.report,
            output_dir=event.output_dir,
            outputs=list(event.outputs[:FIRST_OUTPUTS]),
            json_outputs=event.json_outputs,
        )
        return self._end(run, "TASK_FINISHED", None, "", now)

    def on_tick(self, now: Moment) -> list[Effect]:
        """Keep time-outs, graces, the measuring and the idle limit."""
        effects = [*self._images.on_tick(now), *self._sickness.on_tick(now)]
        if self._sickness.is_silent:
            effects += self._stop_starting(self._sickness.problem or "", now)
        for attempt, run in list(self._runs.items()):
            effects += self._tick(attempt, run, now)
        if self._runs or self._closing or now.clock_s - self._idle_since_s < self._limits.idle_s:
            return effects
        return [*effects, Exit(message=f"no task for {self._limits.idle_s:g} s")]

    def _stop_starting(self, problem: str, now: Moment) -> list[Effect]:
        """What waits for an engine that says nothing would wait for as long as images may take."""
        waiting = [run for run in self._runs.values() if run.phase is Phase.STARTING and run.order.needs_engine]
        return [
            effect for run in waiting if run.stop is None for effect in self._stop(run, Cause.AGENT, problem, 0.0, now)
        ]

    def _tick(self, attempt: str, run: Run, now: Moment) -> list[Effect]:
        if run.stop is not None:
            return self._force(run, now) if now.clock_s >= run.stop.force_at_s else []
        if now.clock_s >= run.deadline_s:
            return self._stop_late(run, now)
        if run.phase is Phase.RUNNING and now.clock_s >= run.measure_at_s:
            run.measure_at_s = now.clock_s + 60 * MEASURE_S  # unless the answer comes first
            return [Measure(attempt=attempt)]
        return []

    def _stop_late(self, run: Run, now: Moment) -> list[Effect]:
        """What ran out of the time of its phase: only a command's own is its fault."""
        match run.phase:
            case Phase.STARTING:
                message = f"could not start within {self._limits.staging_s:g} s: its image or its inputs do not come"
                return self._stop(run, run.waits_by, message, 0.0, now)
            case Phase.RUNNING:
                message = f"ran longer than its {run.spec.timeout_s:g} s"
                return self._stop(run, Cause.TIMEOUT, message, run.spec.kill_grace_s, now)
            case Phase.PUBLISHING:
                message = f"the outputs could not be stored within {self._limits.publishing_s:g} s"
                return self._fail(run, Cause.AGENT, message, now)
            case _:
                assert_never(run.phase)

    def _stop(self, run: Run, cause: Cause, message: str, grace_s: float, now: Moment) -> list[Effect]:
        run.stop = Stop(cause=cause, message=message, force_at_s=now.clock_s + (grace_s or FORCE_AGAIN_S))
        if run.phase is Phase.PUBLISHING:  # nobody is left to hear a signal
            return []
        return [Signal(attempt=run.spec.attempt, force=grace_s == 0)]

    def _force(self, run: Run, now: Moment) -> list[Effect]:
        """The grace is over: SIGKILL to what runs, and no more waiting for what hangs before or after that."""
        if run.stop is None or run.phase is not Phase.RUNNING:
            return self._end_stopped(run, now)
        forced_at_s = run.stop.forced_at_s or now.clock_s
        if now.clock_s >= forced_at_s + self._limits.force_s:
            run.stop = replace(
                run.stop, message=f"{run.stop.message}; SIGKILL for {self._limits.force_s:g} s did not end it"
            )
            return self._end_stopped(run, now)
        run.stop = replace(run.stop, force_at_s=now.clock_s + FORCE_AGAIN_S, forced_at_s=forced_at_s)
        return [Signal(attempt=run.spec.attempt, force=True)]

    def _end_stopped(self, run: Run, now: Moment) -> list[Effect]:
        """The end of an attempt that was stopped; nothing where it was not."""
        if run.stop is None:
            return []
        if run.stop.cause is Cause.KILLED:
            return self._end(run, "TASK_KILLED", Cause.KILLED, run.stop.message, now)
        return self._fail(run, run.stop.cause, run.stop.message, now)

    def _fail_by_exit_code(self, run: Run, exit_code: int, now: Moment) -> list[Effect]:
        error = run.order.manifest.error_for(exit_code)
        if error is None:
            return self._fail(run, Cause.APP, to_exit_message(exit_code), now)
        run.report = replace(run.report, error=error.name)
        cause = Cause.DATA if error.category == "data" else Cause.APP
        text = error.description or error.title
        return self._fail(run, cause, f"{error.name} (exit code {exit_code})" + (f": {text}" if text else ""), now)

    def _fail(self, run: Run, cause: Cause, message: str, now: Moment) -> list[Effect]:
        return self._end(run, "TASK_FAILED", cause, message, now)

    def _end(self, run: Run, state: str, cause: Cause | None, message: str, now: Moment) -> list[Effect]:
        del self._runs[run.spec.attempt]
        del self._attempts[run.order.task_id]
        self._remember(run.order.task_id)
        self._idle_since_s = now.clock_s
        run.report = replace(run.report, cause=cause, message=message, ended_at=to_rfc3339(now))
        clean = Clean(attempt=run.spec.attempt, succeeded=state == "TASK_FINISHED")
        return [run.send(state, message), clean, *self._exit_if_done()]

    def _refuse(self, task_id: str, cause: Cause, message: str) -> list[Effect]:
        self._remember(task_id)
        report = AttemptReport(cause=cause, message=message)
        return [Send(task_id=task_id, state="TASK_FAILED", report=report, message=message)]

    def _remember(self, task_id: str) -> None:
        self._ended[task_id] = None
        if len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)

    def _exit_if_done(self) -> list[Effect]:
        """Exit once all have ended that a shutdown found running."""
        return [Exit(message=self._closing.message)] if self._closing and not self._runs else []
