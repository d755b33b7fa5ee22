"""Who may ask: nobody's web page, and where a credential is given, nobody without it (Mesos' basic authentication, M13).

Whoever may subscribe runs commands as the user of `local`, and the loopback is open to every user of the machine and to
every page in his browser.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from local.replies import Header, Reply, make_text
from local.tokens import read_token

Json = dict[str, Any]
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
# As in Mesos, whose health checks have no credential either.
_OPEN_PATHS = frozenset({"/health", "/version"})
_EXECUTOR_PATH = "/api/v1/executor"


@dataclass(frozen=True, kw_only=True, slots=True)
class Credential:
    """The one principal that is known, and its secret."""

    principal: str
    secret: str = field(repr=False)

    @property
    def token_key(self) -> bytes:
        """What executors' tokens are signed with."""
        return hmac.digest(self.secret.encode(), b"executor tokens", "sha256")


def read_credential(path: Path) -> Credential:
    """Out of `{"principal": .., "secret": ..}`, Mesos' own form. Raises ValueError where it is none or open to others."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ValueError(f"the credential file {path} is open to others: chmod 600 it")
        document = json.loads(path.read_text())
        credential = Credential(principal=str(document["principal"]), secret=str(document["secret"]))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"the credential file {path} cannot be read: {error}") from None
    if not credential.principal or ":" in credential.principal or not credential.secret:
        raise ValueError(f"the credential file {path} holds no principal or no secret")
    return credential


class Access:
    """Looks at the headers of each request, before anything else is done with it."""

    def __init__(self, credential: Credential | None) -> None:
        self._credential = credential

    def find_refusal(self, path: str, headers: Sequence[Header]) -> Reply | None:
        """403 for other names than the loopback's and for pages of other origins, 401 without the credential."""
        hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
        given = dict(headers)
        # A page whose name was made to point here (DNS rebinding) names itself.
        if len(hosts) != 1 or _name_of(hosts[0]) not in LOOPBACK:
            return make_text(403, "Only names of the loopback are served.")
        if _is_foreign(given, hosts[0]):
            return make_text(403, "Requests from pages of other origins are refused.")
        if self._credential is None or path in _OPEN_PATHS:
            return None
        if path == _EXECUTOR_PATH:
            return _challenge(b"Bearer", b"mesos-agent-executor") if self.read_claims(given) is None else None
        return None if self._is_known(given) else _challenge(b"Basic", b"mesos")

    def read_claims(self, headers: Mapping[bytes, bytes]) -> Json | None:
        """What the executor's token says; None without a good one, nothing where none is asked for."""
        if self._credential is None:
            return {}
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        return read_token(self._credential.token_key, token.strip()) if scheme.lower() == b"bearer" else None

    def _is_known(self, headers: Mapping[bytes, bytes]) -> bool:
        scheme, _, encoded = headers.get(b"authorization", b"").partition(b" ")
        try:
            given = base64.b64decode(encoded.strip(), validate=True)
        except binascii.Error:
            return False
        known = self._credential
        wanted = b"" if known is None else f"{known.principal}:{known.secret}".encode()
        return hmac.compare_digest(given, wanted) and scheme.lower() == b"basic"


def _challenge(scheme: bytes, realm: bytes) -> Reply:
    return make_text(401, "", (b"www-authenticate", b'%b realm="%b"' % (scheme, realm)))


def _name_of(host: str) -> str | None:
    """The name in a Host header, in lower case, without the port; None for one that is no host."""
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return None
    return name if name and "@" not in host and "/" not in host else None


def _is_foreign(headers: Mapping[bytes, bytes], host: str) -> bool:
    """True when a browser says that another origin's page made the request; programs send neither header."""
    origin = headers.get(b"origin")
    if origin is not None and origin.decode("latin-1").lower() != f"http://{host.lower()}":
        return True
    return headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin")
