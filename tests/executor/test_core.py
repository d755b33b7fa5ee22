"""The executor's decisions: events in, effects out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from executor.core import Core, Limits
from executor.events import (
    Begin,
    Clean,
    Effect,
    Event,
    Exit,
    Exited,
    Kill,
    Launch,
    Measure,
    Measured,
    Moment,
    NotPublished,
    NotStarted,
    Publish,
    Published,
    Send,
    Shutdown,
    Signal,
    Started,
    Vanished,
    Waiting,
)
from swath.domain.attempts import AttemptSpec
from swath.domain.retries import Cause
from tests.executor.build import a_manifest, a_spec

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Clockwork:
    """A core with a clock that moves when it is told."""

    def __init__(self) -> None:
        self.clock_s = 1000.0
        self.core = Core(limits=Limits(idle_s=600, shutdown_grace_s=10, staging_s=1800, publishing_s=900), now=self.now)

    @property
    def now(self) -> Moment:
        return Moment(clock_s=self.clock_s, at=BEGIN + timedelta(seconds=self.clock_s - 1000))

    def handle(self, event: Event) -> list[Effect]:
        return self.core.handle(event, self.now)

    def after(self, seconds: float) -> list[Effect]:
        """What the core wants done at a tick that much later."""
        self.clock_s += seconds
        return self.core.on_tick(self.now)

    def begin(self, **fields: Any) -> AttemptSpec:
        """Launch an attempt."""
        spec = a_spec(fields.pop("manifest", a_manifest("true")), "/outputs", **fields)
        effects = self.handle(Launch(task_id=f"task-{spec.attempt}", data=spec.to_json().encode()))
        assert [type(effect) for effect in effects] == [Begin]
        return spec

    def start(self, **fields: Any) -> AttemptSpec:
        """Launch an attempt, and its command runs."""
        spec = self.begin(**fields)
        assert states(self.handle(Started(attempt=spec.attempt, sandbox="/sandbox", runtime="process"))) == [
            "TASK_RUNNING"
        ]
        return spec


def states(effects: list[Effect]) -> list[str]:
    """The states that are sent."""
    return [effect.state for effect in effects if isinstance(effect, Send)]


def signals(effects: list[Effect]) -> list[bool]:
    """For each signal whether it is SIGKILL."""
    return [effect.force for effect in effects if isinstance(effect, Signal)]


def the_end(effects: list[Effect], state: str, cause: Cause | None) -> Send:
    """The last update, which must be this one, and be followed by the cleaning."""
    send, clean, *_ = effects
    assert isinstance(send, Send)
    assert isinstance(clean, Clean)
    assert (send.state, send.report.cause) == (state, cause)
    return send


def test_success_waits_for_the_outputs() -> None:
    """Exit code 0 is published first; the report then has times, usage and outputs."""
    clockwork = Clockwork()
    spec = clockwork.start()
    clockwork.clock_s += 2.5
    effects = clockwork.handle(Exited(attempt=spec.attempt, exit_code=0, usage={"cpu_s": 0.5, "max_mem": 12.0}))
    assert effects == [Publish(attempt=spec.attempt)]
    ending = the_end(clockwork.handle(Published(attempt=spec.attempt, output_dir="/out")), "TASK_FINISHED", None)
    assert ending.task_id == f"task-{spec.attempt}"
    assert ending.report.usage == {"wall_s": 2.5, "cpu_s": 0.5, "max_mem": 12.0}
    assert (ending.report.output_dir, ending.report.sandbox) == ("/out", "/sandbox")
    assert (ending.report.started_at, ending.report.ended_at) == (
        "2026-01-01T00:00:00.000Z",
        "2026-01-01T00:00:02.500Z",
    )


def test_outputs_that_cannot_be_published_fail_the_attempt() -> None:
    """With the publisher's cause and words."""
    clockwork = Clockwork()
    spec = clockwork.start()
    clockwork.handle(Exited(attempt=spec.attempt, exit_code=0))
    effects = clockwork.handle(NotPublished(attempt=spec.attempt, cause=Cause.OUTPUT, message="none"))
    assert the_end(effects, "TASK_FAILED", Cause.OUTPUT).message == "none"


def test_memory_is_to_blame_only_for_a_failure() -> None:
    """The engine's word and an exit code other than 0."""
    clockwork = Clockwork()
    spec = clockwork.start()
    the_end(clockwork.handle(Exited(attempt=spec.attempt, exit_code=137, oom=True)), "TASK_FAILED", Cause.OOM)
    spec = clockwork.start()
    assert clockwork.handle(Exited(attempt=spec.attempt, exit_code=0, oom=True)) == [Publish(attempt=spec.attempt)]


def test_a_kill_runs_through_its_grace() -> None:
    """KILLING and SIGTERM at once, SIGKILL after the grace and again while it lives, KILLED at the end."""
    clockwork = Clockwork()
    spec = clockwork.start(kill_grace_s=5.0)
    effects = clockwork.handle(Kill(task_id=f"task-{spec.attempt}"))
    assert (states(effects), signals(effects)) == (["TASK_KILLING"], [False])
    assert clockwork.handle(Kill(task_id=f"task-{spec.attempt}")) == []
    assert signals(clockwork.after(4.9)) == []
    assert signals(clockwork.after(0.2)) == [True]
    assert signals(clockwork.after(0.2)) == []
    assert signals(clockwork.after(1.0)) == [True]
    the_end(clockwork.handle(Exited(attempt=spec.attempt, exit_code=137)), "TASK_KILLED", Cause.KILLED)


def test_a_kill_before_the_start_is_kept() -> None:
    """The signal goes out again once there is somebody to hear it, and RUNNING is never said."""
    clockwork = Clockwork()
    spec = clockwork.begin()
    clockwork.handle(Kill(task_id=f"task-{spec.attempt}", grace_s=3))
    effects = clockwork.handle(Started(attempt=spec.attempt, sandbox="/s", runtime="docker"))
    assert (states(effects), signals(effects)) == ([], [False])
    the_end(clockwork.handle(Exited(attempt=spec.attempt, exit_code=0)), "TASK_KILLED", Cause.KILLED)


def test_a_kill_while_the_image_is_pulled_ends_as_killed() -> None:
    """Whatever the start then fails by."""
    clockwork = Clockwork()
    spec = clockwork.begin()
    assert states(clockwork.handle(Waiting(attempt=spec.attempt, message="pulling"))) == ["TASK_STARTING"]
    clockwork.handle(Kill(task_id=f"task-{spec.attempt}"))
    effects = clockwork.handle(NotStarted(attempt=spec.attempt, cause=Cause.IMAGE, message="no"))
    the_end(effects, "TASK_KILLED", Cause.KILLED)


def test_a_kill_comes_too_late_for_what_is_published() -> None:
    """The command has ended well: FINISHED is the truth, within the grace."""
    clockwork = Clockwork()
    spec = clockwork.start()
    clockwork.handle(Exited(attempt=spec.attempt, exit_code=0))
    assert clockwork.handle(Kill(task_id=f"task-{spec.attempt}", grace_s=3)) == []
    assert clockwork.after(2.9) == []
    effects = clockwork.handle(Published(attempt=spec.attempt))
    the_end(effects, "TASK_FINISHED", None)
    assert effects[1] == Clean(attempt=spec.attempt, succeeded=True)


@pytest.mark.parametrize("fails", [False, True])
def test_a_kill_ends_publishing_that_hangs_or_fails(fails: bool) -> None:
    """KILLED after the grace, or with the failure: whoever kills wants no retry."""
    clockwork = Clockwork()
    spec = clockwork.start()
    clockwork.handle(Exited(attempt=spec.attempt, exit_code=0))
    clockwork.handle(Kill(task_id=f"task-{spec.attempt}", grace_s=3))
    failure = NotPublished(attempt=spec.attempt, cause=Cause.AGENT, message="the disk is full")
    effects = clockwork.handle(failure) if fails else clockwork.after(3.1)
    the_end(effects, "TASK_KILLED", Cause.KILLED)
    assert effects[1] == Clean(attempt=spec.attempt, succeeded=False)


def test_a_time_out_counts_from_the_start_of_the_command() -> None:
    """Not from the LAUNCH: pulling an image is not the command's fault."""
    clockwork = Clockwork()
    spec = clockwork.begin(timeout_s=10.0)
    assert clockwork.after(100) == []
    clockwork.handle(Started(attempt=spec.attempt, sandbox="/s", runtime="process"))
    assert signals(clockwork.after(9.9)) == []
    clockwork.handle(Measured(attempt=spec.attempt, disk=0))
    assert signals(clockwork.after(0.2)) == [False]
    the_end(clockwork.handle(Exited(attempt=spec.attempt, exit_code=0)), "TASK_FAILED", Cause.TIMEOUT)


def test_disk_is_looked_at_after_a_second() -> None:
    """Then again and again, but never for more than a tenth of the time; over the limit means SIGKILL."""
    clockwork = Clockwork()
    spec = clockwork.start(resources={"cpus": 1, "mem": 1, "disk": 100, "gpus": 0})
    assert clockwork.after(0.9) == []
    assert clockwork.after(0.2) == [Measure(attempt=spec.attempt)]
    assert clockwork.after(2) == []
    assert clockwork.handle(Measured(attempt=spec.attempt, disk=99, took_s=0.5)) == []
    assert clockwork.after(4.5) == []
    assert clockwork.after(0.6) == [Measure(attempt=spec.attempt)]
    assert signals(clockwork.handle(Measured(attempt=spec.attempt, disk=101))) == [True]
    ending = the_end(clockwork.handle(Exited(attempt=spec.attempt, exit_code=137)), "TASK_FAILED", Cause.DISK)
    assert ending.message == "wrote 101 MiB where 100 MiB disk were asked for"


def test_no_disk_asked_for_is_no_limit() -> None:
    """A manifest without disk leaves it to the site."""
    clockwork = Clockwork()
    spec = clockwork.start()
    assert clockwork.handle(Measured(attempt=spec.attempt, disk=10_000)) == []


def test_a_sick_engine_is_not_the_tasks_fault() -> None:
    """Cause AGENT, which is retried for free."""
    clockwork = Clockwork()
    spec = clockwork.start()
    the_end(clockwork.handle(Vanished(attempt=spec.attempt, message="gone")), "TASK_FAILED", Cause.AGENT)


def test_a_shutdown_ends_all_and_then_the_executor() -> None:
    """SIGKILL comes at half of the agent's grace at the latest, so that the reports still get out."""
    clockwork = Clockwork()
    spec = clockwork.start(kill_grace_s=3600.0)
    publishing = clockwork.start()
    clockwork.handle(Exited(attempt=publishing.attempt, exit_code=0))
    assert signals(clockwork.handle(Shutdown(message="enough"))) == [False]
    late = clockwork.handle(Launch(task_id="late", data=spec.to_json().encode()))
    assert states(late) == ["TASK_FAILED"]
    effects = clockwork.handle(Published(attempt=publishing.attempt))
    the_end(effects, "TASK_FINISHED", None)
    assert Exit(message="enough") not in effects
    assert signals(clockwork.after(5.1)) == [True]
    effects = clockwork.handle(Exited(attempt=spec.attempt, exit_code=137))
    the_end(effects, "TASK_FAILED", Cause.AGENT)
    assert effects[-1] == Exit(message="enough")


def test_a_shutdown_does_not_wait_for_what_hangs() -> None:
    """Neither for what starts nor for what is published, nor for the end of a longer grace: all is told, and then Exit."""
    clockwork = Clockwork()
    starting, killed, publishing = clockwork.begin(kill_grace_s=60.0), clockwork.begin(), clockwork.start()
    clockwork.handle(Kill(task_id=f"task-{killed.attempt}", grace_s=3600))
    clockwork.handle(Exited(attempt=publishing.attempt, exit_code=0))
    assert signals(clockwork.handle(Shutdown(message="enough"))) == [False]
    assert clockwork.after(4.9) == []
    effects = clockwork.after(0.2)
    ends = {effect.task_id: effect.report.cause for effect in effects if isinstance(effect, Send)}
    assert ends == {
        f"task-{starting.attempt}": Cause.AGENT,
        f"task-{killed.attempt}": Cause.KILLED,
        f"task-{publishing.attempt}": Cause.AGENT,
    }
    assert [effect for effect in effects if isinstance(effect, Exit)] == [Exit(message="enough")]


def test_a_kill_does_not_wait_for_a_start_that_hangs() -> None:
    """KILLED after the grace, though nobody answers; what comes later is ignored."""
    clockwork = Clockwork()
    spec = clockwork.begin()
    assert signals(clockwork.handle(Kill(task_id=f"task-{spec.attempt}", grace_s=3))) == [False]
    assert clockwork.after(2.9) == []
    the_end(clockwork.after(0.2), "TASK_KILLED", Cause.KILLED)
    assert clockwork.handle(Started(attempt=spec.attempt, sandbox="/s", runtime="docker")) == []


def test_a_start_has_a_limit() -> None:
    """It is cancelled, and given up where that does not help: the agent's fault, so another may try."""
    clockwork = Clockwork()
    hanging, obeying = clockwork.begin(), clockwork.begin()
    clockwork.handle(Waiting(attempt=hanging.attempt, message="pulling"))
    assert clockwork.after(1799) == []
    assert signals(clockwork.after(1.1)) == [True, True]
    ending = NotStarted(attempt=obeying.attempt, cause=Cause.KILLED, message="ended before it had started")
    send = the_end(clockwork.handle(ending), "TASK_FAILED", Cause.AGENT)
    assert send.message == "could not start within 1800 s: its image or its inputs do not come"
    the_end(clockwork.after(1.1), "TASK_FAILED", Cause.AGENT)


def test_inputs_that_do_not_come_in_time_are_not_the_agents_fault() -> None:
    """Their server's, or the network's; an image that was waited for after them is the agent's again."""
    clockwork = Clockwork()
    fetching, pulling = clockwork.begin(), clockwork.begin()
    for spec in (fetching, pulling):
        clockwork.handle(Waiting(attempt=spec.attempt, message="fetching", fault=Cause.TRANSFER))
    clockwork.handle(Waiting(attempt=pulling.attempt, message="pulling"))
    clockwork.after(1801)
    for spec, cause in ((fetching, Cause.TRANSFER), (pulling, Cause.AGENT)):
        ending = NotStarted(attempt=spec.attempt, cause=Cause.KILLED, message="ended before it had started")
        the_end(clockwork.handle(ending), "TASK_FAILED", cause)


def test_publishing_has_a_limit() -> None:
    """Outputs that are not stored in time are the agent's fault, and are not outputs."""
    clockwork = Clockwork()
    spec = clockwork.start(timeout_s=10.0)
    clockwork.handle(Exited(attempt=spec.attempt, exit_code=0))
    assert clockwork.after(899) == []
    effects = clockwork.after(1.1)
    assert "within 900 s" in the_end(effects, "TASK_FAILED", Cause.AGENT).message
    assert effects[1] == Clean(attempt=spec.attempt, succeeded=False)


def test_a_shutdown_of_an_idle_executor_ends_it_at_once() -> None:
    """There is nothing to wait for; SHUTDOWN may even be the first event (surprise 5)."""
    assert Clockwork().handle(Shutdown(message="enough")) == [Exit(message="enough")]


def test_an_idle_executor_ends_after_its_time() -> None:
    """Counted from the end of its last attempt."""
    clockwork = Clockwork()
    spec = clockwork.start()
    assert clockwork.after(0.5) == []
    clockwork.clock_s += 700
    clockwork.handle(Exited(attempt=spec.attempt, exit_code=1))
    assert clockwork.core.next_tick_s(clockwork.now) == 600
    assert clockwork.after(599) == []
    assert [type(effect) for effect in clockwork.after(1)] == [Exit]


def test_one_attempt_runs_once() -> None:
    """Under a second Mesos task it is refused, and the first one goes on."""
    clockwork = Clockwork()
    spec = clockwork.start()
    effects = clockwork.handle(Launch(task_id="another", data=spec.to_json().encode()))
    assert states(effects) == ["TASK_FAILED"]
    assert isinstance(effects[0], Send)
    assert effects[0].report.cause is Cause.SPEC
    assert clockwork.core.running == 1


def test_news_of_an_ended_attempt_is_ignored() -> None:
    """A late measurement, a second exit, a late kill."""
    clockwork = Clockwork()
    spec = clockwork.start()
    clockwork.handle(Exited(attempt=spec.attempt, exit_code=1))
    late: tuple[Event, ...] = (
        Measured(attempt=spec.attempt, disk=1),
        Exited(attempt=spec.attempt, exit_code=0),
        Kill(task_id=f"task-{spec.attempt}"),
        Launch(task_id=f"task-{spec.attempt}", data=spec.to_json().encode()),
    )
    assert [clockwork.handle(event) for event in late] == [[], [], [], []]
