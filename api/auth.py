"""Who may speak to the service: its token, the Host header and the Origin header, before anything else is looked at.

The service listens on loopback, where every local page in a browser can reach it: a foreign name in Host is DNS rebinding, a
foreign Origin another site's script. No answer carries an Access-Control header, so no other origin may read one either.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import to_response
from api.keys import Keys
from swath.domain.errors import ForbiddenError, SwathError

CALLER = "swath.caller"  # where the ASGI scope of a request has its swath.domain.rights.Caller
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/openapi.json"})  # they say nothing about anybody's jobs


class Gate:
    """ASGI middleware that lets through what names this service and carries a token that reaches so far."""

    def __init__(self, app: ASGIApp, *, keys: Keys, hosts: frozenset[str]) -> None:
        self._app = app
        self._keys = keys
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                await self._let_in(scope)
            except SwathError as error:
                await to_response(error, scope)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _let_in(self, scope: Scope) -> None:
        """Note who asks; raises ForbiddenError, UnauthorizedError or StoreUnavailableError."""
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or _name_of(hosts[0]) not in self._hosts:
            raise ForbiddenError(
                f"this service is not called {', '.join(hosts) or 'nothing'!r}: add the name to SWATH_ALLOWED_HOSTS"
            )
        if _is_foreign(headers, hosts[0]):
            raise ForbiddenError("requests from pages of other origins are refused")
        if scope["path"] not in OPEN_PATHS:
            caller = await self._keys.find(headers.get("authorization", ""))
            caller.check(scope["method"], scope["path"])
            scope[CALLER] = caller


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
