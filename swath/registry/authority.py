"""How registries let us in: basic authentication, or a bearer token from the token server that a registry names."""

from __future__ import annotations

import re
import threading
import time
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

import httpx

from swath.domain.errors import (
    RegistryForbiddenError,
    RegistryMalformedError,
    RegistryUnauthorizedError,
    RegistryUnreachableError,
)
from swath.domain.strict_json import read_strictly
from swath.registry.challenges import Challenge, read_challenges
from swath.registry.endpoint import Endpoint
from swath.registry.exchange import Answer, Exchange, Question

_TOKEN = re.compile(r"[!-~]{1,16384}", re.ASCII)  # it goes into a header
_MOST_TOKEN_BYTES = 64 * 1024
_MOST_TOKENS = 1000
_USUAL_S = 60.0  # "for compatibility with older clients ... 60 seconds" is what no `expires_in` means
_LONGEST_S = 3600.0
_USED = 0.9  # of its life: a clock may differ, and a request takes time


@dataclass(frozen=True, slots=True)
class _Token:
    header: str = field(repr=False)
    until_s: float


class Authority:
    """What registries have let us in with; for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[tuple[str, str], _Token] = {}  # (registry, scope) -> the token
        self._basic: set[str] = set()  # registries that asked for basic authentication

    def find(self, endpoint: Endpoint, scope: str) -> str | None:
        """The Authorization header that did the last time; None where none is known, or it has run out."""
        with self._lock:
            token = self._tokens.get((endpoint.host, scope))
            basic = endpoint.host in self._basic
        if token is not None and time.monotonic() < token.until_s:
            return token.header
        return self._to_basic(endpoint) if basic else None

    def earn(self, exchange: Exchange, endpoint: Endpoint, scope: str, refusal: Answer) -> str:
        """The header that the registry's 401 asks for; raises RegistryUnauthorizedError where we cannot have it."""
        challenges = {entry.scheme: entry for entry in reversed(_challenges_of(refusal))}
        if "bearer" in challenges:
            token = self._fetch_token(exchange, endpoint, scope, challenges["bearer"])
            with self._lock:
                if len(self._tokens) >= _MOST_TOKENS:
                    self._tokens.clear()
                self._tokens[(endpoint.host, scope)] = token
            return token.header
        if "basic" in challenges:
            header = self._to_basic(endpoint)
            if header is None:
                raise RegistryUnauthorizedError(
                    f"registry {endpoint.host} wants a user and a password: name a credentials_file for it"
                )
            with self._lock:
                self._basic.add(endpoint.host)
            return header
        raise RegistryUnauthorizedError(
            f"registry {endpoint.host} refuses without a challenge that is known here (Basic, Bearer)"
        )

    def _fetch_token(self, exchange: Exchange, endpoint: Endpoint, scope: str, challenge: Challenge) -> _Token:
        realm = challenge.parameters.get("realm")
        if not realm:
            raise RegistryMalformedError(f"registry {endpoint.host} wants a token and does not say from where")
        url = endpoint.follow(endpoint.url, realm)
        # Our own scope, not the challenge's: a hostile registry would ask for a token for another repository.
        wanted = {"service": challenge.parameters.get("service", ""), "scope": scope}
        url = url.copy_merge_params({name: value for name, value in wanted.items() if value})
        basic = self._to_basic(endpoint) if endpoint.knows(url) else None
        answer = exchange.fetch(
            endpoint,
            url,
            Question(path=url.path, scope=scope, what="a token", limit=_MOST_TOKEN_BYTES),
            {"Accept": "application/json", **({"Authorization": basic} if basic else {})},
        )
        if answer.status != 200:
            raise _to_refusal(endpoint, url, answer.status, known=endpoint.knows(url))
        return _read_token(endpoint, url, answer.body)

    def _to_basic(self, endpoint: Endpoint) -> str | None:
        """The header of the registry's credentials; None where it has none."""
        try:
            credentials = endpoint.settings.read_credentials()
        except ValueError as error:
            raise RegistryUnauthorizedError(f"registry {endpoint.host}: {error}") from error
        return credentials and "Basic " + b64encode(":".join(credentials).encode()).decode("ascii")


def is_scope_refused(answer: Answer) -> bool:
    """True where a 401 says that the token is good and does not reach so far."""
    return any(entry.parameters.get("error") == "insufficient_scope" for entry in _challenges_of(answer))


def _challenges_of(answer: Answer) -> list[Challenge]:
    return read_challenges(answer.headers.get_list("www-authenticate"))


def _to_refusal(endpoint: Endpoint, url: httpx.URL, status: int, *, known: bool) -> Exception:
    server = f"the token server {url.host} of registry {endpoint.host}"
    if status in (401, 403):
        if endpoint.settings.credentials_file is None:
            hint = "name a credentials_file for the registry"
        elif not known:
            hint = "it was not told our credentials: add it to the registry's trusted_hosts if it is the right one"
        else:
            hint = "the credentials are wrong, or do not reach so far"
        kind = RegistryUnauthorizedError if status == 401 else RegistryForbiddenError
        return kind(f"{server} refuses ({status}): {hint}")
    if status == 429 or status >= 500:
        return RegistryUnreachableError(f"{server} says {status}")
    return RegistryMalformedError(f"{server} says {status}, which is no token")


def _read_token(endpoint: Endpoint, url: httpx.URL, body: bytes) -> _Token:
    try:
        document: Any = read_strictly(body)
        token = document.get("token") or document.get("access_token")
        lasts_s = float(document.get("expires_in") or _USUAL_S)
    except (ValueError, TypeError, AttributeError) as error:
        raise RegistryMalformedError(f"{url.host} gives no token for registry {endpoint.host}") from error
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise RegistryMalformedError(f"{url.host} gives no token for registry {endpoint.host}")
    lasts_s = min(max(lasts_s, 0.0), _LONGEST_S) * _USED
    return _Token(f"Bearer {token}", time.monotonic() + lasts_s)
