"""Tokens with a scope: make, list, revoke. Only whoever runs the cluster reaches these."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from api.keys import make_id, make_secret, to_hash
from api.openapi import PROBLEMS, body_of
from api.parsing import parse
from api.service import Body, Injected, Known
from api.token_documents import TokenAnswer, TokenDocument, TokenList
from api.views import to_time
from swath.domain.rights import to_token
from swath.store.token_store import TokenRow

router = APIRouter(prefix="/v1/tokens", tags=["tokens"], responses=PROBLEMS)

Name = Annotated[str, Path(max_length=128, pattern=r"^[A-Za-z0-9_.-]+$", description="the token's name or id")]


@router.post("", status_code=201, response_model=TokenAnswer, openapi_extra=body_of("TokenDocument"))
def create(service: Injected, caller: Known, body: Body) -> Any:
    """Make a token. Its text is in this answer and nowhere else: only a hash of it is kept."""
    document, now, secret = parse(TokenDocument, body), service.now(), make_secret()
    row = TokenRow(
        id=make_id(now),
        name=document.name,
        hash=to_hash(secret),
        scope=document.scope,
        user=document.user or caller.user,
        project=document.project,
        images=tuple(document.images),
        created_by=caller.user,
        created_at=now,
        expires_at=now + timedelta(seconds=document.lasts_s),
    )
    return _show(service, service.tokens.add(row)) | {"token": to_token(row.id, secret)}


@router.get("", response_model=TokenList)
def list_tokens(service: Injected) -> Any:
    """All tokens by name, without their secrets."""
    return {"items": [_show(service, row) for row in service.tokens.list_all()]}


@router.delete("/{name}", status_code=204, response_class=Response)
def revoke(service: Injected, name: Name) -> Response:
    """Take a token back, from the next request on."""
    service.tokens.remove(name)
    return Response(status_code=204)


def _show(service: Injected, row: TokenRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "scope": row.scope,
        "user": row.user,
        "project": row.project,
        "images": list(row.images),
        "created_by": row.created_by,
        "created_at": to_time(row.created_at),
        "expires_at": to_time(row.expires_at),
        "expired": row.expires_at <= service.now(),
    }
