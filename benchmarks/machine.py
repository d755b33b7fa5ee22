"""What the figures depend on: the machine's cores, how fast they are now, and how long it takes to make a byte durable."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from contextlib import suppress
from pathlib import Path


def fsync_ms(rounds: int = 50) -> float:
    """Median milliseconds of one 4 KiB write and fsync in the temporary directory."""
    times = []
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(rounds):
            started = time.perf_counter()
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


def loop_ns(turns: int = 200_000, rounds: int = 10) -> float:
    """Nanoseconds for a turn of a loop that adds whole numbers, the least of some rounds."""
    times = []
    for _ in range(rounds):
        started, total = time.perf_counter_ns(), 0
        for number in range(turns):
            total += number
        times.append(time.perf_counter_ns() - started)
    return min(times) / turns


def describe() -> dict[str, object]:
    """The machine in a line."""
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "fsync_ms": round(fsync_ms(), 3),
        "loop_ns": round(loop_ns()),
        "load": round(os.getloadavg()[0], 2),
    }


def resident_mb(pid: int) -> float:
    """Resident memory of a process in MB; shared pages count in every process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def busy_s() -> float:
    """Seconds of CPU that the whole machine has used, processes that have ended included."""
    user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def find_processes(*commands: str) -> dict[int, str]:
    """The processes by id that have one of these names."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                found[int(entry.name)] = (entry / "comm").read_text().strip()
    return {pid: name for pid, name in found.items() if name in commands}


def programs(var: Path) -> dict[int, str]:
    """The cluster's processes by id, with the module that each runs."""
    found = {}
    for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        ours = str(var).encode() in environment or any(str(var) in word for word in words)
        if "python" in words[0] and words[1:2] == ["-m"] and ours:
            found[pid] = words[2]
    return found


def peak_resident_mb(pid: int) -> float:
    """The most resident memory that a process has had so far, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(peak) * 1024 / 1e6
