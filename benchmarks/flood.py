"""A flood of offers: does it delay a heartbeat, block the reader, or fill the memory while the loop is slow?

A master of its own process sends the offers of 10,000 agents, all new ones each time and none rescinded, which is worse than
any real master does. The scheduler's side is the real driver, the real inbox, and the real core with jobs that wait: the
reader shares the interpreter with it. A loop that is awake hands the core all that comes; one that is slow sleeps in between.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.bare_framework import EXECUTOR
from benchmarks.machine import resident_mb
from benchmarks.wire import make_offer, to_record
from scheduler import collector
from scheduler.core.effects import Effects
from scheduler.core.from_mesos import to_event
from scheduler.core.reactor import Core
from scheduler.inbox import MOST_OFFERS, Inbox, Item, Unread
from scheduler.to_mesos import Writer
from swath.domain.ids import make_ulid
from swath.store.rows import JobRecord, Snapshot
from swath.wire.calls import make_decline, make_framework_info
from swath.wire.scheduler import SchedulerDriver
from tests.scheduler.world import SETTINGS, a_job

ROOT = Path(__file__).parents[1]
AGENTS = 10_000
FLOODS = 30
FLOOD_S = 1.0  # Mesos' allocation interval
HEARTBEAT_S = 0.25  # announced; Mesos' own is 15
AWAKE_S, SLOW_S = 0.0, 10.0  # for which the loop does nothing, again and again
NO_BOUND = 10**9
LARGE_JOBS = 20  # of shapes of their own, for which no agent is large enough: every offer is held against each of them
RUNNING = 200  # tasks of the one job that fits, for which one rack of 40 will do

INFO = make_framework_info(user="eo", name="bench", role="swath")
_HEAD = b"HTTP/1.1 200 OK\r\nMesos-Stream-Id: s\r\nTransfer-Encoding: chunked\r\n\r\n"
_TAKEN = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


# The master


def serve() -> None:
    """Print a port; flood the first who subscribes there, take all calls, and end with the flood."""
    server = socket.create_server(("127.0.0.1", 0))
    print(server.getsockname()[1], flush=True)
    while True:
        connection, _ = server.accept()
        threading.Thread(target=_talk, args=(connection,), daemon=True).start()


def _talk(connection: socket.socket) -> None:
    with connection, connection.makefile("rb") as reader:
        while head := b"".join(iter(reader.readline, b"\r\n")):
            body = reader.read(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
            if b'"SUBSCRIBE"' in body:
                _flood(connection)
                os._exit(0)
            connection.sendall(_TAKEN)


def _flood(connection: socket.socket) -> None:
    """Heartbeats by the clock, each with its time; every so many of them the offers come right before it."""
    offers = to_record({"type": "OFFERS", "offers": {"offers": [make_offer(number) for number in range(AGENTS)]}})
    old = b"3c0fce3f-1a59-4266-acea-812768158413-O"
    subscribed = {"framework_id": {"value": "f"}, "heartbeat_interval_seconds": HEARTBEAT_S}
    connection.sendall(_HEAD + _to_chunk(to_record({"type": "SUBSCRIBED", "subscribed": subscribed})))
    begun = time.monotonic()
    for number in range(int(FLOODS * FLOOD_S / HEARTBEAT_S)):
        due = begun + number * HEARTBEAT_S
        time.sleep(max(0.0, due - time.monotonic()))
        if number % int(FLOOD_S / HEARTBEAT_S) == 0:
            connection.sendall(_to_chunk(offers.replace(old, b"3c0fce3f-1a59-4266-acea-81276815%04d-O" % number)))
        connection.sendall(_to_chunk(to_record({"type": "HEARTBEAT", "due": due})))


def _to_chunk(record: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(record), record)


# The scheduler's side


class Mind:
    """The core and what surrounds it: it takes what the inbox gives, and its calls are made."""

    def __init__(self, driver: SchedulerDriver) -> None:
        self._driver = driver
        jobs = list(_make_jobs())
        self._core = Core.load(
            Snapshot(framework_id=None, jobs=jobs, tasks=[], attempts=[], agents=[]),
            SETTINGS,
            make_id=lambda at: make_ulid(at, secrets.token_bytes(10)),
            now=datetime.now(UTC),
        )
        self._writer = Writer(
            role="swath", framework=INFO, executor=EXECUTOR, outputs_root="/out", read_items=lambda job, indices: {}
        )
        self.handled = self.unread = self.launched = 0  # offers, offers, attempts
        self.turns_s: list[float] = []
        self.turns_cpu_s: list[float] = []  # of the loop's thread alone: what a turn takes on a machine of its own

    def take(self, items: Sequence[Item]) -> None:
        """One turn."""
        begun, cpu = time.perf_counter(), time.thread_time()
        for item in items:
            if isinstance(item, Unread):
                self.unread += len(item.offer_ids)
                self._driver.calls([make_decline(item.offer_ids, 5.0)])
        events = [event for item in items if isinstance(item, dict) and (event := to_event(item)) is not None]
        self._perform(self._core.handle(events, datetime.now(UTC)))
        self.handled += sum(len(getattr(event, "offers", ())) for event in events)
        self.turns_s.append(time.perf_counter() - begun)
        self.turns_cpu_s.append(time.thread_time() - cpu)

    def _perform(self, effects: Effects) -> None:
        messages = [message for _, message in self._writer.write_all(effects.calls)]
        self.launched += sum(len(getattr(call, "launches", ())) for call in effects.calls)
        self._driver.calls(messages)


def _make_jobs() -> Iterator[JobRecord]:
    for number in range(LARGE_JOBS):
        yield a_job(f"large{number}", 1_000_000, cpus=1000 + number)
    rack = {"attribute": "rack", "operator": "equals", "value": "r7"}
    yield a_job("fits", 1_000_000, constraints=[rack], max_running=RUNNING)


def consume(port: int, most_offers: int, pause_s: float) -> dict[str, Any]:
    """Until the master ends: how late heartbeats were, and how the memory grew."""
    collector.relax()
    inbox, delays, kinds, ended = Inbox(most_offers), [], [], threading.Event()

    def receive(event: dict[str, Any]) -> None:
        kinds.append(event["type"])
        if event["type"] == "HEARTBEAT":
            delays.append(time.monotonic() - event["due"])
        elif event["type"] == "DISCONNECTED":
            ended.set()
        inbox.put(event)

    driver = SchedulerDriver(on_event=receive, framework_info=INFO, masters=f"127.0.0.1:{port}")
    mind = Mind(driver)
    sizes, cpu = [resident_mb(os.getpid())], time.process_time()
    threading.Thread(target=_weigh, args=(sizes, ended), daemon=True).start()
    driver.start()
    while not ended.wait(pause_s):
        mind.take(inbox.take(0.1))
    driver.stop()
    return {
        "offers_handled": mind.handled,
        "offers_declined_unread": mind.unread,
        "launches": mind.launched,
        "turn_ms_worst": round(1000 * max(mind.turns_s)),
        "turn_cpu_ms_worst": round(1000 * max(mind.turns_cpu_s)),
        "subscriptions": kinds.count("SUBSCRIBED"),
        "heartbeats": len(delays),
        "heartbeat_late_ms_median": round(1000 * statistics.median(delays), 1),
        "heartbeat_late_ms_worst": round(1000 * max(delays), 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "memory_mb_before": round(sizes[0]),
        "memory_mb_most": round(max(sizes)),
    }


def _weigh(sizes: list[float], ended: threading.Event) -> None:
    while not ended.wait(0.1):
        sizes.append(resident_mb(os.getpid()))


def _run(most_offers: int, pause_s: float) -> dict[str, Any]:
    """Both sides as processes of their own: memory is what the system says."""
    module = [sys.executable, "-m", "benchmarks.flood"]
    with subprocess.Popen([*module, "serve"], cwd=ROOT, stdout=subprocess.PIPE, text=True) as master:
        assert master.stdout is not None
        try:
            port = master.stdout.readline().strip()
            done = subprocess.run(
                [*module, port, str(most_offers), str(pause_s)], cwd=ROOT, stdout=subprocess.PIPE, check=True
            )
        finally:  # it serves for ever, and is waited for
            master.terminate()
    return json.loads(done.stdout)


def run() -> dict[str, object]:
    """With a loop that is awake; with a slow one; and for comparison with one whose inbox keeps every offer."""
    return {
        "agents": AGENTS,
        "floods": FLOODS,
        "every_s": FLOOD_S,
        "slow_loop_sleeps_s": SLOW_S,
        "waiting_jobs": LARGE_JOBS + 1,
        "heartbeat_interval_ms": 1000 * HEARTBEAT_S,
        "awake": _run(MOST_OFFERS, AWAKE_S),
        "slow": _run(MOST_OFFERS, SLOW_S),
        "slow_without_bound": _run(NO_BOUND, SLOW_S),
    }


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        print(json.dumps(consume(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))))
