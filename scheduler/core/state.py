"""Everything that the core keeps in memory. All of it but the offers, and how agents have
done lately, can be read again from the database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from scheduler.core import images_held
from scheduler.core.health import Lesson
from scheduler.core.held import NOBODY, Held, Tally, owner_of
from scheduler.core.images_held import Holdings, Prefetched
from scheduler.core.known_agents import Agent, Use
from scheduler.core.limit import Limit
from scheduler.core.open_jobs import Followed, Job
from scheduler.core.slot import Slot
from scheduler.core.timers import Timers
from swath.domain.attempts import Attempt
from swath.domain.changes import PutAgent
from swath.domain.projects import Project
from swath.domain.resources import Resources
from swath.domain.retries import Cause
from swath.domain.shares import HALF_LIFE_S, Past
from swath.domain.slots import is_shared
from swath.domain.states import AttemptState
from swath.domain.wishes import AgentWish, FrameworkDesire, FrameworkWish
from swath.matching.model import Claim, Policy
from swath.store.rows import Owner

_OFFERS_HEARD = 20_000  # ids that a repeated OFFERS event could name
STARTING = frozenset({AttemptState.LAUNCHING, AttemptState.STAGING})


@dataclass(frozen=True, kw_only=True, slots=True)
class CoreSettings:
    """What the core has to know of its surroundings, and its patience."""

    executor_id: str  # contains a hash of the ExecutorInfo (DESIGN.md 4.2)
    executor_resources: Resources
    launch_timeout_s: float = 30.0  # without any update of a launched attempt; then it is asked for (M16)
    staging_timeout_s: float = 3600.0  # from reaching its agent to running: images and inputs may be large
    unknown_wait_s: float = 900.0  # longer than Mesos' agent_reregister_timeout (10 min); then the attempt is LOST
    refuse_s: float = 600.0  # filter for what nothing here can use (M29)
    reconcile_s: float = 720.0  # "implicit every 10 to 15 minutes" (M24)
    revives_per_s: int = 5  # in any second
    largest_revive: int = 500  # filtered agents; REVIVE drops all filters, from this on the master's tick serves (M28)
    agents_busy_s: float = 10.0  # between lists of agents while work waits
    agents_idle_s: float = 120.0
    agents_draining_s: float = 1.0  # between them while an agent drains: somebody may wait for its end
    half_life_s: float = HALF_LIFE_S  # after which what a project has held counts half
    why_s: float = 2.0  # between two looks at why jobs wait, at least
    policy: Policy = field(default_factory=Policy)  # of the matcher
    agents_seen_s: float = 300.0  # an unchanged agent's last_seen is written so often
    prefetch_agents: int = 8  # that pull an image ahead at the same time, of whatever job; 0 for none
    register_anew: bool = False  # after the master has removed the framework (M5)


@dataclass(slots=True)
class LiveAttempt:
    """An attempt that has not ended."""

    attempt: Attempt
    state: AttemptState
    owner: Owner = NOBODY
    started_at: datetime | None = None
    last_uuid: str | None = None  # of the last update, for repeated ones (surprise 12)
    kills: int = 0  # how often its end was asked for
    doubtful: bool = False  # nobody knows whether it runs
    unreachable_at: datetime | None = None  # since when, while it is UNREACHABLE
    answered: bool = False  # an update has come for it since the present subscription began
    kill_cause: Cause | None = None  # why we have decided to end it; None where the job's user has, or nobody

    @property
    def preempted(self) -> bool:
        """Its end is asked for because something else needs its resources more."""
        return self.kill_cause is Cause.PREEMPTED


@dataclass(slots=True)
class Returned:
    """A Mesos task whose attempt has ended for us, and that runs all the same."""

    agent_id: str | None
    kills: int = 0  # how often its end was asked for


@dataclass(slots=True)
class Reconciliation:
    """The explicit reconciliation under way."""

    queue: dict[str, None] = field(default_factory=dict)  # attempts still to be asked for in this round, in order
    asked: set[str] = field(default_factory=set)  # attempts whose answer is awaited
    unanswered: set[str] = field(default_factory=set)  # of earlier batches of this round
    round: int = 0

    @property
    def outstanding(self) -> int:
        """How many answers are still to come."""
        return len(self.queue) + len(self.asked) + len(self.unanswered)


@dataclass(slots=True)
class State:
    """The whole of it."""

    settings: CoreSettings
    make_id: Callable[[datetime], str]  # a new ULID
    revives: Limit
    framework_id: str | None = None
    status_at: datetime | None = None  # when the scheduler's own status was written
    connected: bool = False
    connected_at: datetime | None = None  # when the present subscription began
    master: str | None = None
    gone: bool = False  # Mesos has nothing of this framework any more, and its attempts are being ended
    outside: str | None = None  # why the framework is not in Mesos, and is not to be for now
    suppressed: bool = False
    asked_at: datetime | None = None  # since when it is not
    wants_offers: bool = False  # work has come, or resources were freed for it, that no offer has covered yet
    freed: bool = False  # resources were freed in this turn
    heard_offers: dict[str, str | None] = field(default_factory=dict)  # the newest, used or void by now -> their agents
    jobs: dict[str, Job] = field(default_factory=dict)
    waiting: dict[str, None] = field(default_factory=dict)  # jobs with tasks that could start
    followed: dict[str, Followed] = field(default_factory=dict)  # jobs that open ones wait for
    unsettled: dict[str, None] = field(default_factory=dict)  # jobs whose dependencies are to be looked at
    attempts: dict[str, LiveAttempt] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)  # what the attempts hold, by project and user
    pasts: dict[str, Past] = field(default_factory=dict)  # by project: what it has held of late (scheduler.core.usage)
    pasts_written: dict[str, Past] = field(default_factory=dict)  # what the database has of them
    total: Resources = field(default_factory=Resources)  # of the agents that are known
    total_settled: Resources = field(default_factory=Resources)  # `total`, when past shares were settled last
    projects: dict[str, Project] = field(default_factory=dict)  # those that were declared; others have the defaults
    slots: dict[str, Slot] = field(default_factory=dict)  # by Mesos task
    shared: dict[str, dict[str, None]] = field(default_factory=dict)  # job -> its slots that may hold several attempts
    hungry: dict[str, None] = field(default_factory=dict)  # of those, the ones in which an attempt has ended
    agents: dict[str, Agent] = field(default_factory=dict)
    uses: dict[str, Use] = field(default_factory=dict)  # of the agents that are known or have live attempts
    largest: dict[object, int | None] = field(default_factory=dict)  # see scheduler.core.largest
    fitted: dict[object, Resources] = field(default_factory=dict)  # the same
    missed: dict[str, PutAgent] = field(default_factory=dict)  # agents that have gone lately: they may come back
    all_missed: bool = False  # nobody may come back any more who had gone before this core began
    agents_changed: bool = False  # in this turn: they have come, gone, grown or shrunk
    lessons: dict[tuple[int, str], Lesson] = field(default_factory=dict)  # by image version and request
    runs: dict[tuple[int, str], float] = field(default_factory=dict)  # by image version and project: the longest, in s
    image_ends: dict[int, tuple[datetime, int, int]] = field(default_factory=dict)  # see cooling.find_chance
    cooling: dict[int, frozenset[str]] = field(default_factory=dict)  # image -> agents that it must not use for now
    succeeded_at: datetime | None = None  # when an attempt of anything did last
    claims: tuple[Claim, ...] = ()  # what the last plan kept free for whom
    look: bool = False  # plan in this turn, with or without offers: somebody may take resources back
    shares_at: datetime | None = None  # when projects below their fair share were last helped up
    held_since: datetime | None = None  # when offers began to be left for the turns after
    filtered: dict[str, datetime] = field(default_factory=dict)  # agents of which we refused something, and until when
    timers: Timers = field(default_factory=Timers)
    holdings: Holdings = field(default_factory=Holdings)
    prefetched: Prefetched = field(default_factory=Prefetched)
    reconciliation: Reconciliation = field(default_factory=Reconciliation)
    minimums: tuple[Resources, ...] = ()  # what the master offers at least, as told since the subscription began
    filters_refused: bool = False  # the master takes no minimums
    agent_wishes: dict[str, AgentWish] = field(default_factory=dict)  # agents that are to be other than ACTIVE
    wishes_under_way: dict[str, AgentWish] = field(default_factory=dict)  # agent -> what Mesos has not done yet
    wish_tries: dict[str, int] = field(default_factory=dict)  # agent -> how often Mesos was asked in vain
    framework_wish: FrameworkWish | None = None  # the newest that was heard of
    framework_rev_done: int = 0  # the `rev` of the last one that was carried out
    returned: dict[str, Returned] = field(
        default_factory=dict
    )  # ended Mesos tasks that were seen alive, the newest last

    @property
    def is_leaving(self) -> bool:
        """True while a TEARDOWN is to be made: nothing is launched that it would kill."""
        wish = self.framework_wish
        return wish is not None and wish.rev > self.framework_rev_done and wish.desire is not FrameworkDesire.RUN

    @property
    def held(self) -> dict[tuple[str, str], Held]:
        """What each user of each project holds, by (project, user); whoever holds nothing has no entry."""
        return self.tally.by_user

    def thaw(self, agent_id: str, image: int) -> None:
        """The image may use the agent again."""
        left = self.cooling.get(image, frozenset()) - {agent_id}
        if left:
            self.cooling[image] = left
        else:
            self.cooling.pop(image, None)

    def find_attempt(self, task_id: str) -> LiveAttempt | None:
        """The live attempt that has a Mesos task to itself."""
        return self.attempts.get(task_id) if task_id in self.slots else None

    def attempts_in(self, slot_id: str) -> list[LiveAttempt]:
        """The open attempts of a slot, in the order in which they run."""
        slot = self.slots.get(slot_id)
        return [] if slot is None else [self.attempts[attempt_id] for attempt_id in slot.attempts]

    def add_attempt(self, attempt: Attempt, owner: Owner | None = None) -> LiveAttempt:
        """Take an attempt in, whether new or read from the database; `owner` where its job is none of the open ones."""
        job = self.jobs.get(attempt.job_id)
        live = LiveAttempt(
            attempt=attempt,
            state=attempt.state,
            owner=owner_of(job.record) if job is not None else owner or NOBODY,
            started_at=attempt.started_at,
            unreachable_at=attempt.unreachable_at if attempt.state is AttemptState.UNREACHABLE else None,
            kill_cause=attempt.kill_cause,
        )
        self.attempts[attempt.id] = live
        slot = self.slots.get(attempt.slot_id) or self._open_slot(live)
        slot.attempts[attempt.id] = None
        if slot.shared and attempt.started_at is None:  # told once more, it is not taken twice
            slot.untaken[attempt.id] = None
        if attempt.state not in STARTING:
            self._note_starting(slot, starting=False)
        return live

    def _open_slot(self, live: LiveAttempt) -> Slot:
        """The slot of its first attempt; all that it holds is taken with it."""
        attempt = live.attempt
        slot = self.slots[attempt.slot_id] = Slot(
            id=attempt.slot_id,
            job_id=attempt.job_id,
            agent_id=attempt.agent_id,
            executor_id=attempt.executor_id,
            resources=attempt.resources,
            ports=attempt.ports,
            opened_at=attempt.launched_at,
            shared=is_shared(attempt),
            starting=True,
        )
        use = self.uses.setdefault(attempt.agent_id, Use())
        use.resources += slot.resources
        use.slots[slot.id] = None
        if slot.ports:
            use.ports.update(slot.ports)
            use.last_port = slot.ports[-1]
        use.starting += 1
        self.tally.take(live.owner, slot.resources)
        if slot.shared:
            self.shared.setdefault(slot.job_id, {})[slot.id] = None
        return slot

    def _note_starting(self, slot: Slot, *, starting: bool) -> None:
        self.uses[slot.agent_id].starting += starting - slot.starting
        slot.starting = starting

    def change_attempt(self, live: LiveAttempt, state: AttemptState) -> None:
        """Bring a live attempt to its next state; the only way to do so."""
        slot = self.slots[live.attempt.slot_id]
        self._note_starting(slot, starting=state in STARTING and (slot.starting or not slot.shared))
        live.state = state

    def remove_attempt(self, attempt: Attempt) -> bool:
        """Let go of an attempt that has ended; True where its slot goes with it, and what that held is free."""
        live, slot = self.attempts.pop(attempt.id), self.slots[attempt.slot_id]
        slot.attempts.pop(attempt.id)
        slot.untaken.pop(attempt.id, None)
        if slot.attempts:
            self.hungry[slot.id] = None
            return False
        self._close_slot(slot, live.owner)
        return True

    def _close_slot(self, slot: Slot, owner: Owner) -> None:
        del self.slots[slot.id]
        self.hungry.pop(slot.id, None)
        use = self.uses[slot.agent_id]
        use.resources -= slot.resources
        use.slots.pop(slot.id)
        use.ports.difference_update(slot.ports)
        use.starting -= slot.starting
        self.tally.give_back(owner, slot.resources)
        if slot.shared:
            of_job = self.shared[slot.job_id]
            del of_job[slot.id]
            if not of_job:
                del self.shared[slot.job_id]
        self._tidy(slot.agent_id)

    def add_agent(self, info: PutAgent) -> Agent:
        """Take an agent in; it may come back with attempts of ours on it."""
        known = self.agents.get(info.agent_id)
        self.missed.pop(info.agent_id, None)
        self._forget_sizes()
        self.total += info.total if known is None else info.total - known.info.total
        agent = self.agents[info.agent_id] = Agent(info=info, use=self.uses.setdefault(info.agent_id, Use()))
        return agent

    def describe_agent(self, agent: Agent, info: PutAgent) -> None:
        """The agent is known to be otherwise than before; the only way to say so."""
        if agent.info.total != info.total:
            self.total += info.total - agent.info.total
        if agent.info != info:
            self._forget_sizes()
        agent.info = info

    def note_listed(self, agent: Agent) -> None:
        """The master has said what the agent has in total."""
        if not agent.listed:
            agent.listed = True
            self._forget_sizes()

    def remove_agent(self, agent_id: str) -> Agent | None:
        """Let go of an agent, if there is such a one; its attempts stay."""
        agent = self.agents.pop(agent_id, None)
        self._forget_sizes()
        if agent is not None:
            self.missed[agent_id] = agent.info
            self.total -= agent.info.total
        for image in () if agent is None else agent.records:
            self.thaw(agent_id, image)
        self.filtered.pop(agent_id, None)
        images_held.forget(self, agent_id)
        self._tidy(agent_id)
        return agent

    def forget_missed(self, agent_id: str) -> None:
        """The agent is not waited for any more."""
        self.missed.pop(agent_id, None)
        self._forget_sizes()

    def _forget_sizes(self) -> None:
        """An agent is another: what the largest one has may be another, too."""
        self.largest.clear()
        self.fitted.clear()

    def _tidy(self, agent_id: str) -> None:
        use = self.uses.get(agent_id)
        if use is not None and not use.slots and agent_id not in self.agents:
            del self.uses[agent_id]

    def is_new_offer(self, offer_id: str, agent_id: str | None = None) -> bool:
        """False for an offer that was heard of before: "an offer is used once" (M17), however often it is told."""
        if offer_id in self.heard_offers:
            return False
        self.heard_offers[offer_id] = agent_id
        if len(self.heard_offers) > _OFFERS_HEARD:
            del self.heard_offers[next(iter(self.heard_offers))]
        return True

    def agents_with_offers(self) -> list[Agent]:
        """The agents that offer something now."""
        return [agent for agent in self.agents.values() if agent.offers]
