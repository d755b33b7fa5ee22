"""What registries were seen to hold of the catalogue's images: tags that moved, digests that are gone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update

from swath.domain.catalogue import ImageState
from swath.store.catalogue_models import ImageDetails, ImageVersion
from swath.store.database import Database

_OF_INTEREST = tuple(state for state in ImageState if state not in (ImageState.RETIRED, ImageState.REJECTED))


@dataclass(frozen=True, kw_only=True, slots=True)
class SightedRow:
    """A version that a registry should hold."""

    id: int
    reference: str
    tag: str | None  # "registry/repository:tag" that it was registered by
    missing_since: datetime | None


class SightingStore:
    """The sightings in a database. Any method may raise StoreUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_page(self, after: int, limit: int) -> list[SightedRow]:
        """Versions that somebody may still run, by id; `after` is the last one of the page before."""
        query = (
            select(ImageVersion.id, ImageVersion.reference, ImageDetails.tag, ImageDetails.missing_since)
            .join(ImageDetails, ImageDetails.image_version_id == ImageVersion.id)
            .where(ImageVersion.id > after, ImageVersion.reference.is_not(None), ImageVersion.state.in_(_OF_INTEREST))
            .order_by(ImageVersion.id)
            .limit(limit)
        )
        with self._database.read() as session:
            return [
                SightedRow(id=row.id, reference=str(row.reference), tag=row.tag, missing_since=row.missing_since)
                for row in session.execute(query)
            ]

    def find_ids(self, reference: str) -> list[int]:
        """The versions that have this digest of this repository: "registry/repository@sha256:..."."""
        name, _, digest = reference.rpartition("@")
        query = select(ImageVersion.id, ImageVersion.reference).where(ImageVersion.digest == digest)
        with self._database.read() as session:
            return [row.id for row in session.execute(query) if row.reference and _is_of(row.reference, name)]

    def see_tag(self, tag: str, digest: str) -> None:
        """Note what a tag means now, with all that were registered by it."""
        wish = update(ImageDetails).where(ImageDetails.tag == tag, ImageDetails.tag_digest.is_distinct_from(digest))
        with self._database.write() as session:
            session.execute(wish.values(tag_digest=digest).execution_options(synchronize_session=False))

    def see_digest(self, image_id: int, *, missing_since: datetime | None) -> None:
        """Note that a version's digest is there, or since when it is not."""
        wish = update(ImageDetails).where(ImageDetails.image_version_id == image_id)
        with self._database.write() as session:
            session.execute(wish.values(missing_since=missing_since).execution_options(synchronize_session=False))


def _is_of(reference: str, name: str) -> bool:
    """True for a reference, with a tag or without, into the repository `name`."""
    rest = reference.partition("@")[0]
    return rest == name or (rest.startswith(f"{name}:") and "/" not in rest[len(name) :])
