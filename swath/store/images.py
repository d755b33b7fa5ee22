"""The catalogue of images, as the api writes and reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from swath.domain.errors import NotFoundError
from swath.store.models import ImageVersion
from swath.store.rows import ImageRow, Page

ACTIVE = "ACTIVE"
_LARGEST_ID = 2**31 - 1  # that its column counts; a larger one from outside would be refused instead of missed
_PARTS = re.compile(r"\d+|[^\d.+-]+")


def to_image(row: ImageVersion) -> ImageRow:
    """The value of a row."""
    return ImageRow(**{name: getattr(row, name) for name in ImageRow.__slots__})


def register_image(
    session: Session,
    *,
    name: str,
    version: str,
    digest: str,
    manifest: Mapping[str, Any],
    swath_manifest: Mapping[str, Any] | None,
    reference: str | None,
    image_id: str | None,
    context: str | None,
    now: datetime,
) -> ImageRow:
    """Add the version, or put a known digest before the others of its name and version, with where it is found now."""
    where = {"reference": reference, "image_id": image_id, "context": context}
    said = {"manifest": dict(manifest), "swath_manifest": None if swath_manifest is None else dict(swath_manifest)}
    changed: dict[str, Any] = {**where, **said, "state": ACTIVE, "registered_at": now}
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    row = dialect.insert(ImageVersion).values(name=name, version=version, digest=digest, created_at=now, **changed)
    put = row.on_conflict_do_update(index_elements=["name", "version", "digest"], set_=changed)
    return to_image(session.scalars(put.returning(ImageVersion)).one())


def list_images(session: Session, name: str | None, after: int | None, limit: int) -> Page[ImageRow, int]:
    """Images in the order in which they were first registered; `after` is an id."""
    last = min(after or 0, _LARGEST_ID)
    query = select(ImageVersion).where(ImageVersion.id > last).order_by(ImageVersion.id).limit(limit + 1)
    if name is not None:
        query = query.where(ImageVersion.name == name)
    found = [to_image(row) for row in session.scalars(query)]
    return Page(items=found[:limit], next=found[limit - 1].id if len(found) > limit else None)


def get_image(session: Session, image_id: int) -> ImageRow:
    """The image version with this row id; raises NotFoundError."""
    row = session.get(ImageVersion, image_id) if image_id <= _LARGEST_ID else None
    if row is None:
        raise NotFoundError(f"there is no image version {image_id}")
    return to_image(row)


def find_image(session: Session, reference: str) -> ImageRow | None:
    """The active version that "name", "name:version" or "name@sha256:..." means; None when there is none.

    "name" is the largest version number; of several digests of one version the last registered serves.
    """
    name, _, digest = reference.partition("@")
    name, _, version = name.partition(":")
    query = select(ImageVersion).where(ImageVersion.name == name, ImageVersion.state == ACTIVE)
    if version:
        query = query.where(ImageVersion.version == version)
    if digest:
        query = query.where(ImageVersion.digest == digest)
    candidates = [to_image(row) for row in session.scalars(query)]
    return max(candidates, key=lambda row: (version_key(row.version), row.registered_at, row.id), default=None)


def version_key(version: str) -> tuple[tuple[tuple[int, str], ...], bool, tuple[tuple[int, str], ...]]:
    """A key that orders versions as semver.org does: 1.10.0 after 1.9.0, and 1.0.0-rc1 before 1.0.0."""
    release, _, before = version.partition("+")[0].partition("-")
    return _numbered(release), not before, _numbered(before)


def _numbered(text: str) -> tuple[tuple[int, str], ...]:
    parts = _PARTS.findall(text)
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in parts)
