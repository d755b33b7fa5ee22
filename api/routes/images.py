"""The catalogue of processing images."""

from __future__ import annotations

from datetime import UTC, date
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from api.catalogue import compare
from api.image_answers import (
    ComparisonAnswer,
    ImageAnswer,
    ImagePage,
    ImageUsageAnswer,
    TransitionList,
)
from api.image_schemas import ImageDocument, OwnershipDocument, StateDocument
from api.openapi import PROBLEMS, body_of
from api.pages import Cursor, Filter, Limit, from_cursor, to_cursor, to_labels
from api.parsing import parse
from api.service import Body, Injected, Known
from api.usage import to_usage
from api.views import to_image, to_transition
from swath.domain.catalogue import ImageState, failure_rate
from swath.domain.errors import InvalidInputError
from swath.domain.usage import Amounts
from swath.store.rows import ImageFilters, UsageFilters, UsageRow

router = APIRouter(prefix="/v1/images", tags=["images"], responses=PROBLEMS)

Name = Annotated[str, Path(max_length=128, pattern=r"^[a-zA-Z0-9-]+$", description="the image's name")]
Version = Annotated[str, Path(max_length=64, pattern=r"^[0-9A-Za-z.+-]+$", description="its version")]
_DIGEST = r"^sha256:[0-9a-f]{64}$"
Digest = Annotated[str | None, Query(pattern=_DIGEST, description="one of several digests of the version")]
_REFERENCE = r"^[a-zA-Z0-9-]+:[0-9A-Za-z.+-]+(@sha256:[0-9a-f]{64})?$"


@router.post("", status_code=201, response_model=ImageAnswer, openapi_extra=body_of("ImageDocument"))
def register(service: Injected, caller: Known, body: Body, response: Response) -> Any:
    """Register an image version. The same digest again brings it to the front; a new digest of a version serves from now on."""
    document = parse(ImageDocument, body)
    caller.check_place(in_registry=document.reference is not None and not (document.image_id or document.context))
    image = service.catalogue.register(document, caller=caller)
    service.verifier.begin(image.id, caller.project)
    response.headers["Location"] = f"/v1/images/{image.name}/{image.version}"
    return to_image(service.store.get_catalogued(image.id))


@router.get("", response_model=ImagePage)
def list_images(
    service: Injected,
    name: Filter = None,
    text: Annotated[Filter, Query(description="in its name, title, description, tags or labels")] = None,
    state: ImageState | None = None,
    owner: Filter = None,
    project: Annotated[Filter, Query(description="that may run it")] = None,
    label: Annotated[list[str] | None, Query(max_length=20, description="KEY=VALUE, several times for several")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """Image versions in the order of their registration."""
    after = from_cursor("images", cursor)
    if isinstance(after, str):
        raise InvalidInputError.at("query:cursor", "is none that a page of this list ended with")
    filters = ImageFilters(
        name=name, text=text, state=state, owner=owner, project=project, labels=to_labels(label or [])
    )
    page = service.store.list_images(filters, after=after, limit=limit)
    items = [to_image(row) | {"packages": None} for row in page.items]
    return {"items": items, "next": to_cursor("images", page.next)}


@router.get("/{name}", response_model=ImageAnswer)
def get_newest(service: Injected, name: Name) -> Any:
    """The version that serves the name: the largest active one."""
    return to_image(service.catalogue.find(name))


@router.put("/{name}", response_model=ImageAnswer, openapi_extra=body_of("OwnershipDocument"))
def own(service: Injected, caller: Known, name: Name, body: Body) -> Any:
    """Say whose an image is, and which projects may run it."""
    document = parse(OwnershipDocument, body)
    found = service.catalogue.find(name)
    return to_image(service.catalogue.own(found, document, user=caller.user))


@router.get("/{name}/{version}", response_model=ImageAnswer)
def get_version(service: Injected, name: Name, version: Version, digest: Digest = None) -> Any:
    """One version of an image."""
    return to_image(service.catalogue.find(refer(name, version, digest)))


@router.post("/{name}/{version}/state", response_model=ImageAnswer, openapi_extra=body_of("StateDocument"))
def move(service: Injected, caller: Known, name: Name, version: Version, body: Body, digest: Digest = None) -> Any:
    """Bring a version into another state; who did it, when and why is kept. A conflict says what it may become."""
    document = parse(StateDocument, body)
    found = service.catalogue.find(refer(name, version, digest))
    moved = service.catalogue.move(found, ImageState(document.state), user=caller.user, why=document.why)
    return to_image(moved)


@router.get("/{name}/{version}/transitions", response_model=TransitionList)
def list_transitions(service: Injected, name: Name, version: Version, digest: Digest = None) -> Any:
    """What became of a version, by whom, when and why; the oldest first."""
    found = service.catalogue.find(refer(name, version, digest))
    return {"items": [to_transition(row) for row in service.store.list_transitions(found.image.id)]}


@router.get("/{name}/{version}/usage", response_model=ImageUsageAnswer, response_model_exclude_unset=True)
def read_usage(service: Injected, name: Name, version: Version) -> Any:
    """What all attempts of a name and version have held and used, how they ended, and which part of them failed."""
    found = service.catalogue.find(refer(name, version, None))
    now = service.now()
    filters = UsageFilters(by=(), first=date.min, last=now.astimezone(UTC).date(), image=str(found.image))
    found_rows = service.store.read_usage(filters, now=now, limit=1).items
    row = next(iter(found_rows), UsageRow(group={}, amounts=Amounts(), outcomes={}))
    return to_usage(row) | {"failure_rate": failure_rate(row.outcomes)}


@router.get("/{name}/{version}/compare", response_model=ComparisonAnswer)
def compare_versions(
    service: Injected,
    name: Name,
    version: Version,
    to: Annotated[str, Query(alias="with", max_length=300, pattern=_REFERENCE, description="NAME:VERSION[@DIGEST]")],
    digest: Digest = None,
) -> Any:
    """What another version has that this one has not, and the other way round: manifests, size, layers, packages."""
    return compare(service.catalogue.find(refer(name, version, digest)), service.catalogue.find(to))


def refer(name: str, version: str, digest: str | None) -> str:
    """The reference of one version, of one of its digests where that is given."""
    return f"{name}:{version}" + (f"@{digest}" if digest else "")
