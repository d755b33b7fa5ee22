"""Writes into published STAC items what only the executor knows."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import replace

from executor.events import Order
from executor.staging import to_shown
from executor.trees import opened
from swath.domain.attempts import OutputFile
from swath.domain.stac import MEDIA_TYPE, Lineage, complete_item, is_item
from swath.domain.strict_json import read_strictly

LARGEST_ITEM = 4 * 2**20  # bytes; what is larger describes something else, and stays as it is
_TEMPORARY = ".item.partial"


def to_lineage(order: Order) -> Lineage:
    """How an attempt's outputs came to be. Settings are none of it: they may be secrets."""
    spec, job = order.spec, order.manifest.job
    return Lineage(
        job=spec.job,
        task=spec.task,
        attempt=spec.attempt,
        software=job.name,
        version=f"{job.jobVersion}-{job.packageVersion}",
        image=spec.image.reference or spec.image.image_id,
        inputs=[(name, to_shown(href)) for name, hrefs in spec.files.items() for href in hrefs],
        checksums={to_shown(href): text for href, text in spec.checksums.items()},
        parameters=spec.parameters,
    )


def complete_items(files: Sequence[OutputFile], directory: int, lineage: Lineage) -> tuple[OutputFile, ...]:
    """The published files below a directory, those that are STAC items rewritten; raises OSError."""
    return tuple(_complete(file, files, directory, lineage) for file in files)


def _complete(file: OutputFile, files: Sequence[OutputFile], top: int, lineage: Lineage) -> OutputFile:
    if (file.media_type or "").partition(";")[0] != MEDIA_TYPE or file.size > LARGEST_ITEM:
        return file
    above, _, name = file.path.rpartition("/")
    with opened(above or ".", top) as directory:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        with os.fdopen(descriptor, "rb") as source:
            data = source.read(LARGEST_ITEM + 1)
        try:
            item = read_strictly(data)
        except ValueError:  # a declared output is the image's own: it need not be an item, or right
            return file
        if not is_item(item):
            return file
        completed = json.dumps(complete_item(item, file.path, files, lineage), indent=1, ensure_ascii=False)
        written = completed.encode(errors="backslashreplace") + b"\n"
        _replace(name, written, directory)
    return replace(file, size=len(written), sha256=hashlib.sha256(written).hexdigest())


def _replace(name: str, data: bytes, directory: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(_TEMPORARY, flags, 0o644, dir_fd=directory), "wb") as new:
        new.write(data)
        new.flush()
        os.fchmod(new.fileno(), 0o644)
        os.fsync(new.fileno())
    os.rename(_TEMPORARY, name, src_dir_fd=directory, dst_dir_fd=directory)
    os.fsync(directory)
