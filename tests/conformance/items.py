"""The items of the checklist, each with its places in the code and the transcripts of a real Mesos that bear on it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Item:
    """One demand on a framework."""

    number: int
    demand: str
    places: tuple[str, ...]  # files, from the root of the checkout
    transcripts: tuple[str, ...] = ()  # folders of recordings, by the beginning of their names


@dataclass(frozen=True, slots=True)
class Chapter:
    """Items that belong together."""

    title: str
    items: tuple[Item, ...]


CORE = "scheduler/core/"

CHAPTERS = (
    Chapter(
        "Identity and life",
        (
            Item(
                1,
                "the framework id is persisted on the first SUBSCRIBED, before any launch, and named in both places after",
                (CORE + "subscription.py", "swath/wire/scheduler.py"),
                ("06", "01"),
            ),
            Item(2, "`failover_timeout` of a week", ("swath/wire/calls.py", "scheduler/settings.py"), ("10-", "06")),
            Item(3, "checkpointing", ("swath/wire/calls.py", "swath/wire/environment.py"), ("04i", "04a", "04b")),
            Item(
                4,
                "TEARDOWN on an operator's explicit command only",
                (CORE + "outside.py", "swath/wire/scheduler.py", "api/routes/scheduler.py"),
                ("10-",),
            ),
            Item(
                5,
                "ERROR is classified: removed, failed over, anything else",
                (CORE + "subscription.py", CORE + "outside.py", "scheduler/program.py"),
                ("06", "08"),
            ),
            Item(
                6,
                "one leader, fenced",
                ("scheduler/lease.py", "scheduler/shell.py", "swath/store/leadership.py"),
                ("06",),
            ),
            Item(7, "principal, role, user, host name, page, name, labels", ("scheduler/settings.py",), ("06", "08")),
        ),
    ),
    Chapter(
        "Connection",
        (
            Item(
                8,
                "`Mesos-Stream-Id` on every call but SUBSCRIBE; calls and stream on connections of their own",
                ("swath/wire/scheduler.py", "swath/wire/channel.py"),
                ("15", "06", "basics"),
            ),
            Item(9, "heartbeat watchdog", ("swath/wire/subscriber.py", "swath/wire/scheduler.py"), ("01",)),
            Item(
                10,
                "back-off with jitter, at most 15 s, on every kind of loss",
                ("swath/wire/backoff.py", "swath/wire/subscriber.py"),
                ("07-", "07b"),
            ),
            Item(
                11,
                "307, ZooKeeper, a list of masters",
                ("swath/wire/masters.py", "swath/wire/endpoints.py", "swath/wire/subscriber.py"),
                ("12",),
            ),
            Item(12, "401 and 403 loud and slow, 400 surfaced", ("swath/wire/subscriber.py",), ("06", "15")),
            Item(
                13, "basic authentication, TLS with verification", ("swath/wire/endpoints.py", "scheduler/settings.py")
            ),
            Item(14, "the stream is read promptly", ("scheduler/loop.py", "swath/wire/subscriber.py"), ("13",)),
        ),
    ),
    Chapter(
        "Launching",
        (
            Item(
                15,
                "write ahead; ids unique for ever",
                (CORE + "launching.py", "scheduler/shell.py", "swath/domain/ids.py"),
                ("02", "08"),
            ),
            Item(
                16,
                "202 is no launch: time-out, explicit question, terminal answer",
                (CORE + "reconciliation.py",),
                ("03", "08"),
            ),
            Item(
                17,
                "one ACCEPT an agent with all its offers; an offer is used once",
                (CORE + "launching.py", CORE + "offers.py"),
                ("16", "08", "09b"),
            ),
            Item(
                18,
                "`allocation_info.role` everywhere, reserved resources apart",
                ("swath/wire/calls.py",),
                ("11", "08", "16"),
            ),
            Item(
                19,
                "TASK_ERROR is not tried again unless it is our own doing; DROPPED is, for free",
                (CORE + "attempts.py", CORE + "updates.py", "swath/domain/retries.py"),
                ("08", "02", "04h", "04j"),
            ),
        ),
    ),
    Chapter(
        "Updates",
        (
            Item(
                20,
                "acknowledged after the commit, where there is a uuid",
                (CORE + "updates.py", "scheduler/shell.py"),
                ("03", "01"),
            ),
            Item(
                21,
                "a monotonic, idempotent machine for each attempt",
                ("swath/domain/states.py", CORE + "updates.py", CORE + "partitions.py"),
                ("01", "03", "04a", "04g", "06"),
            ),
            Item(22, "reconciliation erases no detail", (CORE + "updates.py", "swath/store/writing.py"), ("05", "07-")),
            Item(
                23,
                "PARTITION_AWARE: UNREACHABLE waits by policy, GONE does not, whoever returns replaced is killed",
                (CORE + "partitions.py", "swath/domain/retries.py"),
                ("05", "04c", "04d", "04e", "04f"),
            ),
        ),
    ),
    Chapter(
        "Reconciliation",
        (
            Item(
                24,
                "explicit after each subscription until answered, then implicit",
                (CORE + "reconciliation.py",),
                ("05", "07-"),
            ),
            Item(25, "always with the agent's id", (CORE + "reconciliation.py", "swath/wire/calls.py"), ("05", "07-")),
            Item(
                26, "no new attempt while the last one is unresolved", (CORE + "partitions.py",), ("05", "07-", "07b")
            ),
            Item(27, "batches of a thousand", (CORE + "reconciliation.py",), ("13",)),
        ),
    ),
    Chapter(
        "Offers",
        (
            Item(28, "SUPPRESS, and a rate-limited REVIVE", (CORE + "offers.py",), ("09a", "13")),
            Item(29, "declined at once and for long, never held", (CORE + "launching.py",), ("09a", "09b")),
            Item(
                30, "`min_allocatable_resources` kept current", (CORE + "filters.py", "scheduler/to_mesos.py"), ("09a",)
            ),
            Item(31, "one framework a role", ("scheduler/settings.py",), ("09a",)),
        ),
    ),
    Chapter(
        "Agents",
        (
            Item(
                32,
                "maintenance windows, inverse offers, draining for free",
                (CORE + "maintenance.py", CORE + "operators.py", "scheduler/operating.py", "swath/matching/plan.py"),
                ("09c", "09d", "09e"),
            ),
            Item(
                33,
                "GPU_RESOURCES only where wanted, GPU agents kept for GPU tasks",
                ("scheduler/settings.py", "swath/matching/plan.py"),
            ),
            Item(34, "REGION_AWARE and REVOCABLE only with logic for them", ("swath/wire/calls.py",), ("11",)),
            Item(35, "TASK_KILLING_STATE", ("swath/wire/calls.py", "swath/domain/states.py"), ("01", "10-")),
        ),
    ),
    Chapter(
        "Kill, operations, limits",
        (
            Item(36, "KILL is repeated until the end", (CORE + "kills.py",), ("10-", "10b", "04b", "05")),
            Item(
                37,
                "`max_completion_time`, enforced by our executor",
                ("scheduler/to_mesos.py", "executor/core.py", CORE + "overdue.py"),
                ("08", "14"),
            ),
            Item(
                38,
                "operation ids: none, for nothing is reserved and no volume made",
                ("scheduler/to_mesos.py",),
                ("basics",),
            ),
            Item(
                39,
                "calls batched and throttled, counters",
                ("swath/wire/channel.py", "scheduler/metrics.py"),
                ("13", "15"),
            ),
            Item(40, "our database is the only history", ("swath/store/writing.py",), ("12",)),
        ),
    ),
)

ITEMS = tuple(item for chapter in CHAPTERS for item in chapter.items)
