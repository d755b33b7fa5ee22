"""How fast the driver decodes a stream and makes its calls, beside pymesos' way of reading."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from swath.wire.calls import make_decline, make_framework_info
from swath.wire.recordio import Decoder
from swath.wire.scheduler import SchedulerDriver

OFFERS = 20_000
CALLS = 5_000
ROUNDS = 3
PIECE = 4096  # bytes that pymesos takes from its socket at once
READ = 256 * 1024  # bytes that ours takes
ROOT = Path(__file__).parents[1]


def make_offer(number: int) -> dict[str, Any]:
    """An offer with what a real one has."""
    agent = f"3c0fce3f-1a59-4266-acea-812768158413-S{number}"
    scalars = {"cpus": 16.0, "mem": 65536.0, "disk": 500_000.0}
    resources = [
        {"name": name, "type": "SCALAR", "scalar": {"value": value}, "role": "*", "allocation_info": {"role": "swath"}}
        for name, value in scalars.items()
    ]
    address = {"hostname": f"node{number}.example", "ip": "10.0.0.1", "port": 5051}
    return {
        "id": {"value": f"3c0fce3f-1a59-4266-acea-812768158413-O{number}"},
        "framework_id": {"value": "3c0fce3f-1a59-4266-acea-812768158413-0000"},
        "agent_id": {"value": agent},
        "hostname": f"node{number}.example",
        "resources": resources,
        "attributes": [{"name": "rack", "type": "TEXT", "text": {"value": f"r{number % 40}"}}],
        "url": {"scheme": "http", "address": address, "path": "/slave(1)"},
        "allocation_info": {"role": "swath"},
    }


def to_record(event: Any) -> bytes:
    """RecordIO."""
    data = json.dumps(event).encode()
    return b"%d\n%b" % (len(data), data)


def _decode(pieces: Iterable[bytes]) -> int:
    decoder = Decoder()
    return sum(len(json.loads(record)["offers"]["offers"]) for piece in pieces for record in decoder.feed(piece))


def _decode_as_pymesos(pieces: Iterable[bytes]) -> int:
    """What `pymesos.process.Connection.read` of 0.3.15 does with the body of a stream."""
    length_of_record, response, offers = re.compile(rb"\d+\n"), b"", 0
    for piece in pieces:
        response += piece
        while (match := length_of_record.match(response)) is not None:
            head = match.group(0)
            length = int(head.strip())
            if len(response) < len(head) + length:
                break
            data = response[len(head) : len(head) + length]
            response = response[len(head) + length :]
            offers += len(json.loads(data.decode("utf-8"))["offers"]["offers"])
    return offers


def _measure(decode: Callable[[Iterable[bytes]], int], stream: bytes, size: int) -> float:
    """Seconds of CPU, the best of some rounds."""
    times = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        assert decode(stream[start : start + size] for start in range(0, len(stream), size)) == OFFERS
        times.append(time.process_time() - begun)
    return min(times)


def _measure_calls() -> dict[str, object]:
    """CALLS pipelined DECLINEs, and a tenth of them one by one, to a master that takes them in another process."""
    subscribed = {
        "type": "SUBSCRIBED",
        "subscribed": {"framework_id": {"value": "f"}, "heartbeat_interval_seconds": 15},
    }
    with tempfile.NamedTemporaryFile() as events:
        events.write(to_record(subscribed))
        events.flush()
        command = [sys.executable, "-m", "benchmarks.standin_master", events.name, "1"]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as master:
            assert master.stdout is not None
            port = int(master.stdout.readline())
            ready = threading.Event()
            driver = SchedulerDriver(
                on_event=lambda event: ready.set(),
                framework_info=make_framework_info(user="eo", name="bench", role="swath"),
                masters=f"127.0.0.1:{port}",
            )
            driver.start()
            try:
                assert ready.wait(10)
                return _time_calls(driver)
            finally:
                driver.stop()
                master.terminate()


def _time_calls(driver: SchedulerDriver) -> dict[str, object]:
    declines = [make_decline([f"o{number}"], 5.0) for number in range(CALLS)]
    begun, cpu = time.perf_counter(), time.process_time()
    assert all(result.is_sent for result in driver.calls(declines))
    pipelined_s, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
    begun = time.perf_counter()
    assert all(driver.call(call).is_sent for call in declines[: CALLS // 10])
    alone_s = time.perf_counter() - begun
    return {
        "calls": CALLS,
        "pipelined_per_s": round(CALLS / pipelined_s),
        "pipelined_cpu_ms_a_call": round(1000 * cpu_s / CALLS, 3),
        "one_by_one_ms_a_call": round(10_000 * alone_s / CALLS, 3),
    }


def run() -> dict[str, object]:
    """Seconds for an OFFERS event of 20,000 agents, and what a call costs."""
    stream = to_record({"type": "OFFERS", "offers": {"offers": [make_offer(number) for number in range(OFFERS)]}})
    ours, ours_small = _measure(_decode, stream, READ), _measure(_decode, stream, PIECE)
    theirs = _measure(_decode_as_pymesos, stream, PIECE)
    return {
        "offers": OFFERS,
        "megabytes": round(len(stream) / 1e6, 1),
        "decode_s": round(ours, 3),
        "decode_in_4_KiB_s": round(ours_small, 3),
        "decode_as_pymesos_s": round(theirs, 3),
        "times_faster": round(theirs / ours, 1),
        "goal_s": 1.0,
        **_measure_calls(),
    }
