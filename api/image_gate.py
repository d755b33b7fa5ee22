"""Whether a job may run an image version: its state, its projects, the site's policy, and whether its registry still has it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from api.presence import Presence, Sight
from api.secrets import Secrets
from api.spelling import find_nearest
from swath.domain.catalogue import RUNNABLE, ImageState, why_not_runnable
from swath.domain.image_policy import ImagePolicy, Subject, find_violations
from swath.domain.projects import walk_up
from swath.store.api_store import ApiStore
from swath.store.rows import CataloguedRow, ImageFilters, ImageRow

_SHOWN = 20  # images


def tell_unknown(reference: str, store: ApiStore) -> str:
    """That there is no such image, and which there are: of its name, or nearly so, where there are such."""
    name = reference.partition("@")[0].partition(":")[0]
    known = store.list_images(ImageFilters(name=name), limit=_SHOWN).items or store.list_images(limit=_SHOWN).items
    names = {str(row.image) for row in known}
    near = find_nearest(name, {row.image.name for row in known})
    hint = f"; did you mean {near}?" if near else f"; registered are {', '.join(sorted(names))}"
    return f"there is no image {reference!r}{hint}" if names else "no image is registered yet"


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """What was found out about an image before a job of it is accepted."""

    problems: tuple[str, ...] = ()  # why the job is refused
    warnings: tuple[str, ...] = ()  # what its user should know


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageGate:
    """Looks at images before jobs of them are accepted. What runs already is nothing to it."""

    store: ApiStore
    policy: ImagePolicy
    presence: Presence | None = None  # None where no registry is asked
    secrets: Secrets | None = None
    needs_registry: bool = False  # what a registry does not answer for is refused; else accepted with a warning

    def look_at(self, image: ImageRow, project: str, allowed: frozenset[ImageState] = RUNNABLE) -> Findings:
        """What keeps a job of `project` from running the version, and what its user should know; `allowed` are the states
        in which it may be: whoever verifies a version runs it before others may.
        """
        row = self.store.get_catalogued(image.id)
        problems = [*self._check_state(row.image, allowed), *self._check_project(row, project)]
        problems += find_violations(self.policy, to_subject(row))
        warnings = list(_warn(row.image))
        is_elsewhere_too = image.image_id or image.context
        if not problems and self.presence is not None and image.reference is not None and not is_elsewhere_too:
            sight = self.presence.look(image.reference, row.details.tag)
            self._note_tag(row, sight)
            problems += self._to_problems(row, sight)
            warnings += self._to_warnings(row, sight)
        return Findings(problems=tuple(problems), warnings=tuple(warnings))

    def _note_tag(self, row: CataloguedRow, sight: Sight) -> None:
        """So that it shows in the catalogue that a tag has moved, or has come back."""
        if sight.tag_digest not in (None, row.details.tag_digest):
            self.store.set_image_details(row.image.id, tag_digest=sight.tag_digest)

    def _to_problems(self, row: CataloguedRow, sight: Sight) -> Iterator[str]:
        if sight.gone is not None:
            yield f"{row.image} cannot be had any more: {sight.gone}"
        if sight.unknown is not None and self.needs_registry:
            yield f"policy registry_down: nobody can tell whether {row.image} can be had: {sight.unknown}"

    def _to_warnings(self, row: CataloguedRow, sight: Sight) -> Iterator[str]:
        if sight.unknown is not None and not self.needs_registry:
            yield f"nobody can tell whether {row.image} can be had: {sight.unknown}"
        if sight.tag_digest not in (None, row.image.digest):
            yield f"the tag {row.details.tag} has moved to {sight.tag_digest}; the job runs {row.image.digest}"

    def _check_state(self, image: ImageRow, allowed: frozenset[ImageState]) -> Iterator[str]:
        if image.state not in allowed:
            yield why_not_runnable(image.state, str(image)) or f"{image} is {image.state}"

    def _check_project(self, row: CataloguedRow, project: str) -> Iterator[str]:
        if row.projects is None:
            return
        tree = self.store.read_projects().projects
        if not any(entry.name in row.projects for entry in walk_up(tree, project)):
            allowed = ", ".join(row.projects) or "no project"
            yield f"{row.image.name} may be run by {allowed}, not by {project}: `swath images own` changes that"


def _warn(image: ImageRow) -> Iterator[str]:
    if image.state is ImageState.DEPRECATED:
        yield f"{image} is DEPRECATED: `swath images history {image}` says why"


def to_subject(row: CataloguedRow) -> Subject:
    """What the policy looks at. A stored reference names a digest: how it came to that was looked at when it was registered."""
    details = row.details
    return Subject(
        name=to_name(row.image.reference) if row.image.reference else None,
        size=details.size,
        runs_as=details.runs_as,
        labels=details.labels,
        signed_by=details.signed_by,
    )


def to_name(reference: str) -> str:
    """Host and repository of a reference, without tag and digest."""
    name = reference.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]
