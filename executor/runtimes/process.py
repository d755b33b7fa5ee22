"""Attempts as plain processes of this machine, for machines without Docker.

Each attempt is a session of its own. The executor is the reaper of all that its attempts start (PR_SET_CHILD_SUBREAPER), so
that a command which forks twice stays below it; whose a stray is tells its session, its environment, its open files, or where
it was last seen. One epoll of pidfds waits for all of them: no thread, no signal handler, no polling.

All methods but `observe` belong to one thread, the one that the strays' parent is: the main thread.
"""

from __future__ import annotations

import errno
import logging
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from executor.events import Event, Exited, Started
from executor.journal import Entry, Journal
from executor.logs import opened_logs
from executor.masking import MaskedLogs
from executor.orders import BUILTIN
from executor.processes import (
    ATTEMPT,
    EXECUTOR,
    RUN,
    Process,
    Tree,
    read_attempt,
    read_children,
    read_process,
    read_processes,
    read_share,
    send_signal,
)
from executor.runtimes.port import Assignment
from executor.staging import StartError, link_inputs
from swath.domain.errors import InvalidInputError
from swath.domain.resources import Resources
from swath.domain.retries import Cause
from swath.domain.run import command, environment

log = logging.getLogger(__name__)

WARNINGS = (
    "not in a container: cpus are not limited, memory is looked at once a second, the network is open, and the command may"
    " read and write what the agent's user may",
)
_PATH = f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PATIENCE_S = 2.0  # for killed processes to go
# execve: there is no such file, nothing that this machine could run, or nobody may.
_IMAGES_FAULT = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EACCES,
        errno.EPERM,
        errno.ENOEXEC,
        errno.ELIBBAD,
        errno.ELOOP,
        errno.ENAMETOOLONG,
    }
)


@dataclass(slots=True)
class _Child:
    """The first process of an attempt."""

    attempt: str
    pid: int
    pidfd: int
    started: int | None  # clock ticks after boot
    scratch: str | None
    limit: int  # bytes that all its processes together may hold; 0 for any number
    masked: MaskedLogs | None = None  # of one that has secrets
    seen: dict[int, int] = field(default_factory=dict)  # pid -> start time of what was found below it
    max_memory: int = 0  # bytes, of all its processes together
    oom: bool = False  # it held more, and was ended for it


class ProcessRuntime:
    """Starts commands and waits for them."""

    def __init__(
        self,
        *,
        label: str,
        run: str,
        journal: Journal,
        host_sandbox: Path,
        python_path: str | None,
        post: Callable[[Event], None],
    ) -> None:
        self._label, self._run = label, run
        self._journal = journal
        self._host_sandbox = host_sandbox
        self._python_path = python_path
        self._post = post
        self._children: dict[str, _Child] = {}  # by attempt
        self._by_pidfd: dict[int, _Child] = {}
        self._pids: dict[int, _Child] = {}
        self._epoll = select.epoll()
        self._nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)  # every command's stdin

    def fileno(self) -> int:
        """Readable when `poll` has something to do."""
        return self._epoll.fileno()

    def start(self, assignment: Assignment) -> None:
        """Start the command and post Started; raises StartError."""
        places, spec = assignment.places, assignment.order.spec
        multiple = frozenset(e.name for e in assignment.order.manifest.job.interface.inputs.files if e.multiple)
        try:
            files = link_inputs(assignment.inputs, multiple, places.inputs)
            variables, arguments = self._command(assignment, files)
            pid, masked = self._spawn(assignment, arguments, variables)
        except InvalidInputError as error:
            raise StartError(Cause.SPEC, str(error)) from error
        process = read_process(pid)
        child = _Child(
            attempt=spec.attempt,
            pid=pid,
            pidfd=os.pidfd_open(pid),
            started=process.started if process else None,
            scratch=str(places.scratch) if places.scratch else None,
            limit=Resources.from_document(spec.resources).mem * 2**20,
            masked=masked,
        )
        self._note(child)
        self._children[spec.attempt] = self._by_pidfd[child.pidfd] = self._pids[pid] = child
        self._epoll.register(child.pidfd, select.EPOLLIN)
        sandbox = str(self._host_sandbox / "attempts" / spec.attempt)
        self._post(Started(attempt=spec.attempt, sandbox=sandbox, runtime="process", warnings=WARNINGS))

    def poll(self) -> None:
        """Post Exited for every command that has ended."""
        for pidfd, _ in self._epoll.poll(0):
            self._reap(self._by_pidfd[pidfd])

    def signal(self, attempt: str, *, force: bool) -> None:
        """SIGTERM to the attempt's process group; or SIGKILL to everything that it started, found and lost."""
        child = self._children.get(attempt)
        if child is None:
            return
        if not force:
            send_signal(child.pid, signal.SIGTERM, group=True)
            return
        send_signal(child.pid, signal.SIGKILL, group=True)
        tree = Tree(read_processes())
        for pid in self._find(child, tree, self._adopted(tree)):
            send_signal(pid, signal.SIGKILL)

    def watch(self) -> None:
        """Remember what is below each attempt, and how much memory that takes; end whoever holds more than it asked for.

        Called once a second while any is that old.
        """
        tree = Tree(read_processes())
        adopted = self._adopted(tree)
        for child in self._children.values():
            pids = self._find(child, tree, adopted)
            seen = {pid: tree.processes[pid].started for pid in pids}
            memory = sum(tree.processes[pid].memory for pid in pids)
            child.max_memory = max(child.max_memory, memory)
            # What processes share counts for each of them there, so whoever seems to hold too much is looked at closer.
            if 0 < child.limit < memory and sum(map(read_share, pids)) > child.limit:
                child.oom = True
                self.signal(child.attempt, force=True)
            if seen != child.seen:
                child.seen = seen
                self._note(child)

    def observe(self, attempt: str) -> Mapping[str, float]:
        """`watch` has noted it, for its end."""
        return {}

    def find_elsewhere(self, attempt: str) -> Sequence[Path]:
        """There are none."""
        return ()

    def clean(self, attempt: str) -> None:
        """Nothing is left of an attempt that was reaped; one that was given up while it started is killed."""
        self.signal(attempt, force=True)

    def _note(self, child: _Child) -> None:
        """Write down what a successor would have to kill."""
        seen = {str(pid): started for pid, started in child.seen.items()}
        self._journal.begin(
            Entry(attempt=child.attempt, scratch=child.scratch, pid=child.pid, started=child.started, seen=seen)
        )

    def _command(self, assignment: Assignment, files: dict[str, str]) -> tuple[dict[str, str], list[str]]:
        order, places = assignment.order, assignment.places
        variables = environment(
            order.manifest,
            files=files,
            parameters=order.spec.parameters,
            settings=assignment.settings(lambda _, path: str(path)),
            resources=Resources.from_document(order.spec.resources),
            output_dir=str(places.output_dir),
            ports=order.spec.ports,
        )
        arguments = command(order.manifest, variables)
        if not arguments:
            raise StartError(Cause.IMAGE, "the manifest names no command, and a process has no entry point")
        if arguments[0] in ("python", "python3"):
            arguments[0] = sys.executable
        return variables, arguments

    def _spawn(
        self, assignment: Assignment, arguments: list[str], variables: dict[str, str]
    ) -> tuple[int, MaskedLogs | None]:
        context = assignment.order.spec.image.context
        places = assignment.places
        directory = places.attempt_dir if context == BUILTIN else Path(context or "")
        masked = MaskedLogs(places.attempt_dir, assignment.secrets.values()) if assignment.secrets else None
        with masked.opened() if masked else opened_logs(places.attempt_dir) as (out, err):
            try:
                process = subprocess.Popen(
                    arguments,
                    cwd=directory,
                    env=variables | self._surroundings(assignment),
                    stdin=self._nothing,
                    stdout=out,
                    stderr=err,
                    start_new_session=True,
                )
            except ValueError as error:  # a NUL in an argument or a variable
                raise StartError(Cause.SPEC, f"the command cannot be started: {error}") from error
            except OSError as error:
                raise _to_start_error(error, directory) from error
        # It is waited for here, by its pidfd; a Popen that is thrown away unreaped would be waited for by subprocess.
        process.returncode = 0
        return process.pid, masked

    def _surroundings(self, assignment: Assignment) -> dict[str, str]:
        """What a command needs beside Seed's variables. Nothing of the executor's own environment: it may hold secrets."""
        surroundings = {
            "PATH": _PATH,
            "HOME": str(assignment.places.attempt_dir),
            "TMPDIR": str(assignment.places.tmp),
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",  # a context's files are its digest
            "PYTHONUNBUFFERED": "1",  # a log that can be followed
            ATTEMPT: assignment.attempt,
            EXECUTOR: self._label,
            RUN: self._run,
        }
        if self._python_path is not None:
            surroundings["PYTHONPATH"] = self._python_path
        return surroundings

    def _reap(self, child: _Child) -> None:
        """Bring in an ended command and kill whatever it left running, as the end of a container would."""
        send_signal(child.pid, signal.SIGKILL, group=True)  # the unreaped leader keeps the number from coming again
        self._epoll.unregister(child.pidfd)
        os.close(child.pidfd)
        own_peak = read_own_peak()
        _, status, usage = os.wait4(child.pid, 0)
        del self._children[child.attempt], self._by_pidfd[child.pidfd], self._pids[child.pid]
        self._remove_strays(child)
        if child.masked is not None:
            child.masked.drain()
        # A child begins as a copy of its parent, and the kernel keeps that peak: below ours, its own is not known.
        peak = max(child.max_memory, usage.ru_maxrss * 1024 if usage.ru_maxrss * 1024 > own_peak else 0)
        code = os.waitstatus_to_exitcode(status)
        used = {"cpu_s": usage.ru_utime + usage.ru_stime} | ({"max_mem": peak / 2**20} if peak else {})
        code = code if code >= 0 else 128 - code
        self._post(Exited(attempt=child.attempt, exit_code=code, oom=child.oom, usage=used))

    def _remove_strays(self, ended: _Child) -> None:
        """Kill and bring in the children that became ours and belong to no attempt that still runs."""
        deadline = time.monotonic() + _PATIENCE_S
        while strays := [pid for pid in read_children() if pid not in self._pids and self._is_stray(pid, ended)]:
            for pid in strays:
                send_signal(pid, signal.SIGKILL)
            for pid in strays:
                _await_end(pid, deadline)
            if time.monotonic() > deadline:
                log.error("these processes of attempt %s do not end: %s", ended.attempt, strays)
                return

    def _is_stray(self, pid: int, ended: _Child) -> bool:
        process = read_process(pid)
        # A child in our own session was started by a library of ours (a credential helper of Docker's): not an attempt's.
        if process is None or process.session == os.getsid(0):
            return False
        if process.session == ended.pid or ended.seen.get(pid) == process.started or process.zombie:
            return True
        attempt = self._owner(process)
        # With no attempt left to belong to, it has lost its last owner.
        return attempt not in self._children and (attempt is not None or not self._children)

    def _owner(self, process: Process) -> str | None:
        """The attempt that a process belongs to, as far as can be told."""
        leader = self._pids.get(process.session)
        if leader is not None:
            return leader.attempt
        for child in self._children.values():
            if child.seen.get(process.pid) == process.started:
                return child.attempt
        return read_attempt(process.pid)

    def _adopted(self, tree: Tree) -> dict[str | None, list[int]]:
        """Our children that lost their parents, by attempt."""
        adopted: dict[str | None, list[int]] = {}
        for pid in tree.children.get(os.getpid(), ()):
            if pid not in self._pids:
                adopted.setdefault(self._owner(tree.processes[pid]), []).append(pid)
        return adopted

    def _find(self, child: _Child, tree: Tree, adopted: dict[str | None, list[int]]) -> set[int]:
        """The living processes of an attempt."""
        seen = [pid for pid, started in child.seen.items() if tree.is_still(pid, started)]
        roots = [child.pid, *seen, *tree.sessions.get(child.pid, ()), *adopted.get(child.attempt, ())]
        return tree.descendants(roots)


def _to_start_error(error: OSError, directory: Path) -> StartError:
    """Whose fault it is that a command does not start: what another agent would meet too is not the agent's."""
    if error.errno == errno.E2BIG:  # Linux: 128 KiB for each argument and variable, with its name
        return StartError(Cause.SPEC, "the command cannot be started: a parameter, or all of them, are too long")
    if error.errno in _IMAGES_FAULT:
        return StartError(Cause.IMAGE, f"the command cannot be started in {directory}: {error}")
    return StartError(Cause.AGENT, f"the command cannot be started: {error}")


def _await_end(pid: int, deadline: float) -> None:
    """Wait for a killed child, until `deadline` at most; one that sleeps in the kernel cannot be waited for."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()  # select.select knows no more than 1,024 files
        poll.register(pidfd, select.POLLIN)
        if poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass
    finally:
        os.close(pidfd)


def read_own_peak() -> int:
    """The largest resident size in bytes that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
