"""Keeps secrets out of logs: what a command writes passes through here before it is kept."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from executor.logs import STREAMS, open_log
from swath.domain.secrets import MASK, SHORTEST

log = logging.getLogger(__name__)

_CHUNK = 64 * 1024
_DRAIN_S = 5.0  # for what an ended command has written


class Mask:
    """Replaces secrets in a stream, wherever its chunks are cut."""

    def __init__(self, secrets: Iterable[str]) -> None:
        words = {word.encode("utf-8", "replace") for secret in secrets for word in _words_of(secret)}
        self._words = sorted(words, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, self._words))) if words else None
        self._held = b""  # what may be the beginning of a secret

    def feed(self, data: bytes) -> bytes:
        """What may be written now."""
        if self._pattern is None:
            return data
        data = self._held + data
        cut = len(data) - self._longest_beginning(data)
        for found in self._pattern.finditer(data):
            if found.start() < cut < found.end():
                cut = found.start()
        self._held = data[cut:]
        return self._pattern.sub(MASK, data[:cut])

    def finish(self) -> bytes:
        """What was held back."""
        held, self._held = self._held, b""
        return self._pattern.sub(MASK, held) if self._pattern else held

    def hide(self, text: str) -> str:
        """A text without the secrets."""
        return self._pattern.sub(MASK, text.encode("utf-8", "replace")).decode() if self._pattern else text

    def _longest_beginning(self, data: bytes) -> int:
        """The length of the longest end of `data` with which some secret goes on."""
        longest = min(len(data), len(self._words[0]) - 1)
        firsts = {word[0] for word in self._words}
        for start in range(len(data) - longest, len(data)):
            if data[start] in firsts and any(
                len(word) > len(data) - start and word.startswith(data[start:]) for word in self._words
            ):
                return len(data) - start
        return 0


def _words_of(secret: str) -> Iterator[str]:
    """The secret as a whole, and each line of one that has several: logs are written by lines."""
    yield secret
    yield from (line for line in map(str.strip, secret.splitlines()) if len(line) >= SHORTEST)


class MaskedLogs:
    """Both logs of a command that writes to pipes; a thread a stream carries over what it writes, masked."""

    def __init__(self, directory: Path, secrets: Iterable[str]) -> None:
        words = list(secrets)
        self._threads: list[threading.Thread] = []
        self._writing: list[int] = []
        for stream in STREAMS:
            reading, writing = os.pipe2(os.O_CLOEXEC)
            self._writing.append(writing)
            arguments = (reading, open_log(directory, stream), Mask(words))
            self._threads.append(threading.Thread(target=_carry, args=arguments, name=f"mask {stream}", daemon=True))
            self._threads[-1].start()

    @contextmanager
    def opened(self) -> Iterator[tuple[int, int]]:
        """Descriptors for the command to write to; ours are closed behind it, so that the pipes end with it."""
        out, err = self._writing
        try:
            yield out, err
        finally:
            os.close(out)
            os.close(err)

    def drain(self) -> None:
        """Wait until all that the command has written is kept."""
        for thread in self._threads:
            thread.join(_DRAIN_S)


def _carry(reading: int, file: int, mask: Mask) -> None:
    try:
        while data := os.read(reading, _CHUNK):
            _write(file, mask.feed(data))
        _write(file, mask.finish())
    except OSError as error:  # a full disk: the command is not to hang for it
        log.warning("a log cannot be written: %s", error)
        while os.read(reading, _CHUNK):
            continue
    finally:
        os.close(reading)
        os.close(file)


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
