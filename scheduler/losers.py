"""Removes from the site's object store what attempts have put there that came to nothing.

An executor removes what its own attempts leave; what is left is of those that were killed in the middle of it, or of agents
that were given up and went on. The commit of a success names its prefix, so no prefix of another attempt is anybody's output
(docs/adr/0004). Up to which attempt all is done stands in the store itself, for nothing in the database is about it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import structlog

from swath.domain.ids import make_ulid
from swath.s3 import Stores, split_href
from swath.store.losers import Loser, Losers

if TYPE_CHECKING:
    from obstore.store import S3Store

log = structlog.get_logger()

FIRST_S, EVERY_S = 60.0, 3600.0
MARK = ".losers-swept"  # below the outputs root
_BATCH = 500


class Store(Protocol):
    """Who knows which attempts came to nothing."""

    def list_losers(self, after: str, before: str, limit: int) -> Losers: ...


class LoserSweeper:
    """Looks once an hour, on a thread of its own, for attempts that were launched longer than `keep` ago."""

    def __init__(
        self,
        *,
        store: Store,
        root: str,
        stores: Path | None,
        keep: timedelta,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`root` is "s3://bucket/prefix", of a store in the file `stores`."""
        self._store = store
        self._bucket, self._prefix = split_href(root.rstrip("/"))
        self._stores = Stores(stores)
        self._keep = keep
        self._clock = clock
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="swath losers", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Come to an end soon."""
        self._stopped.set()

    def sweep(self) -> int:
        """Of how many attempts something was removed."""
        bucket = self._stores.open(self._bucket)
        before = make_ulid(self._clock() - self._keep, bytes(10))
        after, more, gone = self._read_mark(bucket), True, 0
        while more and not self._stopped.is_set():
            found = self._store.list_losers(after, before, _BATCH)
            gone += sum(self._remove(bucket, loser) for loser in found.items)
            if found.next > after:
                bucket.put(f"{self._prefix}/{MARK}", found.next.encode())
            after, more = found.next, found.more
        return gone

    def _run(self) -> None:
        wait_s = FIRST_S
        while not self._stopped.wait(wait_s):
            wait_s = EVERY_S
            try:
                if gone := self.sweep():
                    log.info("losers_swept", attempts=gone)
            except Exception as error:  # whatever a store may do: the next look may do better
                log.warning("losers_not_swept", reason=str(error).partition("\n")[0][:300])

    def _read_mark(self, bucket: S3Store) -> str:
        try:
            return bytes(bucket.get(f"{self._prefix}/{MARK}").bytes()).decode("ascii", "replace")
        except FileNotFoundError:
            return ""

    def _remove(self, bucket: S3Store, loser: Loser) -> bool:
        below = f"{self._prefix}/{loser.job_id}/{loser.task_index}/{loser.id}/"
        keys = [entry["path"] for batch in bucket.list(below) for entry in batch]
        if keys:
            bucket.delete(keys)
        return bool(keys)
