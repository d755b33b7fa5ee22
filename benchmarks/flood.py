"""A flood of offers: does it delay a heartbeat, block the reader, or fill the memory while the loop is slow?

A master of its own process sends the offers of 10,000 agents, all new ones each time and none rescinded, which is worse than
any real master does. The scheduler's side is the real driver and the real inbox; in place of the core a loop that converts
what it takes, declines what nobody has read, and else sleeps.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import resident_mb
from benchmarks.wire import make_offer, to_record
from scheduler import collector
from scheduler.core.from_mesos import to_event
from scheduler.inbox import MOST_OFFERS, Inbox, Unread
from swath.wire.calls import make_decline, make_framework_info
from swath.wire.scheduler import SchedulerDriver

ROOT = Path(__file__).parents[1]
AGENTS = 10_000
FLOODS = 30
FLOOD_S = 1.0  # Mesos' allocation interval
HEARTBEAT_S = 0.25  # announced; Mesos' own is 15
SLOW_S = 10.0  # for which the loop does nothing, again and again
NO_BOUND = 10**9

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


def consume(port: int, most_offers: int) -> dict[str, Any]:
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

    driver = SchedulerDriver(
        on_event=receive,
        framework_info=make_framework_info(user="eo", name="bench", role="swath"),
        masters=f"127.0.0.1:{port}",
    )
    sizes, cpu = [resident_mb(os.getpid())], time.process_time()
    threading.Thread(target=_weigh, args=(sizes, ended), daemon=True).start()
    driver.start()
    handled = unread = 0
    while not ended.wait(SLOW_S):
        for item in inbox.take(0):
            if isinstance(item, Unread):
                unread += len(item.offer_ids)
                driver.calls([make_decline(item.offer_ids, 5.0)])
            elif isinstance(item, dict) and (event := to_event(item)) is not None:
                handled += len(getattr(event, "offers", ()))
    driver.stop()
    return {
        "offers_handled": handled,
        "offers_declined_unread": unread,
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


def _run(most_offers: int) -> dict[str, Any]:
    """Both sides as processes of their own: memory is what the system says."""
    module = [sys.executable, "-m", "benchmarks.flood"]
    with subprocess.Popen([*module, "serve"], cwd=ROOT, stdout=subprocess.PIPE, text=True) as master:
        assert master.stdout is not None
        port = master.stdout.readline().strip()
        done = subprocess.run([*module, port, str(most_offers)], cwd=ROOT, stdout=subprocess.PIPE, check=True)
        master.terminate()
    return json.loads(done.stdout)


def run() -> dict[str, object]:
    """With the inbox as it is, and for comparison with one that keeps every offer."""
    return {
        "agents": AGENTS,
        "floods": FLOODS,
        "every_s": FLOOD_S,
        "loop_sleeps_s": SLOW_S,
        "heartbeat_interval_ms": 1000 * HEARTBEAT_S,
        "bounded": _run(MOST_OFFERS),
        "without_bound": _run(NO_BOUND),
    }


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        print(json.dumps(consume(int(sys.argv[1]), int(sys.argv[2]))))
