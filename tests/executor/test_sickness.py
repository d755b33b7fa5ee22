"""What an executor decides about an engine that is sick, what a long attempt tells of itself, and what cannot be killed."""

from __future__ import annotations

from datetime import UTC, datetime

from executor.core import FIRST_TOLD_S, Core, Limits
from executor.events import (
    Clean,
    Effect,
    EngineSeen,
    Event,
    Kill,
    Launch,
    Measured,
    Moment,
    Probe,
    Send,
    Signal,
    Started,
    Subscribed,
    Tell,
    Unhealthy,
)
from executor.sickness import PROBE_S, SILENT_S, TELL_S
from executor.usage import Sample, Totals, to_sample
from swath.domain.attempts import AttemptSpec, ImageSource
from swath.domain.images import EngineReport
from swath.domain.retries import Cause
from tests.executor.build import a_manifest, a_spec

IN_ENGINE = ImageSource(name="ndvi", version="1.0.0", image_id="sha256:0")


class Clockwork:
    """A core with a clock that moves when it is told."""

    def __init__(self) -> None:
        self.clock_s = 1000.0
        limits = Limits(idle_s=1e6, shutdown_grace_s=10, staging_s=1800, publishing_s=900, force_s=5, engine=True)
        self.core = Core(limits=limits, now=self.now)
        self.handle(Subscribed())

    @property
    def now(self) -> Moment:
        return Moment(clock_s=self.clock_s, at=datetime(2026, 1, 1, tzinfo=UTC))

    def handle(self, event: Event) -> list[Effect]:
        return self.core.handle(event, self.now)

    def after(self, seconds: float) -> list[Effect]:
        """What is done at a tick that much later."""
        assert self.core.next_tick_s(self.now) <= seconds
        self.clock_s += seconds
        return self.core.on_tick(self.now)

    def told(self, effects: list[Effect]) -> list[str | None]:
        """What the scheduler is told of the engine."""
        return [e.report.problem for e in effects if isinstance(e, Tell) and isinstance(e.report, EngineReport)]

    def launch(self, image: ImageSource = IN_ENGINE) -> tuple[AttemptSpec, list[Effect]]:
        spec = a_spec(a_manifest("true"), "/outputs", image=image)
        return spec, self.handle(Launch(task_id=spec.attempt, data=spec.to_json().encode()))

    def run(self) -> AttemptSpec:
        """An attempt whose command runs."""
        spec, _ = self.launch()
        self.handle(Started(attempt=spec.attempt, sandbox="/s", runtime="docker"))
        return spec


def test_an_engine_is_looked_at_one_look_at_a_time() -> None:
    """Some seconds after the last one has come back."""
    clockwork = Clockwork()
    assert clockwork.after(PROBE_S) == [Probe()]
    clockwork.clock_s += PROBE_S
    assert clockwork.core.on_tick(clockwork.now) == []
    assert clockwork.handle(EngineSeen(problem=None)) == []
    assert clockwork.after(PROBE_S) == [Probe()]


def test_a_sick_engine_is_told_again_and_again_and_once_more_when_it_is_well() -> None:
    """A MESSAGE may be lost; another scheduler is told at its subscription."""
    clockwork = Clockwork()
    clockwork.after(PROBE_S)
    assert clockwork.told(clockwork.handle(EngineSeen(problem="no disk"))) == ["no disk"]
    clockwork.after(PROBE_S)
    assert clockwork.handle(EngineSeen(problem="no disk at all")) == []
    assert clockwork.told(clockwork.after(TELL_S - PROBE_S)) == ["no disk at all"]
    assert clockwork.told(clockwork.handle(Subscribed())) == ["no disk at all"]
    assert clockwork.told(clockwork.handle(EngineSeen(problem=None))) == [None]
    assert clockwork.told(clockwork.after(PROBE_S)) == []


def test_nothing_that_needs_a_sick_engine_is_taken() -> None:
    """Refused as the agent's fault, with what is wrong; what needs none runs, and what runs already is not touched."""
    clockwork = Clockwork()
    running = clockwork.run()
    clockwork.handle(EngineSeen(problem="no disk"))
    _, (refusal,) = clockwork.launch()
    assert isinstance(refusal, Send)
    assert (refusal.state, refusal.report.cause, refusal.message) == ("TASK_FAILED", Cause.AGENT, "no disk")
    _, effects = clockwork.launch(ImageSource(name="true", version="1.0.0", context="builtin:true"))
    assert not any(isinstance(effect, Send) for effect in effects)
    assert clockwork.core.running == 2
    clockwork.handle(EngineSeen(problem=None))
    _, (begin,) = clockwork.launch()
    assert not isinstance(begin, Send)
    assert clockwork.handle(Kill(task_id=running.attempt))


def test_an_engine_that_says_nothing_is_sick() -> None:
    """What waits for it to start is ended, as the agent's fault: it would wait as long as an image may take."""
    clockwork = Clockwork()
    clockwork.after(PROBE_S)
    spec, _ = clockwork.launch()
    effects = clockwork.after(SILENT_S)
    assert Signal(attempt=spec.attempt, force=True) in effects
    assert len(clockwork.told(effects)) == 1
    (ending,) = [effect for effect in clockwork.after(1.0) if isinstance(effect, Send)]
    assert (ending.state, ending.report.cause) == ("TASK_FAILED", Cause.AGENT)
    assert "has not answered for" in ending.message
    assert clockwork.told(clockwork.handle(EngineSeen(problem=None))) == [None]


def test_what_sigkill_does_not_end_is_given_up() -> None:
    """After a while of SIGKILLs, so that its task can go on elsewhere."""
    clockwork = Clockwork()
    spec = clockwork.run()
    clockwork.handle(Kill(task_id=spec.attempt, grace_s=0.5))
    effects: list[Effect] = []
    while not any(isinstance(effect, Clean) for effect in effects):
        effects = clockwork.after(1.0)
    (ending,) = [effect for effect in effects if isinstance(effect, Send)]
    assert (ending.state, ending.message) == ("TASK_KILLED", "killed by request; SIGKILL for 5 s did not end it")


def test_a_failing_health_check_ends_an_attempt_within_its_grace() -> None:
    """Once: it is found again until the command has ended."""
    clockwork = Clockwork()
    spec = clockwork.run()
    unhealthy = Unhealthy(attempt=spec.attempt, message="its health check failed")
    assert clockwork.handle(unhealthy) == [Signal(attempt=spec.attempt, force=False)]
    assert clockwork.handle(unhealthy) == []


def test_a_long_attempt_tells_what_it_uses_ever_more_rarely() -> None:
    """After a quarter of a minute, then when it has run for twice as long."""
    clockwork = Clockwork()
    spec = clockwork.run()
    told_at = []
    for second in range(1, 121):
        clockwork.clock_s += 1
        usage = {"cpu_s": float(second)}
        for effect in clockwork.handle(Measured(attempt=spec.attempt, disk=0.0, usage=usage)):
            assert isinstance(effect, Send)
            assert effect.state == "TASK_RUNNING"
            assert effect.report.usage == {"wall_s": float(second), **usage}
            told_at.append(second)
    assert told_at == [FIRST_TOLD_S, 30, 60, 120]


V1 = {
    "cpu_stats": {"cpu_usage": {"total_usage": 2_500_000_000}},
    "memory_stats": {
        "usage": 50 * 2**20,
        "max_usage": 90 * 2**20,
        "stats": {"total_inactive_file": 30 * 2**20, "inactive_file": 1},
    },
    "blkio_stats": {
        "io_service_bytes_recursive": [
            *({"major": 8, "minor": m, "op": "Read", "value": 2**20} for m in (0, 16)),
            {"major": 8, "minor": 0, "op": "Write", "value": 3 * 2**20},
            {"major": 8, "minor": 0, "op": "Total", "value": 4 * 2**20},
        ]
    },
    "networks": {"eth0": {"rx_bytes": 2**20, "tx_bytes": 2**19}, "eth1": {"rx_bytes": 2**20, "tx_bytes": 0}},
}
V2 = {
    "cpu_stats": {"cpu_usage": {"total_usage": 2_500_000_000}},
    "memory_stats": {"usage": 50 * 2**20, "stats": {"inactive_file": 30 * 2**20}},
    "blkio_stats": {
        "io_service_bytes_recursive": [
            {"major": 8, "minor": 0, "op": "read", "value": 2 * 2**20},
            {"major": 8, "minor": 0, "op": "write", "value": 3 * 2**20},
        ]
    },
    "networks": {"eth0": {"rx_bytes": 2 * 2**20, "tx_bytes": 2**19}},
}


def test_both_versions_of_cgroups_mean_the_same() -> None:
    """Up to the kernel's own maximum, which only the first has; a container that is gone says nothing."""
    first, second = to_sample(V1, 1.0), to_sample(V2, 1.0)
    assert first is not None
    assert second is not None
    assert (first.cpu_s, first.mem, first.cache, first.most) == (2.5, 20.0, 30.0, 90.0)
    assert (second.cpu_s, second.mem, second.cache, second.most) == (2.5, 20.0, 30.0, 0.0)
    assert first.moved == second.moved == {"read_mib": 2, "written_mib": 3, "received_mib": 2, "sent_mib": 0.5}
    bare = {"cpu_stats": {"cpu_usage": {"total_usage": 0}}, "memory_stats": {}, "blkio_stats": {}}
    assert to_sample(bare, 1.0) is None
    assert to_sample({**V2, "blkio_stats": {"io_service_bytes_recursive": None}, "networks": None}, 1.0) is not None


def a_sample(at_s: float, mem: float, *, cache: float = 0.0, most: float = 0.0) -> Sample:
    """A sample of so much memory."""
    return Sample(at_s=at_s, cpu_s=at_s, mem=mem, cache=cache, most=most, moved={"read_mib": at_s})


def test_samples_add_up_to_a_peak_a_mean_and_totals() -> None:
    """The mean is over time, not over samples; the kernel's maximum counts without what may have been cache."""
    totals = Totals()
    assert totals.to_usage() == {}
    totals.take(a_sample(0, 10))
    assert totals.to_usage() == {"cpu_s": 0, "max_mem": 10, "mean_mem": 10, "read_mib": 0}
    totals.take(a_sample(1, 100))
    totals.take(a_sample(10, 20, cache=30, most=150))
    usage = totals.to_usage()
    assert usage == {"cpu_s": 10, "max_mem": 120, "mean_mem": (100 * 1 + 20 * 9) / 10, "read_mib": 10}
