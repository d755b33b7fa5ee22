"""Inputs by s3, from the stores that a file of the site names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from executor.fetching.errors import ChangedError, RefusedError, TransientError
from executor.fetching.source import Body, Found, Remote
from executor.fetching.web import CHUNK, is_name, to_name
from swath.s3 import NoBucketError, Stores, split_href

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import S3Store


class Buckets:
    """Objects, and all that is below a prefix, in the stores of the site's file."""

    def __init__(self, path: Path | None, most_files: int) -> None:
        self._stores = Stores(path)
        self._most_files = most_files

    def look(self, href: str) -> Found:
        """The object of a href; all objects below it where it ends with a slash."""
        bucket, key = _split(href)
        store = self._open(bucket)
        name = to_name(urlsplit(href).path.rstrip("/"))
        with translated():
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
                if not all(map(is_name, path.split("/"))):
                    raise RefusedError("has objects below it whose keys are no paths of files")
                yield _to_remote(entry, bucket, path)

    @contextmanager
    def read(self, remote: Remote, offset: int) -> Iterator[Body]:
        """The object from `offset` on, as long as it is the one that was looked at."""
        bucket, key = _split(remote.address)
        store, start = self._open(bucket), offset if remote.resumable else 0
        wanted: GetOptions = {"if_match": remote.resumable} if remote.resumable else {}
        if start:
            wanted["range"] = {"offset": start}
        with translated():
            result = store.get(key, options=wanted)
        yield Body(start=start, size=result.meta["size"], chunks=_read(result))

    def _open(self, bucket: str) -> S3Store:
        with translated():
            try:
                return self._stores.open(bucket)
            except NoBucketError as error:
                raise RefusedError(str(error)) from None
            except ValueError as error:  # of the site's file, which may be right soon
                raise TransientError(str(error)) from None


def _split(href: str) -> tuple[str, str]:
    try:
        return split_href(href)
    except ValueError as error:
        raise RefusedError(str(error)) from None


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
    with translated():
        for chunk in result.stream(min_chunk_size=CHUNK):
            yield bytes(chunk)


@contextmanager
def translated() -> Iterator[None]:
    """The library's errors in ours: their first line, for what follows is its innards."""
    from obstore.exceptions import (
        BaseError,
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
    except ValueError as error:  # a key with ".." in it, or an empty part
        raise RefusedError(_first_line(error)) from None
    except (BaseError, OSError) as error:
        raise TransientError(_first_line(error)) from None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
