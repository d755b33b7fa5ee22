"""Inputs by s3, from the stores that a file of the site names. What is in that file no task and no log ever sees."""

from __future__ import annotations

import hashlib
import stat
import threading
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from executor.fetching.errors import ChangedError, RefusedError, TransientError
from executor.fetching.source import Body, Found, Remote
from executor.fetching.web import CHUNK, to_name

if TYPE_CHECKING:
    from obstore import GetOptions
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
        """The bucket in this store."""
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


class Buckets:
    """Objects, and all that is below a prefix, in the stores of the site's file."""

    def __init__(self, path: Path | None, most_files: int) -> None:
        self._path = path
        self._most_files = most_files
        self._lock = threading.Lock()
        self._opened: dict[tuple[StoreSettings, str], S3Store] = {}

    def look(self, href: str) -> Found:
        """The object of a href; all objects below it where it ends with a slash."""
        bucket, key = split(href)
        store = self._open(bucket)
        name = to_name(urlsplit(href).path.rstrip("/"))
        with _translated():
            if not key.endswith("/"):
                return Found(name=name, remotes=(_to_remote(store.head(key), bucket, name),))
            listed = list(self._list(store, bucket, key))
        if not listed:
            raise RefusedError("there is nothing below this prefix")
        if len({remote.name for remote in listed}) < len(listed) or _clash(listed):
            raise RefusedError("has objects whose keys are no different paths of files")
        return Found(name=name, remotes=tuple(listed), is_directory=True)

    def _list(self, store: S3Store, bucket: str, prefix: str) -> Iterator[Remote]:
        count = 0
        for batch in store.list(prefix):
            for entry in batch:
                path = entry["path"].removeprefix(prefix)
                if path in ("", prefix.rstrip("/")):  # what some programs leave for the directory itself
                    continue
                count += 1
                if count > self._most_files:
                    raise RefusedError(f"has more than {self._most_files} objects below it")
                if any(part in ("", ".", "..") or not part.isprintable() for part in path.split("/")):
                    raise RefusedError("has objects below it whose keys are no paths of files")
                yield _to_remote(entry, bucket, path)

    @contextmanager
    def read(self, remote: Remote, offset: int) -> Iterator[Body]:
        """The object from `offset` on, as long as it is the one that was looked at."""
        bucket, key = split(remote.address)
        store, start = self._open(bucket), offset if remote.resumable else 0
        wanted: GetOptions = {"if_match": remote.resumable} if remote.resumable else {}
        if start:
            wanted["range"] = {"offset": start}
        with _translated():
            result = store.get(key, options=wanted)
        yield Body(start=start, size=result.meta["size"], chunks=_read(result))

    def _open(self, bucket: str) -> S3Store:
        if self._path is None:
            raise RefusedError("this site names no S3 store (SWATH_S3_FILE)")
        try:
            stores = read_stores(self._path)  # each time: keys are exchanged without a restart
        except ValueError as error:
            raise TransientError(str(error)) from None
        store = next((store for store in stores if any(fnmatchcase(bucket, one) for one in store.buckets)), None)
        if store is None:
            raise RefusedError(f"no store of this site has a bucket {bucket}")
        with self._lock:
            if (store, bucket) not in self._opened:
                with _translated():
                    self._opened[store, bucket] = store.open(bucket)
            return self._opened[store, bucket]


def split(href: str) -> tuple[str, str]:
    """Bucket and key of "s3://bucket/key"; raises RefusedError."""
    try:
        parts = urlsplit(href)
    except ValueError as error:
        raise RefusedError(f"is no URL: {error}") from None
    bucket, key = parts.netloc, unquote(parts.path).removeprefix("/")
    if not bucket or not key or parts.query or parts.fragment or "@" in bucket or ":" in bucket or "\0" in key:
        raise RefusedError("is not of the form s3://bucket/key, with ? and # written as %3F and %23")
    return bucket, key


def _to_remote(entry: Mapping[str, Any], bucket: str, name: str) -> Remote:
    etag, path = entry.get("e_tag"), entry["path"]
    address = f"s3://{bucket}/" + path.replace("%", "%25").replace("?", "%3F").replace("#", "%23")
    return Remote(name=name, address=address, size=int(entry["size"]), version=etag, resumable=etag)


def _clash(remotes: list[Remote]) -> bool:
    """Whether one's path is a directory of another's."""
    files = {remote.name for remote in remotes}
    return any(parent in files for remote in remotes for parent in _parents(remote.name))


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def to_version(remotes: tuple[Remote, ...]) -> str | None:
    """The version of a whole directory; None where one of its files has none."""
    if not all(remote.version for remote in remotes):
        return None
    lines = sorted(f"{remote.name}\0{remote.size}\0{remote.version}\n" for remote in remotes)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _read(result: Any) -> Iterator[bytes]:
    with _translated():
        for chunk in result.stream(min_chunk_size=CHUNK):
            yield bytes(chunk)


@contextmanager
def _translated() -> Iterator[None]:
    """The library's errors in ours: their first line, for what follows is its innards."""
    from obstore.exceptions import (
        BaseError,
        InvalidPathError,
        PermissionDeniedError,
        PreconditionError,
        UnauthenticatedError,
    )

    try:
        yield
    except FileNotFoundError:
        raise RefusedError("is not there") from None
    except PreconditionError:
        raise ChangedError("has changed while it was fetched") from None
    except (PermissionDeniedError, UnauthenticatedError):
        raise RefusedError("may not be read with what this site's file of S3 stores says") from None
    except InvalidPathError as error:
        raise RefusedError(_first_line(error)) from None
    except (BaseError, OSError) as error:
        raise TransientError(_first_line(error)) from None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
