"""The catalogue of processing images."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from api.answers import ImageAnswer, ImagePage
from api.images import to_registration
from api.openapi import PROBLEMS, body_of
from api.pages import Cursor, Filter, Limit, from_cursor, to_cursor
from api.parsing import parse
from api.schemas import ImageDocument
from api.service import Body, Injected, Known, Service
from api.views import to_image
from swath.domain.errors import InvalidInputError, NotFoundError

router = APIRouter(prefix="/v1/images", tags=["images"], responses=PROBLEMS)

Name = Annotated[str, Path(max_length=128, pattern=r"^[a-zA-Z0-9-]+$", description="the image's name")]
Version = Annotated[str, Path(max_length=64, pattern=r"^[0-9A-Za-z.+-]+$", description="its version")]


@router.post("", status_code=201, response_model=ImageAnswer, openapi_extra=body_of("ImageDocument"))
def register(service: Injected, caller: Known, body: Body, response: Response) -> Any:
    """Register an image version. The same digest again brings it to the front; a new digest of a version serves from now on."""
    document = parse(ImageDocument, body)
    caller.check_place(in_registry=document.reference is not None and not (document.image_id or document.context))
    registration = to_registration(document)
    caller.check_image(registration.name)
    row = service.store.register_image(**asdict(registration), now=service.now())
    response.headers["Location"] = f"/v1/images/{row.name}/{row.version}"
    return to_image(row)


@router.get("", response_model=ImagePage)
def list_images(service: Injected, name: Filter = None, limit: Limit = 100, cursor: Cursor = None) -> Any:
    """Image versions in the order of their registration."""
    after = from_cursor("images", cursor)
    if isinstance(after, str):
        raise InvalidInputError.at("query:cursor", "is none that a page of this list ended with")
    page = service.store.list_images(name, after=after, limit=limit)
    return {"items": [to_image(row) for row in page.items], "next": to_cursor("images", page.next)}


@router.get("/{name}", response_model=ImageAnswer)
def get_newest(service: Injected, name: Name) -> Any:
    """The newest version of an image."""
    return _get(service, name)


@router.get("/{name}/{version}", response_model=ImageAnswer)
def get_version(service: Injected, name: Name, version: Version) -> Any:
    """One version of an image."""
    return _get(service, f"{name}:{version}")


def _get(service: Service, reference: str) -> dict[str, Any]:
    row = service.store.find_image(reference)
    if row is None:
        raise NotFoundError(f"there is no image {reference!r}")
    return to_image(row)
