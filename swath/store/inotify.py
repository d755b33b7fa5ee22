"""Linux tells when a file is written: the few lines of inotify(7) that waiting for SQLite needs."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

IN_MODIFY, IN_CREATE = 0x2, 0x100
IN_NONBLOCK, IN_CLOEXEC = os.O_NONBLOCK, getattr(os, "O_CLOEXEC", 0)
_HEADER = struct.Struct("iIII")  # watch, mask, cookie, length of the name that follows


class Inotify:
    """Watches one name in a directory, whether or not there is such a file yet."""

    def __init__(self, path: Path) -> None:
        """Raises OSError where the system has no inotify, or no more of it to give."""
        self._name = os.fsencode(path.name)
        libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(libc, "inotify_init1"):
            raise OSError("this system has no inotify")
        self.descriptor = _checked(libc.inotify_init1(IN_NONBLOCK | IN_CLOEXEC))
        try:
            _checked(libc.inotify_add_watch(self.descriptor, os.fsencode(path.parent), IN_MODIFY | IN_CREATE))
        except OSError:
            self.close()
            raise

    def was_written(self) -> bool:
        """Whether the file was written since the last question; does not wait."""
        found = False
        while True:
            try:
                events = os.read(self.descriptor, 65536)
            except BlockingIOError:
                return found
            found = found or self._names_it(events)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.descriptor)

    def _names_it(self, events: bytes) -> bool:
        at = 0
        while at < len(events):
            *_, length = _HEADER.unpack_from(events, at)
            at += _HEADER.size + length
            if events[at - length : at].rstrip(b"\0") in (self._name, b""):  # nameless: the queue overflowed
                return True
        return False


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
