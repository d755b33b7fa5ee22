"""The first process of a warm container: runs one command after another, as it is told over a socket, until that is closed.

    python3 -I -S -B runner.py SOCKET DIRECTORY...

It stands alone: an executor copies it into containers, where it runs on whatever Python (3.8 or later) the image has. Being
process 1 it cannot be killed by what it starts, is the parent of all that loses its own, and ends everything when it ends: it
does as soon as the executor has closed the socket, or has died. After each command nothing of it is left: its processes are
killed and have gone, and the directories that can be written to are empty.

A message is one packet of JSON; see executor/runtimes/line.py for both sides' words.
"""

from __future__ import annotations

import array
import json
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

MOST = 160 * 1024  # bytes of a message
_OOM_COUNTERS = ("/sys/fs/cgroup/memory/memory.oom_control", "/sys/fs/cgroup/memory.events")  # cgroup v1, v2
_SYSV = ("/proc/sysvipc/shm", "/proc/sysvipc/sem", "/proc/sysvipc/msg")  # a line of names, and one for each there is
_DEFAULTS = (signal.SIGPIPE, signal.SIGXFSZ)  # that Python ignores
_MIB = 2**20
_BLOCK = 512


class Runner:
    """Commands, one at a time."""

    def __init__(self, connection: socket.socket, directories: list[str]) -> None:
        self._connection = connection
        self._directories = directories
        self._environment = _read_environment()
        self._nothing = os.open(os.devnull, os.O_RDWR)
        self._bell, bell = os.pipe()
        for end in (self._bell, bell):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(bell, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # nobody can interrupt process 1
        self._poll = select.poll()
        for file in (self._connection.fileno(), self._bell):
            self._poll.register(file, select.POLLIN)

    def serve(self) -> None:
        """Run what comes, until the other side has gone."""
        self._say(ready=True, root=os.getuid() == 0)
        while True:
            work, files = self._hear()
            if "argv" in work:
                self._run(work, files)
            else:  # a signal for a command that has ended meanwhile
                _close(files)

    def _run(self, work: Mapping[str, Any], files: list[int]) -> None:
        attempt, ooms, used = work["attempt"], _read_ooms(), _read_usage()
        try:
            pid = self._spawn(work["argv"], work["environment"], files)
        except (OSError, ValueError) as error:  # the latter for a NUL, for one
            self._say(attempt=attempt, refused=getattr(error, "errno", None) or 0)
            return
        finally:
            _close(files)
        self._say(attempt=attempt, started=used)
        status, peak = self._await(pid, attempt)
        peak = max(peak, _end_all())
        usage = {name: value - used[name] for name, value in _read_usage().items()}
        own_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if peak > own_peak:  # a child begins with its parent's peak: below that, its own is not known
            usage["max_mem"] = peak / 1024
        clean = self._is_empty()
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        self._say(attempt=attempt, ended=code, oom=_read_ooms() > ooms, clean=clean, usage=usage)

    def _spawn(self, argv: list[str], given: Mapping[str, str], files: list[int]) -> int:
        """Start in a group of its own, where the image has the process begin; raises OSError."""
        environment = {**self._environment, **{_encode(name): _encode(value) for name, value in given.items()}}
        out, err = files  # ValueError where they did not come with the message
        actions = [(os.POSIX_SPAWN_DUP2, file, number) for number, file in enumerate((self._nothing, out, err))]
        words = [_encode(word) for word in argv]
        refused: OSError | None = None
        for path in _to_paths(words[0], environment):
            try:
                return os.posix_spawn(
                    path, words, environment, file_actions=actions, setpgroup=0, setsigmask=(), setsigdef=_DEFAULTS
                )
            except (FileNotFoundError, NotADirectoryError) as error:
                refused = refused or error
            except PermissionError as error:
                refused = error
        raise refused or FileNotFoundError(2, "no such command")

    def _await(self, pid: int, attempt: str) -> tuple[int, int]:
        """Its status, and the most KiB that one of those held which have ended; signals are passed on meanwhile."""
        peak = 0
        while True:
            for ready, _ in self._poll.poll():
                if ready == self._bell:
                    _drain(self._bell)
                    continue
                word, files = self._hear()
                _close(files)
                if word.get("attempt") == attempt and "signal" in word:
                    _send(-1 if word["signal"] == signal.SIGKILL else pid, word["signal"])
            while True:
                ended, status, usage = os.wait4(-1, os.WNOHANG)
                peak = max(peak, usage.ru_maxrss)
                if ended == pid:
                    return status, peak
                if ended == 0:
                    break

    def _is_empty(self) -> bool:
        """True when nothing is left that the next command could find."""
        emptied = [_empty(directory) for directory in self._directories]
        return all(emptied) and not any(map(_has_entries, _SYSV))

    def _say(self, **words: object) -> None:
        self._connection.send(json.dumps(words).encode())

    def _hear(self) -> tuple[dict[str, Any], list[int]]:
        """A message and the files that came with it. Ends the program where there is nobody any more."""
        room = socket.CMSG_SPACE(2 * array.array("i").itemsize)
        data, passed, _, _ = self._connection.recvmsg(MOST, room, socket.MSG_CMSG_CLOEXEC)
        if not data:
            sys.exit()
        files = array.array("i")
        for level, kind, content in passed:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                files.frombytes(content[: len(content) - len(content) % files.itemsize])
        return json.loads(data), list(files)


def _read_environment() -> dict[bytes, bytes]:
    """As the engine has given it: Python may have changed it for its own sake."""
    with open("/proc/self/environ", "rb") as file:
        entries = (entry.partition(b"=") for entry in file.read().split(b"\0"))
        return {name: value for name, _, value in entries if name}


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _to_paths(name: bytes, environment: Mapping[bytes, bytes]) -> list[bytes]:
    """Where a command may be, as execvp looks for it."""
    if b"/" in name:
        return [name]
    places = environment.get(b"PATH", os.fsencode(os.defpath)).split(b":")
    return [os.path.join(place or b".", name) for place in places]


def _end_all() -> int:
    """Kill everything but ourselves, and wait until it has gone; the most KiB that one of them held."""
    peak = 0
    while True:
        _send(-1, signal.SIGKILL)
        try:
            peak = max(peak, os.wait4(-1, 0)[2].ru_maxrss)
        except ChildProcessError:
            return peak


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # the latter where only an operator looks in, as root
        os.kill(pid, number)


def _read_ooms() -> int:
    """How often the kernel has killed something here for want of memory."""
    for path in _OOM_COUNTERS:
        try:
            with open(path) as file:
                return next(int(line.split()[1]) for line in file if line.startswith("oom_kill "))
        except (OSError, StopIteration):
            continue
    return 0


def _read_usage() -> dict[str, float]:
    """What everything here has used so far."""
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    received, sent = _read_traffic()
    return {
        "cpu_s": own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime,
        "read_mib": others.ru_inblock * _BLOCK / _MIB,
        "written_mib": others.ru_oublock * _BLOCK / _MIB,
        "received_mib": received / _MIB,
        "sent_mib": sent / _MIB,
    }


def _read_traffic() -> tuple[int, int]:
    """Bytes received and sent on all interfaces but the loopback."""
    received = sent = 0
    with open("/proc/net/dev") as file:
        for line in file:
            name, colon, rest = line.partition(":")
            if colon and name.strip() != "lo":
                counts = rest.split()
                received, sent = received + int(counts[0]), sent + int(counts[8])
    return received, sent


def _empty(directory: str) -> bool:
    """Remove all that is in a directory; False where that cannot be, or it is nested too deep to be worth it."""
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)
                    continue
                os.chmod(entry.path, 0o700)
                if not _empty(entry.path):
                    return False
                os.rmdir(entry.path)
    except FileNotFoundError:
        return not os.path.lexists(directory)  # the image has no such place
    except (OSError, RecursionError):
        return False
    return True


def _has_entries(table: str) -> bool:
    try:
        with open(table) as file:
            return len(file.readlines()) > 1
    except OSError:  # a kernel without such things
        return False


def _drain(file: int) -> None:
    with suppress(BlockingIOError):
        while os.read(file, 512):
            continue


def _close(files: list[int]) -> None:
    for file in files:
        os.close(file)


def main(path: str, directories: list[str]) -> None:
    """Connect, and serve."""
    if os.getpid() != 1:  # elsewhere it would end the whole machine
        sys.exit("this is for the first process of a container")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(path)
    try:
        Runner(connection, directories).serve()
    except (BrokenPipeError, ConnectionResetError):  # the other side has gone
        sys.exit()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
