"""Slurm from Debian: controller, node daemon and munge of their own on loopback, each task an element of one array job."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.metrics import find_port
from benchmarks.systems.port import AbsentError, Ran, watch

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo")
ABSENT = "Slurm is absent (Debian: apt-get install slurm-wlm)"
NOT_ROOT = "Slurm's node daemon has to be started by root"

# Tuned for many short jobs: nothing is accounted, measured or confined, and the backfill scheduler looks every second
# instead of every 30. (With Slurm's own defaults a slot waits for seconds.)
CONFIGURATION = """
ClusterName=benchmark
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmctldParameters=enable_configless
AuthType=auth/munge
AuthInfo=socket={directory}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd.pid
SlurmctldLogFile={directory}/slurmctld.log
SlurmdLogFile={directory}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
MaxArraySize=100001
MaxJobCount=100000
MinJobAge=10
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1,bf_resolution=1,bf_min_prio_reserve=1
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={slots} RealMemory=1000
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class Slurm:
    """A cluster of one node."""

    directory: Path

    def run(self, command: Sequence[str], tasks: int, budget_s: float) -> Ran:
        """One array job; `squeue` leaves out what has ended."""
        script = self.directory / "task"
        script.write_text(f"#!/bin/sh\nexec {' '.join(command)}\n")
        began = time.perf_counter()
        self.ask("sbatch", "--quiet", f"--array=1-{tasks}", "--ntasks=1", "--output=/dev/null", str(script))
        ran = watch(tasks, self._count_left, budget_s, 0.5, began)
        if ran.ended < tasks:
            self.ask("scancel", "--state=PENDING", "--user=root")
        return ran

    def empty(self) -> None:
        """Cancel everything, and wait a while until it is gone: steps outlive the daemons that they cannot report to."""
        self.ask("scancel", "--user=root")
        watch(1, self._count_left, 20.0, 0.5, time.perf_counter())

    def _count_left(self) -> int:
        return len(self.ask("squeue", "--noheader", "--array", "--format=%t").split())

    def ask(self, program: str, *arguments: str) -> str:
        """What one of Slurm's commands says."""
        environment = {**os.environ, "SLURM_CONF": str(self.directory / "slurm.conf")}
        return subprocess.run([program, *arguments], env=environment, capture_output=True, text=True, check=True).stdout

    def is_idle(self) -> bool:
        """True once the node has registered."""
        try:
            return "idle" in self.ask("sinfo", "--noheader", "--format=%T")
        except subprocess.CalledProcessError:
            return False


@contextmanager
def start(slots: int) -> Iterator[Slurm]:
    """Everything in a directory of its own; the three daemons are ended by their ids."""
    if not all(map(shutil.which, PROGRAMS)):
        raise AbsentError(ABSENT)
    if os.geteuid() != 0:
        raise AbsentError(NOT_ROOT)
    with tempfile.TemporaryDirectory(prefix="swath-slurm-") as scratch, ExitStack() as daemons:
        slurm = Slurm(Path(scratch))
        _write(slurm.directory, slots)
        daemons.callback(_end_steps, slurm.directory)  # once the daemons have ended
        for command in _list_daemons(slurm.directory):
            daemons.enter_context(_running(slurm.directory, command))
        _wait(slurm)
        try:
            yield slurm
        finally:
            slurm.empty()


def _write(directory: Path, slots: int) -> None:
    """The configuration, the key and the directories."""
    directory.chmod(0o755)  # munge wants its socket's directory to be passable
    for name in ("state", "spool"):
        (directory / name).mkdir()
    key = directory / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    text = CONFIGURATION.format(
        directory=directory,
        slots=slots,
        host=socket.gethostname().partition(".")[0],
        controller_port=find_port(),
        node_port=find_port(),
    )
    (directory / "slurm.conf").write_text(text)
    (directory / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")


def _list_daemons(directory: Path) -> list[list[str]]:
    munge = ["munged", "--foreground", "--force", f"--socket={directory}/munge.socket"]
    munge += [f"--{option}-file={directory}/munge.{option}" for option in ("key", "pid", "log", "seed")]
    configuration = ["-D", "-f", f"{directory}/slurm.conf"]
    return [munge, ["slurmctld", *configuration], ["slurmd", *configuration]]


@contextmanager
def _running(directory: Path, command: Sequence[str]) -> Iterator[None]:
    with (directory / f"{command[0]}.out").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, "SLURM_CONF": ""})
    try:
        time.sleep(1)  # each needs the one before; none of them says when it is ready
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _end_steps(directory: Path) -> None:
    """Kill the steps that are still there, known by the log that they have inherited."""
    for process in psutil.process_iter(["name"]):
        with suppress(psutil.Error):
            if process.info["name"].startswith("slurmstepd") and any(
                Path(file.path).is_relative_to(directory) for file in process.open_files()
            ):
                process.kill()


def _wait(slurm: Slurm) -> None:
    """Return when the node takes jobs; raises AbsentError with the end of the logs when it does not."""
    for _ in range(60):
        if slurm.is_idle():
            return
        time.sleep(0.5)
    logs = "; ".join(path.read_text()[-300:] for path in sorted(slurm.directory.glob("*.log")))
    raise AbsentError(f"Slurm does not start: {logs}")
