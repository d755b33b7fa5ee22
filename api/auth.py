"""Who may speak to the service: the bearer token, the Host header and the Origin header, before anything else is looked at.

The service listens on loopback, where every local page in a browser can reach it: a foreign name in Host is DNS rebinding, a
foreign Origin another site's script. No answer carries an Access-Control header, so no other origin may read one either.
"""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import to_response
from swath.domain.errors import ForbiddenError, SwathError, UnauthorizedError

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/openapi.json"})  # they say nothing about anybody's jobs


class Gate:
    """ASGI middleware that lets through what names this service and carries its token."""

    def __init__(self, app: ASGIApp, *, token: str, hosts: frozenset[str]) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (error := self._complaint(scope)) is not None:
            await to_response(error, scope)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _complaint(self, scope: Scope) -> SwathError | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or _name_of(hosts[0]) not in self._hosts:
            return ForbiddenError(
                f"this service is not called {', '.join(hosts) or 'nothing'!r}: add the name to SWATH_ALLOWED_HOSTS"
            )
        if _is_foreign(headers, hosts[0]):
            return ForbiddenError("requests from pages of other origins are refused")
        if scope["path"] not in OPEN_PATHS and not self._is_token(headers.get("authorization", "")):
            return UnauthorizedError(
                "the bearer token is missing or wrong: send 'Authorization: Bearer TOKEN' with the text of the token file"
            )
        return None

    def _is_token(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        # "constant time": the comparison tells nothing of how many characters were right
        same = hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._token)
        return same and scheme.lower() == "bearer"


def _name_of(host: str) -> str | None:
    """The name in a Host header, in lower case, without the port; None for one that is no host."""
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return None
    return name if name and "@" not in host and "/" not in host else None


def _place_of(origin: str) -> str | None:
    """Host and port of an Origin header, in lower case; None for one that is no URL."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _is_foreign(headers: Headers, host: str) -> bool:
    """True when a browser says that another origin's page made the request; programs send neither header."""
    origin = headers.get("origin")
    if origin is not None and _place_of(origin) != host.lower():
        return True
    return headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
