"""What fetching may take, and where it may come from: the executor's settings for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from executor.fetching.policy import Policy

_MIB = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What fetching may take."""

    attempt: int = 100 * 1024 * _MIB  # bytes of one attempt's inputs
    cache: int = 20 * 1024 * _MIB  # bytes that are kept, beside what is in use
    spare: int = 1024 * _MIB  # bytes of the cache's disk that are left alone
    files: int = 10_000  # below one prefix
    transfers: int = 4  # at a time


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetching:
    """The settings of SWATH_INPUT_*, SWATH_INPUTS_* and SWATH_S3_FILE."""

    policy: Policy = field(default_factory=Policy)
    limits: Limits = field(default_factory=Limits)
    cache: Path | None = None  # the machine's path, the same for an executor in a container; None: in the sandbox
    stores: Path | None = None  # names the site's S3 stores, with their keys

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """The settings in an environment; raises ValueError that names the variable which is wrong."""
        given = Limits()
        limits = Limits(
            attempt=_whole(environ, "SWATH_INPUTS_LIMIT_MIB", given.attempt // _MIB) * _MIB,
            cache=_whole(environ, "SWATH_INPUT_CACHE_MIB", given.cache // _MIB) * _MIB,
            spare=_whole(environ, "SWATH_INPUT_FREE_MIB", given.spare // _MIB) * _MIB,
            files=_whole(environ, "SWATH_INPUT_FILES", given.files),
            transfers=max(1, _whole(environ, "SWATH_INPUT_TRANSFERS", given.transfers)),
        )
        return cls(
            policy=Policy.from_environ(environ),
            limits=limits,
            cache=_path(environ, "SWATH_INPUT_CACHE"),
            stores=_path(environ, "SWATH_S3_FILE"),
        )

    @property
    def closed(self) -> tuple[Path, ...]:
        """What no job may name as a file of this machine."""
        return tuple(path for path in (self.cache, self.stores) if path is not None)


def _whole(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name, str(default))
    if not text.isdecimal() or len(text) > 12:
        raise ValueError(f"{name} is {text!r}; it has to be a whole number")
    return int(text)


def _path(environ: Mapping[str, str], name: str) -> Path | None:
    text = environ.get(name)
    if not text:
        return None
    if not Path(text).is_absolute():
        raise ValueError(f"{name} is {text!r}; it has to be an absolute path")
    return Path(text)
