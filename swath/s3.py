"""The S3 stores of a site, by a file that names them. What is in it no task and no log ever sees."""

from __future__ import annotations

import re
import stat
import threading
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from obstore.store import S3Store

_SETTINGS = frozenset(
    {
        "endpoint",
        "region",
        "access_key_id",
        "secret_access_key",
        "session_token",
        "anonymous",
        "virtual_host",
        "buckets",
    }
)
_TRIES = 2  # of one request; whoever asks tries again and again besides
_CONNECT_S, _SILENCE_S = timedelta(seconds=10), timedelta(seconds=60)


_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")


class NoBucketError(Exception):
    """No store of the site has what is asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreSettings:
    """One store of the site's file."""

    name: str
    buckets: tuple[str, ...] = ("*",)  # patterns of the names that are found there
    endpoint: str | None = None  # Amazon's own where None
    region: str = "us-east-1"
    anonymous: bool = False
    virtual_host: bool = False  # the bucket is part of the host's name
    access_key_id: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)

    def open(self, bucket: str) -> S3Store:
        """The bucket in this store; what is put there is held against its SHA-256."""
        from obstore.store import S3Store

        keys: dict[str, Any] = {"skip_signature": True}
        if not self.anonymous:
            keys = {
                "access_key_id": self.access_key_id,
                "secret_access_key": self.secret_access_key,
                "session_token": self.session_token,
            }
        return S3Store(
            bucket,
            endpoint=self.endpoint,
            region=self.region,
            virtual_hosted_style_request=self.virtual_host,
            checksum_algorithm="SHA256",
            client_options={
                "allow_http": (self.endpoint or "").startswith("http://"),
                "connect_timeout": _CONNECT_S,
                "read_timeout": _SILENCE_S,
            },
            retry_config={"max_retries": _TRIES - 1},
            **{name: value for name, value in keys.items() if value is not None},
        )


def read_stores(path: Path) -> tuple[StoreSettings, ...]:
    """The stores that a file names, in its order; raises ValueError, which quotes nothing of the file."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the file of S3 stores {path} cannot be read: {type(error).__name__}") from None
    if mode & 0o077:
        raise ValueError(f"the file of S3 stores {path} is open to others (mode {mode:04o}): chmod 600 it")
    try:
        return tuple(_to_store(name, table) for name, table in tomllib.loads(text).items())
    except (tomllib.TOMLDecodeError, TypeError):
        raise ValueError(f"the file of S3 stores {path} is no TOML of the form [NAME] endpoint = ...") from None


def _to_store(name: str, table: Mapping[str, Any]) -> StoreSettings:
    if not isinstance(table, dict) or (unknown := table.keys() - _SETTINGS):
        what = f"{min(unknown)}, which is no setting" if isinstance(table, dict) else "no table"
        raise ValueError(f"store {name} in the file of S3 stores has {what}; there are {', '.join(sorted(_SETTINGS))}")
    return StoreSettings(name=name, **{**table, "buckets": tuple(table.get("buckets", ("*",)))})


def find_store(path: Path | None, bucket: str) -> StoreSettings:
    """The first store of the site's file that has a bucket; raises NoBucketError where none has, ValueError for a broken file.

    The file is read each time: keys are exchanged without a restart.
    """
    if path is None:
        raise NoBucketError("this site names no S3 store (SWATH_S3_FILE)")
    stores = read_stores(path)
    store = next((store for store in stores if any(fnmatchcase(bucket, one) for one in store.buckets)), None)
    if store is None:
        raise NoBucketError(f"no store of this site has a bucket {bucket}")
    return store


class Stores:
    """The buckets of the stores in a site's file, each opened once; from any thread."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._opened: dict[tuple[StoreSettings, str], S3Store] = {}

    def open(self, bucket: str) -> S3Store:
        """The bucket, with the keys that the file has now; raises as `find_store` does."""
        settings = find_store(self._path, bucket)
        with self._lock:
            if (settings, bucket) not in self._opened:
                self._opened[settings, bucket] = settings.open(bucket)
            return self._opened[settings, bucket]


def split_href(href: str) -> tuple[str, str]:
    """Bucket and key of "s3://bucket/key"; raises ValueError."""
    try:
        parts = urlsplit(href)
    except ValueError as error:
        raise ValueError(f"is no URL: {error}") from None
    bucket, key = parts.netloc, unquote(parts.path).removeprefix("/")
    if not _BUCKET.fullmatch(bucket) or ".." in bucket or not key or parts.query or parts.fragment or "\0" in key:
        raise ValueError("is not of the form s3://bucket/key, with ? and # written as %3F and %23")
    return bucket, key
