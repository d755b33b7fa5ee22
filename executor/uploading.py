"""Published outputs on their way to an object store, where the site keeps them there (outputs root "s3://bucket/prefix").

The attempt's directory is complete on this machine first, as on a shared file system; its files then become objects below the
attempt's own prefix. An object store has no rename, and needs none: what is there counts for nothing until the commit
names the prefix (docs/adr/0004).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from executor.fetching.buckets import translated
from executor.fetching.errors import RefusedError, TransientError
from executor.publish import PublishError
from swath.domain.retries import Cause
from swath.s3 import NoBucketError, Stores, split_href

if TYPE_CHECKING:
    from obstore import Attributes
    from obstore.store import S3Store

_LONGEST_KEY = 1024  # bytes, in S3
_TRIES = 3  # of a file, beside those of each request


def upload(directory: Path, root: str, below: str, media_types: Mapping[str, str | None], stores: Path | None) -> str:
    """Put all files of a directory below `root`/`below`; the href of that prefix.

    Raises PublishError: TRANSFER for a store or a network that does not work, AGENT for one that this site does not have,
    OUTPUT for a file whose name no object may have.
    """
    to = f"{root.rstrip('/')}/{below}"
    try:
        bucket, prefix = split_href(to)
        store = Stores(stores).open(bucket)
        for path in sorted(path for path in directory.rglob("*") if path.is_file()):
            name = str(path.relative_to(directory))
            _check_key(f"{prefix}/{name}", name)
            _put(store, path, f"{prefix}/{name}", media_types.get(name))
    except (TransientError, ValueError) as error:
        raise PublishError(Cause.TRANSFER, f"the outputs could not be stored in {to}: {error}") from error
    except (RefusedError, NoBucketError, OSError) as error:
        raise PublishError(Cause.AGENT, f"the outputs could not be stored in {to}: {error}") from error
    return to


def _check_key(key: str, name: str) -> None:
    if any(character < " " or character == "\x7f" for character in key) or len(key.encode()) > _LONGEST_KEY:
        raise PublishError(Cause.OUTPUT, f"no object may be called as the output {name!r} is")


def withdraw(root: str, below: str, stores: Path | None) -> None:
    """Remove all that lies below `root`/`below`: of an attempt that came to nothing. Raises TransientError and RefusedError."""
    bucket, prefix = split_href(f"{root.rstrip('/')}/{below}")
    with translated():
        store = Stores(stores).open(bucket)
        if keys := [entry["path"] for batch in store.list(f"{prefix}/") for entry in batch]:
            store.delete(keys)


def _put(store: S3Store, path: Path, key: str, media_type: str | None) -> None:
    attributes: Attributes = {"Content-Type": media_type} if media_type else {}
    for last in range(_TRIES - 1, -1, -1):
        try:
            with translated():
                store.put(key, path, attributes=attributes)
            return
        except TransientError:
            if last == 0:
                raise
