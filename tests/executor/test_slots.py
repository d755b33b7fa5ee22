"""A slot in the executor: a queue of attempts, of which one runs at a time, and what is told of it."""

from __future__ import annotations

from dataclasses import replace

from executor.events import Begin, Clean, Effect, Exit, Exited, Kill, Launch, Published, Send, Shutdown, Signal, Work
from executor.slots import MOST_TOLD, Slots
from swath.domain.attempts import AttemptSpec
from swath.domain.retries import Cause
from swath.domain.slots import SlotReport, SlotSpec, WorkOrder, own_part
from tests.executor.build import a_manifest, a_spec
from tests.executor.test_core import Clockwork, Started

SLOT = "slot-1"


class Slotwork(Clockwork):
    """An executor with a slot, on a clock that moves when it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.slots = Slots(self.core)
        self.reports: list[tuple[str, SlotReport]] = []  # (state of the slot, what was told) as the scheduler reads it

    def handle(self, event: object) -> list[Effect]:
        return self._note(self.slots.handle(event, self.now))  # type: ignore[arg-type]

    def after(self, seconds: float) -> list[Effect]:
        self.clock_s += seconds
        return self._note(self.slots.on_tick(self.now))

    def _note(self, effects: list[Effect]) -> list[Effect]:
        for effect in effects:
            if isinstance(effect, Send) and effect.task_id == SLOT and isinstance(effect.report, SlotReport):
                self.reports.append((effect.state, SlotReport.from_json(effect.report.to_json())))
        return effects

    def open(self, count: int, slot: str = SLOT) -> list[AttemptSpec]:
        """LAUNCH of a slot with so many attempts."""
        specs = [a_spec(a_manifest("true"), "/outputs") for _ in range(count)]
        self.effects = self.handle(Launch(task_id=slot, data=SlotSpec.of(specs).to_json().encode()))
        return specs

    def hand_over(self, *specs: AttemptSpec, slot: str = SLOT) -> list[Effect]:
        """A message to the slot."""
        return self.handle(Work(order=WorkOrder(slot=slot, work=tuple(map(own_part, specs)))))

    def run(self, spec: AttemptSpec, exit_code: int = 0) -> list[Effect]:
        """The attempt's command starts and ends."""
        self.handle(Started(attempt=spec.attempt, sandbox="/sandbox", runtime="process"))
        effects = self.handle(Exited(attempt=spec.attempt, exit_code=exit_code))
        return self.handle(Published(attempt=spec.attempt)) if exit_code == 0 else effects

    @property
    def told(self) -> list[tuple[str, str]]:
        """(attempt, state) of all news so far."""
        return [(one.attempt, one.state.value) for _, report in self.reports for one in report.told]


def begun(effects: list[Effect]) -> list[str]:
    """The attempts that begin."""
    return [effect.order.spec.attempt for effect in effects if isinstance(effect, Begin)]


def test_the_attempts_of_a_slot_run_one_after_another_and_the_slot_ends_with_the_last():
    """Each begins with the end of the one before, is cleaned up before that, and its news is the slot's."""
    work = Slotwork()
    first, second = work.open(2)
    assert begun(work.effects) == [first.attempt]
    assert work.reports == [("TASK_RUNNING", SlotReport(taken=(first.attempt, second.attempt)))]
    effects = work.run(first)
    assert [type(effect) for effect in effects if not isinstance(effect, Send)] == [Clean, Begin]
    assert begun(effects) == [second.attempt]
    work.run(second)
    assert [state for state, _ in work.reports] == ["TASK_RUNNING", "TASK_RUNNING", "TASK_FINISHED"]
    assert work.told == [(first.attempt, "FINISHED"), (second.attempt, "FINISHED")]


def test_news_is_told_with_the_next_tick_and_only_once():
    """The last of each attempt; a tick without any says nothing."""
    work = Slotwork()
    first, second, *_ = work.open(5)
    work.run(first, exit_code=3)
    work.handle(Started(attempt=second.attempt, sandbox="/sandbox", runtime="process"))
    assert len(work.reports) == 1
    work.after(0.2)
    assert work.told == [(first.attempt, "FAILED"), (second.attempt, "RUNNING")]
    assert work.reports[-1][1].told[0].read().exit_code == 3
    assert [effect for effect in work.after(0.2) if isinstance(effect, Send)] == []


def test_news_does_not_wait_for_the_tick_where_as_many_have_ended_as_are_left():
    """More work can come before the queue is empty; and no report grows too large."""
    work = Slotwork()
    for spec in work.open(16):
        work.run(spec)
    assert [len(report.told) for _, report in work.reports] == [0, 8, 4, 2, 1, 1]
    assert [state for state, _ in work.reports] == ["TASK_RUNNING"] * 5 + ["TASK_FINISHED"]
    more = Slotwork()
    for spec in more.open(4 * MOST_TOLD):
        more.run(spec)
    assert max(len(report.told) for _, report in more.reports) == MOST_TOLD


def test_work_that_is_handed_over_twice_is_taken_once_and_said_to_be_there_each_time():
    """Before its turn, in its turn, and after it."""
    work = Slotwork()
    first, _ = work.open(2)
    third = a_spec(a_manifest("true"), "/outputs")
    for _ in range(2):
        assert begun(work.hand_over(first, third)) == []
    work.after(0.2)
    assert work.reports[-1] == ("TASK_RUNNING", SlotReport(taken=(first.attempt, third.attempt)))
    work.run(first)
    work.hand_over(first)
    work.after(0.2)
    assert work.reports[-1][1].taken == (first.attempt,)
    assert [state for attempt, state in work.told if attempt == first.attempt] == ["FINISHED"]
    assert work.core.running == 1


def test_a_message_opens_no_slot_neither_one_that_is_unknown_nor_one_that_has_ended():
    """Its attempts are told of by nobody: they never began."""
    work = Slotwork()
    (first,) = work.open(1)
    work.run(first)
    reports = len(work.reports)
    assert work.hand_over(a_spec(a_manifest("true"), "/outputs")) == []
    assert work.hand_over(a_spec(a_manifest("true"), "/outputs"), slot="unknown") == []
    work.after(1)
    assert (len(work.reports), work.core.running) == (reports, 0)
    assert work.handle(Launch(task_id=SLOT, data=SlotSpec.of([first]).to_json().encode())) == []


def test_a_kill_ends_the_attempt_that_runs_and_drops_the_queue():
    """What was waiting is told of by nobody, and nothing more is taken."""
    work = Slotwork()
    first, second = work.open(2)
    work.handle(Started(attempt=first.attempt, sandbox="/sandbox", runtime="process"))
    effects = work.handle(Kill(task_id=SLOT, grace_s=5))
    assert [effect.attempt for effect in effects if isinstance(effect, Signal)] == [first.attempt]
    work.hand_over(second)
    assert begun(work.handle(Exited(attempt=first.attempt, exit_code=143))) == []
    assert work.reports[-1][0] == "TASK_KILLED"
    assert work.told == [(first.attempt, "KILLED")]
    assert work.reports[-1][1].taken == ()


def test_a_shutdown_ends_all_slots_before_the_executor():
    """The last report of each goes out before the exit."""
    work = Slotwork()
    first, _ = work.open(2)
    work.handle(Started(attempt=first.attempt, sandbox="/sandbox", runtime="process"))
    work.handle(Shutdown(message="the agent wants it"))
    effects = work.handle(Exited(attempt=first.attempt, exit_code=143))
    assert isinstance(effects[-1], Exit)
    assert work.reports[-1][0] == "TASK_FAILED"
    assert work.reports[-1][1].told[-1].read().cause is Cause.AGENT
    later = Slotwork()
    later.handle(Shutdown(message="the agent wants it"))
    later.open(2)
    assert [(state, report.told) for state, report in later.reports] == [("TASK_FAILED", ())]


def test_an_attempt_that_cannot_be_one_fails_alone():
    """Those before and behind it run."""
    work = Slotwork()
    specs = [a_spec(a_manifest("true"), "/outputs") for _ in range(3)]
    specs[1] = replace(specs[1], attempt="../etc")
    work.handle(Launch(task_id=SLOT, data=SlotSpec.of(specs).to_json().encode()))
    work.run(specs[0])
    work.run(specs[2])
    assert [state for _, state in work.told] == ["FINISHED", "FAILED", "FINISHED"]
    assert work.reports[-1][0] == "TASK_FINISHED"


def test_a_slot_of_another_version_is_refused():
    """As what it is taken for: no specification of an attempt."""
    work = Slotwork()
    effects = work.handle(Launch(task_id=SLOT, data=b'{"slot":2,"shared":{},"work":[]}'))
    assert [(effect.task_id, effect.state) for effect in effects if isinstance(effect, Send)] == [(SLOT, "TASK_FAILED")]
    assert work.slots.running == 0
