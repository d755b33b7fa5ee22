"""What the api does with the image catalogue: one method a question, each in a transaction of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from swath.domain.catalogue import ImageState, Mover
from swath.store import images
from swath.store.catalogue_rows import CataloguedRow, DetailsRow, ImageFilters, ImageRow, TransitionRow
from swath.store.database import Database
from swath.store.rows import Page

ALL_IMAGES = ImageFilters()
NO_DETAILS = DetailsRow()


class CatalogueStore:
    """The catalogue's part of `ApiStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register_image(
        self,
        *,
        name: str,
        version: str,
        digest: str,
        manifest: Mapping[str, Any],
        now: datetime,
        swath_manifest: Mapping[str, Any] | None = None,
        reference: str | None = None,
        image_id: str | None = None,
        context: str | None = None,
        state: ImageState = ImageState.ACTIVE,
        details: DetailsRow = NO_DETAILS,
        user: str = "swath",
        why: str = "registered",
    ) -> ImageRow:
        """Add an image version; a digest that is known becomes the one that serves its name and version again.

        `state` is that of a new version; a known one keeps its own, but that ACTIVE brings back what is only REGISTERED or
        DEPRECATED. A new image is the user's. Raises ConflictError for what is RETIRED.
        """
        with self._database.write() as session:
            return images.register_image(
                session,
                name=name,
                version=version,
                digest=digest,
                manifest=manifest,
                swath_manifest=swath_manifest,
                reference=reference,
                image_id=image_id,
                context=context,
                state=state,
                details=details,
                user=user,
                why=why,
                now=now,
            )

    def move_image(
        self,
        image_id: int,
        after: ImageState,
        *,
        mover: Mover,
        user: str,
        why: str,
        now: datetime,
        learned: Mapping[str, Any] | None = None,
        seen: ImageRow | None = None,
    ) -> ImageRow:
        """Bring a version into another state; who did it, when and why is kept.

        learned: details that were found out with that. seen: the version as the mover knows it. Raises ConflictError for what
        the table does not allow, or where what was seen is no more, ForbiddenError for what is not the mover's to do.
        """
        with self._database.write() as session:
            moved = images.move_image(session, image_id, after, mover=mover, user=user, why=why, now=now, seen=seen)
            if learned is not None:
                images.set_details(session, image_id, learned)
            return moved

    def list_transitions(self, image_id: int) -> list[TransitionRow]:
        """What became of a version, the oldest first."""
        with self._database.read() as session:
            return images.list_transitions(session, image_id)

    def put_image(self, name: str, *, owner: str, projects: Sequence[str] | None) -> None:
        """Say whose an image is, and which projects may run it; None for all. Raises NotFoundError."""
        with self._database.write() as session:
            images.put_image(session, name, owner=owner, projects=projects)

    def set_image_details(self, image_id: int, **changed: Any) -> None:
        """Write what has been found out about a version since: tag_digest, profile, signed_by and so on."""
        with self._database.write() as session:
            images.set_details(session, image_id, changed)

    def list_images(
        self, filters: ImageFilters = ALL_IMAGES, *, after: int | None = None, limit: int = 100
    ) -> Page[CataloguedRow, int]:
        """Image versions in the order of their first registration; `after` is an id."""
        with self._database.read() as session:
            return images.list_images(session, filters, after, limit)

    def get_image(self, image_id: int) -> ImageRow:
        """The image version with this row id."""
        with self._database.read() as session:
            return images.get_image(session, image_id)

    def get_catalogued(self, image_id: int) -> CataloguedRow:
        """The image version with this row id, with all that is known of it."""
        with self._database.read() as session:
            return images.get_catalogued(session, image_id)

    def list_references(self, name: str) -> list[str]:
        """Where the image's versions lie, those of a registry only. Rejected ones count for nothing, retired ones where there
        are no others: so a name can be taken from whoever took it first.
        """
        with self._database.read() as session:
            return images.list_references(session, name)

    def find_image(self, reference: str) -> ImageRow | None:
        """What "name", "name:version" or "name:version@sha256:..." means now, whatever its state; None where nothing does."""
        with self._database.read() as session:
            return images.find_image(session, reference)
