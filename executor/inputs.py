"""An attempt's inputs, wherever they lie: files of this machine as they are, all else by way of the cache."""

from __future__ import annotations

import resource
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from executor.bounds import resolve
from executor.settings import Settings
from executor.staging import Seen, StartError, find_difference, is_local, resolve_input
from swath.domain.attempts import AttemptSpec
from swath.domain.checksums import Checksum, read_checksum
from swath.domain.retries import Cause

if TYPE_CHECKING:
    from executor.fetching.inputs import Fetcher

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Staged:
    """Inputs that are here."""

    paths: dict[str, list[Path]]  # real ones
    seen: tuple[Seen, ...]  # those among them that are no copies
    held: ExitStack  # copies that nobody removes before it is closed


class Inputs:
    """Stages inputs; from any thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._fetcher: Fetcher | None = None

    def stage(self, spec: AttemptSpec, cancelled: Callable[[], bool], tell: Tell) -> Staged:
        """All inputs of an attempt; `tell` hears of progress. Raises StartError for one that cannot be had, or `cancelled`."""
        outputs = resolve(Path(spec.outputs_root)) if spec.files else Path(spec.outputs_root)
        sums = {href: read_checksum(text) for href, text in spec.checksums.items()}
        with ExitStack() as held:
            fetching: _Fetching | None = None
            paths: dict[str, list[Path]] = {}
            seen: list[Seen] = []
            for name, hrefs in spec.files.items():
                paths[name] = []
                for href in hrefs:
                    if is_local(href):
                        seen.append(resolve_input(name, href, self._settings.bounds, outputs))
                        path = seen[-1].path
                        _check(name, path, sums.get(href))
                    else:
                        fetching = fetching or self._begin(cancelled, tell)
                        path = fetching(name, href, sums.get(href), held)
                    paths[name].append(path)
            return Staged(paths=paths, seen=tuple(seen), held=held.pop_all())

    def _begin(self, cancelled: Callable[[], bool], tell: Tell) -> _Fetching:
        fetcher = self._find_fetcher()
        progress = fetcher.begin(cancelled, tell)

        def fetch(name: str, href: str, checksum: Checksum | None, held: ExitStack) -> Path:
            path, lease = fetcher.fetch(name, href, checksum, progress)
            held.callback(lease.close)
            return path

        return fetch

    def _find_fetcher(self) -> Fetcher:
        """What it imports costs memory, which executors without such inputs keep."""
        with self._lock:
            if self._fetcher is None:
                from executor.fetching.cache import Cache
                from executor.fetching.inputs import Fetcher

                _allow_files()
                wanted = self._settings.fetching
                self._fetcher = Fetcher(
                    policy=wanted.policy,
                    limits=wanted.limits,
                    cache=Cache(
                        wanted.cache or self._settings.sandbox / "input-cache", wanted.limits.cache, wanted.limits.spare
                    ),
                    stores=wanted.stores,
                )
            return self._fetcher


def _allow_files() -> None:
    """Each copy in use holds an open file: as many as may be, for an attempt may have thousands of inputs."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


_Fetching = Callable[[str, str, Checksum | None, ExitStack], Path]


def _check(name: str, path: Path, declared: Checksum | None) -> None:
    if declared is None:
        return
    if path.is_dir():
        raise StartError(Cause.INPUT, f"input {name}: {path} is a directory, and a checksum is one of a file")
    if wrong := find_difference(path, declared):
        raise StartError(Cause.INPUT, f"input {name}: {path} has {wrong} where {declared} was declared")
