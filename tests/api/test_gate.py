"""Who is let in: token, Host and Origin, before anything else is looked at."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from api.settings import Settings
from tests.api.serving import TOKEN, Api


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer wrong-but-just-as-long",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        TOKEN,
        "Bearer \xe9\xff",
    ],
)
def test_without_the_token_there_is_no_answer_but_401(shared_api: Api, authorization: str | None) -> None:
    """A missing, wrong or otherwise dressed token is refused, with how to do better."""
    headers = {} if authorization is None else {"Authorization": authorization.encode("latin-1")}
    response = httpx.get(f"{shared_api.url}/v1/jobs", headers=headers, trust_env=False)
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert response.json()["type"] == "urn:swath:problem:unauthorized"
    assert TOKEN not in response.text


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/nothing", "/metrics", "/v1/events", "/v1/images", "/"])
def test_nothing_but_health_is_open(shared_api: Api, path: str) -> None:
    """Even what is not there asks for the token first."""
    assert httpx.get(shared_api.url + path, trust_env=False).status_code == 401
    for open_path in ("/healthz", "/readyz"):
        assert httpx.get(shared_api.url + open_path, trust_env=False).status_code in (200, 503)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8642", "127.0.0.1.evil.example", "127.0.0.1@evil.example", ""]
)
def test_a_foreign_host_is_refused(shared_api: Api, host: str) -> None:
    """DNS rebinding reaches the port, and gets 403 whatever token it has."""
    for path in ("/v1/jobs", "/healthz"):
        assert shared_api.get(path, headers={"Host": host}).status_code in (400, 403)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:99", "127.0.0.1", "[::1]:8642"])
def test_loopback_has_several_names(shared_api: Api, host: str) -> None:
    """Each of them is served."""
    assert shared_api.get("/v1/jobs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[::1"},
        {"Origin": "http://[x]/"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_sites_page_is_refused(shared_api: Api, headers: dict[str, str]) -> None:
    """403 without a header that would let the page read it."""
    response = shared_api.post("/v1/jobs", json={}, headers=headers)
    assert response.status_code == 403
    assert not [name for name in response.headers if name.startswith("access-control")]


def test_a_page_of_the_service_itself_is_let_in(shared_api: Api) -> None:
    """Its own origin is no foreign one."""
    headers = {"Origin": shared_api.url, "Sec-Fetch-Site": "same-origin"}
    assert shared_api.get("/v1/jobs", headers=headers).status_code == 200


def test_a_preflight_grants_nothing(shared_api: Api) -> None:
    """No origin is allowed anything."""
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    response = httpx.options(f"{shared_api.url}/v1/jobs", headers=headers, trust_env=False)
    assert response.status_code == 403
    assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_token_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    """The service does not start with it."""
    path = tmp_path / "token"
    path.write_text(TOKEN)
    path.chmod(mode)
    with pytest.raises(ValueError, match="chmod 600"):
        Settings(database_url="sqlite:///x", token_file=path).read_token()


@pytest.mark.parametrize(("content", "word"), [("short", "shorter"), ("", "shorter"), (None, "cannot be read")])
def test_a_token_that_is_no_secret_is_refused(tmp_path: Path, content: str | None, word: str) -> None:
    """A short, empty or missing one."""
    path = tmp_path / "token"
    if content is not None:
        path.touch(mode=0o600)
        path.write_text(content)
    with pytest.raises(ValueError, match=word):
        Settings(database_url="sqlite:///x", token_file=path).read_token()


@pytest.mark.parametrize(("principal", "secret"), [("swath", None), (None, "s"), ("a:b", "s"), ("", "s")])
def test_half_a_credential_is_refused(tmp_path: Path, principal: str | None, secret: str | None) -> None:
    """A principal without a secret, a secret without a principal, or what basic authentication cannot say."""
    given = None if secret is None else SecretStr(secret)
    with pytest.raises(ValidationError, match="SWATH_AGENT_PRINCIPAL"):
        Settings(database_url="sqlite:///x", token_file=tmp_path, agent_principal=principal, agent_secret=given)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists are written with ':' and ','."""
    said = {
        "DATABASE_URL": "sqlite:///x",
        "TOKEN_FILE": "/t",
        "INPUT_ROOTS": "/a:/b",
        "ALLOWED_HOSTS": "swath, Swath.example ",
    }
    for name, value in {**said, "PUBLIC_URL": "https://eo.example/swath"}.items():
        monkeypatch.setenv(f"SWATH_{name}", value)
    settings = Settings()  # type: ignore[call-arg]
    assert settings.input_roots == (Path("/a"), Path("/b"))
    assert settings.hosts >= {"swath", "swath.example", "eo.example", "localhost", "127.0.0.1", "::1"}
