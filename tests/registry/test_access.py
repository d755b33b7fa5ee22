"""How registries let us in, for real: a password over TLS with a private authority, tokens of a token server."""

from __future__ import annotations

import base64
import json
import logging
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from swath.domain.errors import RegistryForbiddenError, RegistryMalformedError, RegistryUnauthorizedError
from swath.domain.references import Reference
from swath.registry.client import RegistryClient
from swath.registry.settings import RegistrySettings
from tests.fixtures.registry import serve_registry
from tests.registry.hostile import Heard, HostileServer, Reply
from tests.registry.pushing import Pusher, an_image
from tests.wire.certificates import Authority

USER, PASSWORD = "reader", "correct horse"
# bcrypt of the password, as docker-registry asks for; 16 rounds, for it is checked at every request
HTPASSWD = f"{USER}:$2b$04$pm5Xn/yvu2NTgqTOe7GIEOL/iDEE8akiEgR.o2EeZC/Tv.wfzmDtq\n"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def write_credentials(folder: Path, text: str = f"{USER}:{PASSWORD}\n", mode: int = 0o600) -> Path:
    """A credentials file."""
    path = folder / "credentials"
    path.touch(mode=mode)
    path.chmod(mode)
    path.write_text(text)
    return path


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A private certificate authority."""
    return Authority(tmp_path / "authority")


@pytest.fixture
def closed(tmp_path: Path, authority: Authority) -> Iterator[Reference]:
    """An image in a registry behind TLS and a password."""
    pair = authority.sign("registry")
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    config = {
        "http": {"tls": {"certificate": str(pair.certificate), "key": str(pair.key)}},
        "auth": {"htpasswd": {"realm": "closed", "path": str(tmp_path / "htpasswd")}},
    }
    with serve_registry(tmp_path / "registry", config) as address:
        trusting = ssl.create_default_context(cafile=authority.pair.certificate)
        Pusher(f"https://{address}", tls=trusting, authorization=BASIC).push("eo/ndvi", an_image(), "1")
        yield Reference.parse(f"{address}/eo/ndvi:1")


def ask(reference: Reference, **settings: object) -> RegistryClient:
    """A client with settings for the reference's registry."""
    return RegistryClient({reference.host: RegistrySettings.model_validate(settings)}, wait=lambda pause: None)


def test_a_password_opens_a_registry_behind_a_private_authority(
    tmp_path: Path, authority: Authority, closed: Reference, caplog: pytest.LogCaptureFixture
) -> None:
    """With both all can be read, and nothing of the password is logged; a changed file counts at once."""
    caplog.set_level(logging.DEBUG)
    file = write_credentials(tmp_path)
    client = ask(closed, ca_file=authority.pair.certificate, credentials_file=file)
    assert client.inspect(closed).platform == "linux/amd64"
    assert client.list_tags(closed) == ["1"]
    assert client.list_repositories(closed.host) == ["eo/ndvi"]
    file.write_text(f"{USER}:another\n")
    with pytest.raises(RegistryUnauthorizedError, match="takes our credentials for none") as caught:
        client.resolve(closed)
    assert PASSWORD not in caplog.text + str(caught.value) + repr(client)
    assert BASIC.split()[1] not in caplog.text


def test_a_closed_registry_is_told_from_one_that_is_not_trusted(
    tmp_path: Path, authority: Authority, closed: Reference
) -> None:
    """Without credentials, and without the authority, each says which setting is missing."""
    with pytest.raises(RegistryUnauthorizedError, match="name a credentials_file"):
        ask(closed, ca_file=authority.pair.certificate).resolve(closed)
    other = Authority(tmp_path / "other").pair.certificate
    with pytest.raises(RegistryMalformedError, match="name its authority in ca_file"):
        ask(closed, ca_file=other).resolve(closed)
    with pytest.raises(RegistryMalformedError, match=r"says 400 for .* http right"):
        ask(closed).resolve(closed)  # on the loopback without a ca_file: in the clear


@pytest.mark.parametrize(
    ("text", "mode", "complaint"),
    [
        (f"{USER}:{PASSWORD}", 0o640, "chmod 600"),
        (PASSWORD, 0o600, "not one line USER:PASSWORD"),
        (f"{USER}:{PASSWORD}\nmore:lines", 0o600, "not one line"),
        (":", 0o600, "not one line"),
    ],
)
def test_a_file_that_holds_no_credentials_is_refused_without_telling_them(
    tmp_path: Path, authority: Authority, closed: Reference, text: str, mode: int, complaint: str
) -> None:
    """The message names the file and what is wrong, and no word of it."""
    file = write_credentials(tmp_path, text, mode)
    with pytest.raises(RegistryUnauthorizedError, match=complaint) as caught:
        ask(closed, ca_file=authority.pair.certificate, credentials_file=file).resolve(closed)
    assert str(file) in str(caught.value)
    assert PASSWORD not in str(caught.value)


@dataclass
class TokenServer:
    """What a token server is, with a key that a registry trusts."""

    authority: Authority
    service: str = "registry.test"
    lasts_s: float = 300.0
    allowed: str = "eo/"  # repositories that begin so
    issued: list[str] = field(default_factory=list)  # scopes

    def answer(self, heard: Heard) -> Reply:
        """A token for whoever says the password; an empty one for what is not allowed."""
        if heard.headers.get("authorization") != BASIC:
            return Reply(status=401, headers={"WWW-Authenticate": 'Basic realm="tokens"'})
        scope = parse_qs(urlsplit(heard.path).query)["scope"][0]
        self.issued.append(scope)
        kind, name, action = scope.split(":")
        may = kind == "registry" or name.startswith(self.allowed)
        access = [{"type": kind, "name": name, "actions": [action]}] if may else []
        body = {"token": self.sign(access), "expires_in": self.lasts_s}
        return Reply(body=json.dumps(body).encode(), headers={"Content-Type": "application/json"})

    def sign(self, access: list[dict[str, object]]) -> str:
        """A JSON Web Token for docker-registry: its signer's certificate stands in the header."""
        pair = self.authority.pair
        der = ssl.PEM_cert_to_DER_cert(pair.certificate.read_text())
        now = int(time.time())
        claims = {"iss": "tokens", "sub": USER, "aud": self.service, "jti": str(len(self.issued)), "access": access}
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        text = b".".join(map(_encode, (header, {**claims, "nbf": now - 60, "iat": now - 60, "exp": now + 600})))
        sign = ["openssl", "dgst", "-sha256", "-sign", str(pair.key)]
        signature = subprocess.run(sign, input=text, capture_output=True, check=True).stdout
        return (text + b"." + _to_base64(_to_raw(signature))).decode()


def _to_base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _encode(document: dict[str, object]) -> bytes:
    return _to_base64(json.dumps(document).encode())


def _to_raw(der: bytes) -> bytes:
    """openssl signs with two DER integers, JSON Web Tokens with two of 32 bytes."""
    at = 4 + der[3]
    first, second = der[4:at], der[at + 2 : at + 2 + der[at + 1]]
    return b"".join(part.lstrip(b"\0").rjust(32, b"\0") for part in (first, second))


@pytest.fixture
def tokens(authority: Authority) -> TokenServer:
    """A token server that nobody has reached yet."""
    return TokenServer(authority)


@pytest.fixture
def tokened(tmp_path: Path, authority: Authority, tokens: TokenServer) -> Iterator[tuple[Reference, HostileServer]]:
    """An image in a registry that sends everybody to a token server, and that server."""
    with HostileServer(tokens.answer) as server:
        said = {
            "realm": f"http://{server.host}/token",
            "service": tokens.service,
            "issuer": "tokens",
            "rootcertbundle": str(authority.pair.certificate),
        }
        with serve_registry(tmp_path / "registry", {"auth": {"token": said}}) as address:
            for repository in ("eo/ndvi", "secret/ndvi"):
                access = [{"type": "repository", "name": repository, "actions": ["pull", "push"]}]
                authorization = f"Bearer {tokens.sign(access)}"
                Pusher(f"http://{address}", authorization=authorization).push(repository, an_image(), "1")
            yield Reference.parse(f"{address}/eo/ndvi:1"), server


def test_a_token_is_fetched_once_and_used_until_it_runs_out(
    tmp_path: Path, tokens: TokenServer, tokened: tuple[Reference, HostileServer], caplog: pytest.LogCaptureFixture
) -> None:
    """One token a repository, however many questions; a new one when the old has run out."""
    caplog.set_level(logging.DEBUG)
    reference, server = tokened
    file = write_credentials(tmp_path)
    client = ask(reference, credentials_file=file, trusted_hosts=[server.host])
    for _ in range(3):
        assert client.inspect(reference).platform == "linux/amd64"
    assert client.list_repositories(reference.host) == ["eo/ndvi", "secret/ndvi"]
    assert tokens.issued == ["repository:eo/ndvi:pull", "registry:catalog:*"]
    assert not {"eyJ", PASSWORD} & set(caplog.text.split())
    tokens.lasts_s, tokens.issued = 0.001, []
    short = ask(reference, credentials_file=file, trusted_hosts=[server.host])
    assert [short.resolve(reference).digest for _ in range(2)]
    assert tokens.issued == ["repository:eo/ndvi:pull"] * 2


def test_a_token_that_does_not_reach_so_far_is_told(tmp_path: Path, tokened: tuple[Reference, HostileServer]) -> None:
    """RegistryForbiddenError: the credentials are right, and not enough."""
    reference, server = tokened
    secret = Reference.parse(f"{reference.host}/secret/ndvi:1")
    client = ask(reference, credentials_file=write_credentials(tmp_path), trusted_hosts=[server.host])
    with pytest.raises(RegistryForbiddenError, match="needs the right to pull"):
        client.resolve(secret)


def test_wrong_credentials_are_told_by_the_token_server(
    tmp_path: Path, tokened: tuple[Reference, HostileServer]
) -> None:
    """RegistryUnauthorizedError names the token server; none at all names the setting."""
    reference, server = tokened
    wrong = write_credentials(tmp_path, f"{USER}:wrong")
    with pytest.raises(RegistryUnauthorizedError, match=r"the token server .* credentials are wrong"):
        ask(reference, credentials_file=wrong, trusted_hosts=[server.host]).resolve(reference)
    with pytest.raises(RegistryUnauthorizedError, match="name a credentials_file"):
        ask(reference, trusted_hosts=[server.host]).resolve(reference)


def test_a_token_server_that_nobody_declared_hears_nothing(
    tmp_path: Path, tokened: tuple[Reference, HostileServer]
) -> None:
    """On the loopback it is not even connected to; the message names the setting."""
    reference, server = tokened
    with pytest.raises(RegistryForbiddenError, match="trusted_hosts"):
        ask(reference, credentials_file=write_credentials(tmp_path)).resolve(reference)
    assert server.heard == []
