"""Open event streams: records wait here until the connection takes them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

Json = dict[str, Any]
LONGEST_BACKLOG = 256 * 1024 * 1024  # bytes; a subscriber that reads nothing for so long is cut off


def encode(event: Json) -> bytes:
    """One RecordIO record: its length in bytes, a newline, the JSON."""
    body = json.dumps(event, separators=(",", ":")).encode()
    return b"%d\n%b" % (len(body), body)


class Stream:
    """The records of one subscriber, in order. Read by one task, written by the runtime."""

    def __init__(self) -> None:
        self._records: list[bytes] = []
        self._backlog = 0
        self._wake = asyncio.Event()
        self.closed = False
        self.broken = False  # ended without the 0-chunk, as when the other side's process has died
        self.muted = False  # whatever is written is lost; the connection stays open

    def write(self, event: Json) -> None:
        self.write_bytes(encode(event))

    def write_bytes(self, record: bytes) -> None:
        """A record, or whatever else an injected fault has to say."""
        if self.muted:
            return
        self._records.append(record)
        self._backlog += len(record)
        if self._backlog > LONGEST_BACKLOG:
            self.closed = True
        self._wake.set()

    def close(self) -> None:
        self.closed = True
        self._wake.set()

    def break_off(self) -> None:
        """End it in the middle."""
        self.broken = True
        self.close()

    async def take(self) -> list[bytes]:
        """All records that wait, at least one; an empty list when the stream has ended."""
        while not self._records and not self.closed:
            self._wake.clear()
            await self._wake.wait()
        records, self._records, self._backlog = self._records, [], 0
        return records
