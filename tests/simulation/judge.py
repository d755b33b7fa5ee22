"""What must hold after every step. Whoever breaks it stops the run with a Violation."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from executor.events import Order
from local.master import Master
from local.messages import OpenStream, Respond
from local.statuses import is_terminal as is_terminal_text
from swath.domain.attempts import Attempt
from swath.domain.changes import Change, ChangeAttempt, ChangeJob, CordonAgent, PutTask
from swath.domain.retries import Cause
from swath.domain.slots import WORK, read_slot_report
from swath.domain.states import (
    ENDED_JOB,
    AttemptState,
    Desired,
    Observation,
    is_terminal,
    next_state,
)
from swath.domain.wishes import FrameworkDesire
from swath.wire.calls import Message
from tests.simulation.books import Books
from tests.simulation.liveness import Liveness
from tests.simulation.order import JobOrder
from tests.simulation.rows import Rows
from tests.simulation.runs import Run, find_shared_ports, read_work
from tests.simulation.sharing import Sharing

if TYPE_CHECKING:
    from tests.simulation.agents import AgentHost
    from tests.simulation.driver import Connection
    from tests.simulation.executor import SimExecutor
    from tests.simulation.process import SchedulerProcess
    from tests.simulation.world import World

ZOMBIE_S = 1500.0  # an ended attempt that runs on is found by the next implicit reconciliation but one at the latest
HINDSIGHT_S = 120.0  # for a scheduler to hear that an agent is back: its own stream may be half-open meanwhile
LOSER_S = 25.0  # for a scheduler that has heard of an attempt that lost and is back, to have it killed


_ALIVE = ("TASK_STAGING", "TASK_STARTING", "TASK_RUNNING")


class Violation(AssertionError):
    """Something that must never happen did."""


class Judge:
    """Sees everything, and compares."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._runs: dict[str, Run] = {}  # attempts that run, wherever
        self._begun: set[str] = set()  # attempts that ever ran
        self._rows = Rows(world.database, self._fail)
        self._used_offers: dict[str, str] = {}
        self._updates: dict[str, Message] = {}  # uuid -> status, as the scheduler was told
        self._told_ended: set[str] = set()  # attempts that Mesos has called ended
        self._returned: set[str] = set()  # ended attempts that a scheduler was told to be alive, and has not killed
        self._doubted_at: dict[str, float] = {}  # attempt -> since when a scheduler has known that it may not run
        self._books = Books()
        self.sharing = Sharing(world, self._fail)
        self._liveness = Liveness(world, self.sharing)
        self._order = JobOrder(world.database)
        self.jumped_s = 0.0  # by how much clocks were set, all in all
        self.returned = 0  # times that an attempt which had lost came back
        self.replaced = 0  # attempts given up because nobody had heard of them for long
        self.late = 0  # attempts that began in a slot which was given up
        self.doubles = 0  # tasks that ran twice at a time, where that may be

    def _fail(self, text: str) -> None:
        raise Violation(f"at {self._world.timeline.now:.6f} s: {text}")

    def _check(self, condition: object, text: str) -> None:
        if not condition:
            self._fail(text)

    # The database

    def before_commit(self, process: SchedulerProcess, epoch: int) -> None:
        """Whoever leads no more writes nothing."""
        database = self._world.database
        self._check(epoch == database.epoch, f"{process} writes with epoch {epoch}, and {database.epoch} leads")

    def on_commit(self, changes: Sequence[Change]) -> None:
        """Ended is ended; counters are those of the rows; a winner is what the database says it is."""
        jobs: dict[str, None] = {}
        for change in changes:
            match change:
                case PutTask():
                    self._rows.check_task(change)
                    jobs[change.job_id] = None
                case ChangeJob():
                    self._rows.check_job_state(change)
                    jobs[change.job_id] = None
                case CordonAgent():
                    # Whatever goes wrong in this hour, no agent fails everything for long.
                    self._fail(f"{change.agent_id} is cordoned: {change.message}")
                case ChangeAttempt() if is_terminal(change.state):
                    self._check_end(change)
                    self._check_cause(change)
                    self._check_patience(change)
                    jobs[self._world.database.attempts[change.attempt_id].job_id] = None
        for job_id in jobs:
            self._rows.check_counts(job_id)
        for problem in self._order.on_commit(changes):
            self._fail(problem)
        self.sharing.on_commit(changes)
        self._liveness.on_commit(changes)

    def _check_cause(self, change: ChangeAttempt) -> None:
        """What we have killed has ended for the reason that was written first, whoever is told of the end."""
        why = self._world.database.attempts[change.attempt_id].kill_cause
        if change.state is AttemptState.KILLED and why is not None:
            self._check(change.cause is why, f"{change.attempt_id} was killed because of {why}, not {change.cause}")

    def _check_end(self, change: ChangeAttempt) -> None:
        """What runs has not ended. Only of what nobody can be sure may it be said, and then only that it is LOST."""
        run, now = self._runs.get(change.attempt_id), self._world.timeline.now
        if run is not None:
            removed = (
                self._world.database.framework_id is None
            )  # by this very commit: Mesos kills all, those on lost agents later
            parted = removed or run.executor.host.parted_until >= now - HINDSIGHT_S
            unsure = change.state is AttemptState.LOST and parted
            self._check(unsure, f"{change.attempt_id} runs on {run.executor} and is written as {change.state}")

    def _check_patience(self, change: ChangeAttempt) -> None:
        """ "UNREACHABLE waits by the job's policy" (M23): only what Mesos calls ended is replaced at once."""
        removed = self._world.database.framework_id is None  # by this very commit: all its tasks are killed
        if change.state is AttemptState.LOST and change.attempt_id not in self._told_ended and not removed:
            database, now = self._world.database, self._world.timeline.now
            patience_s = database.jobs[database.attempts[change.attempt_id].job_id].spec.retry.unreachable_s
            waited_s = now - self._doubted_at.get(change.attempt_id, now)
            self._check(
                waited_s >= patience_s - self.jumped_s - 1,
                f"{change.attempt_id} is given up after {waited_s:.0f} s, its job waits {patience_s:.0f} s",
            )
            self.replaced += 1

    # Calls

    def on_event(self, connection: Connection, message: Message) -> None:
        """A scheduler is told something."""
        status = message.get("update", {}).get("status")
        if status is None:
            return
        if status.get("uuid"):
            self._updates[status["uuid"]] = status
        slot_id, now = status["task_id"]["value"], self._world.timeline.now
        attempts = self._world.database.attempts_in(slot_id)
        for attempt in attempts:
            self._note_said(connection, attempt.id, status["state"], now)
        alive = not is_terminal_text(status["state"]) and status["state"] in _ALIVE
        if alive and attempts and all(is_terminal(attempt.state) for attempt in attempts):
            self._expect_kill(connection, slot_id)

    def _note_said(self, connection: Connection, attempt_id: str, state: str, now: float) -> None:
        if is_terminal_text(state):
            self._told_ended.add(attempt_id)
        elif state in ("TASK_UNREACHABLE", "TASK_UNKNOWN"):
            self._doubted_at.setdefault(attempt_id, now)
        elif state != "TASK_KILLING" and connection.driver.process.epoch == self._world.database.epoch:
            self._doubted_at.pop(attempt_id, None)  # not by one that was stopped long ago

    def _expect_kill(self, connection: Connection, slot_id: str) -> None:
        """ "When a replaced task comes back, kill the loser" (M23): at once, by a scheduler that is well."""
        self.returned += 1
        self._returned.add(slot_id)

        def look() -> None:
            well = not connection.broken and connection.driver.process.is_well
            runs = any(attempt.id in self._runs for attempt in self._world.database.attempts_in(slot_id))
            if well and slot_id in self._returned and runs:
                self._fail(f"{slot_id} has lost and is back since {LOSER_S:.0f} s, and nobody kills it")

        self._world.timeline.after(LOSER_S, f"a look at {slot_id}", look)

    def on_call(self, process: SchedulerProcess, message: Message) -> None:
        """A scheduler says something: nothing that is not written."""
        match message["type"]:
            case "ACCEPT":
                self._use_offers(process, message["accept"]["offer_ids"])
                for task in message["accept"]["operations"][0]["launch"]["task_infos"]:
                    self._check_work(task["task_id"]["value"], read_work(task["data"]))
            case "MESSAGE":
                said = json.loads(b64decode(message["message"]["data"]))
                if said["kind"] == WORK:
                    self._check_work(said["slot"], [one["attempt"] for one in said["work"]])
            case "DECLINE":
                self._use_offers(process, message["decline"]["offer_ids"])
            case "ACKNOWLEDGE":
                self._check_acknowledged(message["acknowledge"]["uuid"])
            case "KILL":
                self._check_kill(message["kill"]["task_id"]["value"])
            case "TEARDOWN":
                wish = self._world.database.framework_wish
                asked = wish is not None and wish.desire is not FrameworkDesire.RUN
                # Once carried out, the wish still covers the framework that it was about, and never the one after it.
                old = message["framework_id"]["value"] != self._world.database.framework_id
                due = asked and (old or (wish is not None and wish.rev != wish.observed_rev))
                self._check(due, "a TEARDOWN that nobody asked for")

    def _use_offers(self, process: SchedulerProcess, offer_ids: Sequence[Message]) -> None:
        for entry in offer_ids:
            offer_id = entry["value"]
            earlier = self._used_offers.get(offer_id)
            self._check(earlier is None, f"{process} uses offer {offer_id}, which {earlier} has used")
            self._used_offers[offer_id] = str(process)

    def _check_work(self, slot_id: str, attempts: Sequence[str]) -> None:
        for attempt_id in attempts:
            self._check_written(attempt_id)
            of = self._world.database.attempts[attempt_id].slot_id
            self._check(of == slot_id, f"{attempt_id} is handed over to {slot_id} and written to be in {of}")

    def _check_written(self, attempt_id: str) -> None:
        self._check(attempt_id in self._world.database.attempts, f"{attempt_id} is launched before it is written")

    def _check_acknowledged(self, uuid: str) -> None:
        """What is acknowledged is never told again: it has to be in the database."""
        status = self._updates[uuid]
        observation = Observation(status["state"].removeprefix("TASK_"))
        if observation is Observation.ERROR:
            return
        database, slot_id = self._world.database, status["task_id"]["value"]
        if slot_id in database.attempts:
            self._check_noted(database.attempts[slot_id], observation)
            return
        report = read_slot_report(b64decode(status.get("data", "")))
        for told in report.told if report is not None else ():
            self._check_noted(database.attempts[told.attempt], told.state)
        if is_terminal_text(status["state"]):
            left = [attempt.id for attempt in database.attempts_in(slot_id) if not is_terminal(attempt.state)]
            self._check(not left, f"the end of slot {slot_id} is acknowledged, and {left} are written as open")

    def _check_noted(self, attempt: Attempt, observation: Observation) -> None:
        if is_terminal(attempt.state) or attempt.state is AttemptState.UNREACHABLE:
            return
        after = next_state(attempt.state, observation)
        self._check(
            after is attempt.state,
            f"{observation} of {attempt.id} is acknowledged, which is written as {attempt.state}",
        )

    def _check_kill(self, slot_id: str) -> None:
        self._returned.discard(slot_id)
        left = [one for one in self._world.database.attempts_in(slot_id) if not is_terminal(one.state)]
        if left and not any(map(self._is_unwanted, left)):
            causes = {attempt.kill_cause for attempt in left}
            self._fail(f"{slot_id} is killed because of {causes}, and nobody wants that")

    def _is_unwanted(self, attempt: Attempt) -> bool:
        database = self._world.database
        if database.jobs[attempt.job_id].desired is Desired.CANCELLED:
            return True
        old = (self._world.timeline.moment() - attempt.launched_at).total_seconds() > 2000
        # Commit, then speak: whoever is told of the end has to know why.
        match attempt.kill_cause:
            case Cause.PREEMPTED:
                return True
            case Cause.DRAINED:
                return attempt.agent_id in database.agent_wishes
            case Cause.TIMEOUT | Cause.AGENT:
                return old
            case _:
                return False

    def on_answer(self, process: SchedulerProcess, message: Message, answer: Respond | OpenStream | None) -> None:
        """The master has taken a call, or not. What it takes of an attempt that has ended would run it again."""
        if not isinstance(answer, Respond) or answer.status >= 300:
            return
        if message["type"] == "TEARDOWN":
            self.on_removed()
        if message["type"] == "ACCEPT":
            for task in message["accept"]["operations"][0]["launch"]["task_infos"]:
                attempts = [self._world.database.attempts[attempt_id] for attempt_id in read_work(task["data"])]
                ended = [attempt.id for attempt in attempts if is_terminal(attempt.state)]
                self._check(not ended, f"{process} launches {ended}, which have ended")

    # The master and the agents

    def on_removed(self) -> None:
        """The master has removed the framework: everything is being killed, and nobody is told."""
        for host in self._world.agents.values():
            host.parted_until = max(host.parted_until, self._world.timeline.now)

    def on_master(self, master: Master) -> None:
        """No agent is promised or used beyond what it has."""
        for problem in self._books.find_promised(master):
            self._fail(problem)

    def on_agent(self, host: AgentHost) -> None:
        """What runs on an agent fits on it."""
        for problem in self._books.find_used(host):
            self._fail(problem)

    # The executors

    def on_begin(self, executor: SimExecutor, order: Order) -> None:
        """An attempt begins to run: once, and alone unless the other one was lost sight of."""
        attempt_id, job_id, index = order.spec.attempt, order.spec.job, order.spec.task
        self._check_written(attempt_id)
        self._check(attempt_id not in self._begun, f"{attempt_id} runs a second time")
        self._check_open(attempt_id)
        for other_id, run in self._runs.items():
            if (run.job_id, run.index) == (job_id, index):
                self._check_double(attempt_id, other_id, run)
        begun = Run(executor=executor, job_id=job_id, index=index, begun_at=self._world.timeline.now, order=order)
        for problem in find_shared_ports(begun, self._runs.values()):
            self._fail(problem)
        self._begun.add(attempt_id)
        self._runs[attempt_id] = begun

    def _check_open(self, attempt_id: str) -> None:
        """What waits in a slot begins before it ends, unless nobody could be sure of the slot."""
        attempt = self._world.database.attempts[attempt_id]
        if is_terminal(attempt.state):
            cause = self._world.database.details[attempt_id].get("cause")
            lost = attempt.state is AttemptState.LOST and cause is not Cause.UNBEGUN
            self._check(lost, f"{attempt_id} begins, and is written as {attempt.state} because of {cause}")
            self.late += 1

    def _check_double(self, attempt_id: str, other_id: str, run: Run) -> None:
        attempts = self._world.database.attempts
        other = attempts[other_id]
        # In a partition: see _check_end. What is lost may begin after what takes its place, where it waited in a slot.
        lost = AttemptState.LOST in (other.state, attempts[attempt_id].state)
        self._check(
            lost, f"{attempt_id} begins while {other_id} runs on {run.executor}, which is written as {other.state}"
        )
        self.doubles += 1

    def on_end(self, executor: SimExecutor, attempt_id: str) -> None:
        """An attempt runs no more."""
        self._runs.pop(attempt_id, None)

    def on_publish(self, attempt_id: str, directory: str) -> None:
        """An attempt has put its outputs in their place."""
        self._rows.published[attempt_id] = directory

    # Now and then

    def look_around(self) -> None:
        """What has ended must not run on for ever where it can be reached, and what waits must not wait for ever."""
        for problem in self._liveness.look():
            self._fail(problem)
        now = self._world.timeline.now
        for attempt_id, run in self._runs.items():
            ended = is_terminal(self._world.database.attempts[attempt_id].state)
            foreign = run.executor.framework_id != self._world.database.framework_id  # of one that was torn down
            if not ended or foreign or not run.executor.host.is_connected or not self._world.is_led:
                run.zombie_since = None
            elif run.zombie_since is None:
                run.zombie_since = now
            elif now - run.zombie_since > ZOMBIE_S:
                self._fail(f"{attempt_id} has ended and runs on {run.executor} since {run.zombie_since:.0f} s")

    def at_the_end(self) -> None:
        """Nothing that was accepted is lost, and everything has come to an end."""
        database = self._world.database
        for job in database.jobs.values():
            self._check(
                job.state in ENDED_JOB, f"job {job.id} is {job.state} at the end: {job.counts} {job.wait_reason}"
            )
            self._check(job.desired_rev == job.observed_rev, f"a wish about {job.id} was never heard")
            self._rows.check_counts(job.id)
        open_ones = [attempt.id for attempt in database.attempts.values() if not is_terminal(attempt.state)]
        self._check(not open_ones, f"open attempts at the end: {open_ones}")
        wrong = database.find_misaccounted()
        self._check(not wrong, f"attempts that are accounted for never or twice (accounted, ended): {wrong}")
        owed = {host.agent_id: sorted(host.owed) for host in self._world.agents.values() if host.owed}
        self._check(not owed, f"updates that were never acknowledged: {owed}")
        self._check(not self._runs, f"these run on at the end: {self._describe_runs()}")

    def _describe_runs(self) -> dict[str, Any]:
        return {name: f"{run.executor} since {run.begun_at:.0f}" for name, run in self._runs.items()}

    @property
    def is_quiet(self) -> bool:
        """Nothing is left to be done."""
        database = self._world.database
        return (
            not self._runs
            and all(job.state in ENDED_JOB and job.desired_rev == job.observed_rev for job in database.jobs.values())
            and not any(database.live.values())
            and not any(host.owed for host in self._world.agents.values())
        )
