"""The tables of the image catalogue: the api writes all of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from swath.domain.catalogue import ImageState
from swath.store.base import Base, LongId


class Image(Base):
    """A name in the catalogue: whose it is, and who may run it."""

    __tablename__ = "images"
    name: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    projects: Mapped[list[Any] | None]  # None for every project


class ImageVersion(Base):
    """One immutable digest of an image: what a run of it has to know."""

    __tablename__ = "image_versions"
    __table_args__ = (UniqueConstraint("name", "version", "digest"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    version: Mapped[str]
    digest: Mapped[str]
    reference: Mapped[str | None]
    image_id: Mapped[str | None]
    context: Mapped[str | None]
    manifest: Mapped[dict[str, Any]]
    swath_manifest: Mapped[dict[str, Any] | None]
    state: Mapped[ImageState]
    created_at: Mapped[datetime]
    registered_at: Mapped[datetime]  # the last time; of several digests of a version the newest serves


class ImageDetails(Base):
    """What people and policies want to know of a version beyond that; the scheduler never reads it."""

    __tablename__ = "image_details"
    image_version_id: Mapped[int] = mapped_column(
        ForeignKey("image_versions.id"), primary_key=True, autoincrement=False
    )
    words: Mapped[str]  # what a search looks at, in lower case
    media_type: Mapped[str | None]
    size: Mapped[int | None] = mapped_column(BigInteger)  # bytes, compressed as a registry keeps them
    platform: Mapped[str | None]
    runs_as: Mapped[str | None]  # the user in its configuration; "" for root
    layers: Mapped[list[Any] | None]
    labels: Mapped[dict[str, Any] | None]
    provenance: Mapped[dict[str, Any] | None]
    packages: Mapped[dict[str, Any] | None]
    tag: Mapped[str | None]  # "registry/repository:tag" that it was registered by
    tag_digest: Mapped[str | None]  # what that tag pointed to when somebody looked last
    signed_by: Mapped[str | None]  # fingerprint of the key whose signature was verified
    pushed_by: Mapped[str | None]
    profile: Mapped[dict[str, Any] | None]  # what its verification has measured
    missing_since: Mapped[datetime | None]  # since when its registry does not have the digest


class ImageTransition(Base):
    """One change of a version's state; the first is its registration."""

    __tablename__ = "image_transitions"
    __table_args__ = (Index(None, "image_version_id", "id"), {"sqlite_autoincrement": True})
    id: Mapped[int] = mapped_column(LongId, primary_key=True)
    image_version_id: Mapped[int] = mapped_column(ForeignKey("image_versions.id"))
    before: Mapped[ImageState | None]
    after: Mapped[ImageState]
    user: Mapped[str]
    why: Mapped[str]
    at: Mapped[datetime]
