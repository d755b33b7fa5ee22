"""The catalogue of images, as the api writes and reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import Select, exists, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from swath.domain.catalogue import RUNNABLE, ImageState, Mover, check_move
from swath.domain.errors import ConflictError, NotFoundError
from swath.store.catalogue_models import Image, ImageDetails, ImageTransition, ImageVersion
from swath.store.catalogue_rows import CataloguedRow, DetailsRow, ImageFilters, ImageRow, TransitionRow
from swath.store.rows import Page

_LARGEST_ID = 2**31 - 1  # that its column counts; a larger one from outside would be refused instead of missed
_PARTS = re.compile(r"\d+|[^\d.+-]+")
_DETAILS = tuple(entry.name for entry in fields(DetailsRow))
_SERVES = {ImageState.ACTIVE: 2, ImageState.DEPRECATED: 1}  # what a name means, the largest first
_REGISTERED_AGAIN = {ImageState.REGISTERED: Mover.SERVICE, ImageState.DEPRECATED: Mover.OWNER}


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
    state: ImageState,
    details: DetailsRow,
    user: str,
    why: str,
    now: datetime,
) -> ImageRow:
    """Add the version, or put a known digest before the others of its name and version: see ApiStore.register_image."""
    where = {"reference": reference, "image_id": image_id, "context": context}
    said = {"manifest": dict(manifest), "swath_manifest": None if swath_manifest is None else dict(swath_manifest)}
    changed: dict[str, Any] = {**where, **said, "registered_at": now}
    new = {"name": name, "version": version, "digest": digest, "state": state, "created_at": now}
    insert = _dialect(session).insert(ImageVersion).values(**new, **changed)
    put = insert.on_conflict_do_update(index_elements=["name", "version", "digest"], set_=changed)
    changes = _is_other(session, name, version, digest, said, may_run=state is ImageState.ACTIVE)
    row = to_image(session.scalars(put.returning(ImageVersion).execution_options(populate_existing=True)).one())
    session.execute(_dialect(session).insert(Image).values(name=name, owner=user).on_conflict_do_nothing())
    _put_details(session, row, details)
    if changes:
        row = _forget_trial(session, row, user, now)
    return _settle_state(session, row, state, user, why, now)


def _is_other(
    session: Session, name: str, version: str, digest: str, said: Mapping[str, Any], *, may_run: bool
) -> bool:
    """True where the version is known with another manifest.

    Raises ConflictError where one that runs would get it from somebody who may not let it run.
    """
    met = (ImageVersion.name == name, ImageVersion.version == version, ImageVersion.digest == digest)
    known = session.scalars(select(ImageVersion).where(*met).with_for_update()).one_or_none()
    if known is None or _said_by(known) == (said["manifest"], said["swath_manifest"]):
        return False
    if known.state in RUNNABLE and not may_run:
        raise ConflictError(
            f"{name}:{version} ({digest}) is {known.state} with another manifest: give yours another version"
        )
    return True


def _said_by(row: ImageVersion | ImageRow) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    """What a trial tries."""
    return row.manifest, row.swath_manifest


def _forget_trial(session: Session, row: ImageRow, user: str, now: datetime) -> ImageRow:
    """What was tried was another manifest: what it has measured counts no more, and one under way decides nothing."""
    set_details(session, row.id, {"profile": None})
    if row.state is not ImageState.VERIFYING:
        return row
    why = "it has another manifest now: it is to be tried again"
    return move_image(session, row.id, ImageState.REGISTERED, mover=Mover.SERVICE, user=user, why=why, now=now)


def _put_details(session: Session, row: ImageRow, details: DetailsRow) -> None:
    """Write what is known now; what was known before and is not said again stays."""
    told = {name: value for name in _DETAILS if (value := getattr(details, name)) is not None}
    values = {**told, "words": _to_words(row, details)}
    insert = _dialect(session).insert(ImageDetails).values(image_version_id=row.id, **values)
    session.execute(insert.on_conflict_do_update(index_elements=["image_version_id"], set_=values))


def _to_words(row: ImageRow, details: DetailsRow) -> str:
    """What a search looks at."""
    job = row.manifest.get("job") or {}
    texts = [row.name, row.version, row.digest, row.reference, job.get("title"), job.get("description"), details.tag]
    texts += job.get("tags") or []
    texts += [f"{key}={value}" for key, value in (details.labels or {}).items() if not value.startswith("{")]
    return "\n".join(str(text) for text in texts if text).lower()


def _settle_state(session: Session, row: ImageRow, wanted: ImageState, user: str, why: str, now: datetime) -> ImageRow:
    """A new version has its first line of history; a known one goes where registering it again may bring it."""
    if row.state is ImageState.RETIRED:
        raise ConflictError(f"{row} ({row.digest}) is RETIRED: give what you register another version")
    known = select(ImageTransition.id).where(ImageTransition.image_version_id == row.id).limit(1)
    if session.scalar(known) is None:
        _record(session, row.id, None, row.state, user, why, now)
    elif wanted is ImageState.ACTIVE and (mover := _REGISTERED_AGAIN.get(row.state)) is not None:
        return move_image(session, row.id, wanted, mover=mover, user=user, why=why, now=now)
    return row


def move_image(
    session: Session,
    image_id: int,
    after: ImageState,
    *,
    mover: Mover,
    user: str,
    why: str,
    now: datetime,
    seen: ImageRow | None = None,
) -> ImageRow:
    """Bring the version into another state and write that down: see ApiStore.move_image."""
    row = session.get(ImageVersion, image_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFoundError(f"there is no image version {image_id}")
    before = row.state
    if seen is not None and (before, *_said_by(row)) != (seen.state, *_said_by(seen)):
        raise ConflictError(f"{row.name}:{row.version} is {before} by now, or has another manifest")
    check_move(before, after, mover, f"{row.name}:{row.version}")
    row.state = after
    _record(session, image_id, before, after, user, why, now)
    session.flush()
    return to_image(row)


def _record(
    session: Session,
    image_id: int,
    before: ImageState | None,
    after: ImageState,
    user: str,
    why: str,
    at: datetime,
) -> None:
    session.add(ImageTransition(image_version_id=image_id, before=before, after=after, user=user, why=why, at=at))


def list_transitions(session: Session, image_id: int) -> list[TransitionRow]:
    """What became of the version, the oldest first."""
    query = select(ImageTransition).where(ImageTransition.image_version_id == image_id).order_by(ImageTransition.id)
    return [
        TransitionRow(**{name: getattr(row, name) for name in TransitionRow.__slots__})
        for row in session.scalars(query)
    ]


def put_image(session: Session, name: str, *, owner: str, projects: Sequence[str] | None) -> None:
    """Say whose an image is and which projects may run it. Raises NotFoundError for a name without versions."""
    if session.scalar(select(ImageVersion.id).where(ImageVersion.name == name).limit(1)) is None:
        raise NotFoundError(f"there is no image {name!r}")
    values = {"owner": owner, "projects": None if projects is None else list(projects)}
    insert = _dialect(session).insert(Image).values(name=name, **values)
    session.execute(insert.on_conflict_do_update(index_elements=["name"], set_=values))


def set_details(session: Session, image_id: int, changed: Mapping[str, Any]) -> None:
    """Write what has been found out about the version since it was registered."""
    wish = update(ImageDetails).where(ImageDetails.image_version_id == image_id).values(**changed)
    session.execute(wish.execution_options(synchronize_session=False))


def list_images(session: Session, filters: ImageFilters, after: int | None, limit: int) -> Page[CataloguedRow, int]:
    """Versions in the order in which they were first registered; `after` is an id."""
    last = min(after or 0, _LARGEST_ID)
    query = _select_catalogued().where(ImageVersion.id > last).order_by(ImageVersion.id).limit(limit + 1)
    query = query.where(*_to_conditions(filters, is_postgres=session.get_bind().dialect.name == "postgresql"))
    found = [_to_catalogued(row) for row in session.execute(query)]
    return Page(items=found[:limit], next=found[limit - 1].image.id if len(found) > limit else None)


def _select_catalogued() -> Select[Any]:
    tables: tuple[Any, ...] = (ImageVersion, ImageDetails, Image)
    query = select(*tables)
    query = query.outerjoin(ImageDetails, ImageDetails.image_version_id == ImageVersion.id)
    return query.outerjoin(Image, Image.name == ImageVersion.name)


def _to_catalogued(row: Any) -> CataloguedRow:
    version, details, image = row
    told = {name: getattr(details, name) for name in _DETAILS} if details else {}
    return CataloguedRow(
        image=to_image(version),
        details=DetailsRow(**told),
        owner=image.owner if image else None,
        projects=image.projects if image else None,
    )


def _to_conditions(filters: ImageFilters, *, is_postgres: bool) -> Iterator[Any]:
    if filters.name is not None:
        yield ImageVersion.name == filters.name
    if filters.state is not None:
        yield ImageVersion.state == filters.state
    if filters.owner is not None:
        yield Image.owner == filters.owner
    if filters.text is not None:
        text = filters.text.lower()
        yield or_(ImageDetails.words.contains(text, autoescape=True), ImageVersion.name.contains(text, autoescape=True))
    if filters.project is not None:
        each = func.json_array_elements_text if is_postgres else func.json_each
        listed = each(Image.projects).table_valued("value")
        named = exists().where(listed.c.value == filters.project).correlate(Image)
        yield or_(Image.projects.is_(None), named)
    for label, value in filters.labels.items():
        # Pairs, not a path to the label: SQLite's paths cannot name a key with a quotation mark in it.
        pairs = (func.json_each_text if is_postgres else func.json_each)(ImageDetails.labels).table_valued(
            "key", "value"
        )
        yield exists().where(pairs.c.key == label, pairs.c.value == value).correlate(ImageDetails)


def get_image(session: Session, image_id: int) -> ImageRow:
    """The image version with this row id; raises NotFoundError."""
    row = session.get(ImageVersion, image_id) if image_id <= _LARGEST_ID else None
    if row is None:
        raise NotFoundError(f"there is no image version {image_id}")
    return to_image(row)


def get_catalogued(session: Session, image_id: int) -> CataloguedRow:
    """The version with this row id as the catalogue shows it; raises NotFoundError."""
    row = session.execute(_select_catalogued().where(ImageVersion.id == min(image_id, _LARGEST_ID))).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no image version {image_id}")
    return _to_catalogued(row)


def find_image(session: Session, reference: str) -> ImageRow | None:
    """The version that "name", "name:version" or "name:version@sha256:..." means; None when there is none.

    What is active comes before what is deprecated, and that before what does not run. Then "name" is the largest version
    number, and of several digests of one version the last registered serves.
    """
    name, _, digest = reference.partition("@")
    name, _, version = name.partition(":")
    query = select(ImageVersion).where(ImageVersion.name == name)
    if version:
        query = query.where(ImageVersion.version == version)
    if digest:
        query = query.where(ImageVersion.digest == digest)
    candidates = [to_image(row) for row in session.scalars(query)]
    return max(candidates, key=_precedence, default=None)


def list_references(session: Session, name: str) -> list[str]:
    """Where the image comes from: see ApiStore.list_references."""
    query = select(ImageVersion).where(ImageVersion.name == name, ImageVersion.state != ImageState.REJECTED)
    found = [(row.state, row.reference) for row in session.scalars(query) if row.reference]
    alive = [reference for state, reference in found if state is not ImageState.RETIRED]
    return alive or [reference for _, reference in found]


def _precedence(row: ImageRow) -> tuple[Any, ...]:
    return (_SERVES.get(row.state, 0), version_key(row.version), row.registered_at, row.id)


def version_key(version: str) -> tuple[tuple[tuple[int, str], ...], bool, tuple[tuple[int, str], ...]]:
    """A key that orders versions as semver.org does: 1.10.0 after 1.9.0, and 1.0.0-rc1 before 1.0.0."""
    release, _, before = version.partition("+")[0].partition("-")
    return _numbered(release), not before, _numbered(before)


def _numbered(text: str) -> tuple[tuple[int, str], ...]:
    parts = _PARTS.findall(text)
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in parts)


def _dialect(session: Session) -> Any:
    return postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
