"""The limit on bodies, over real sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.api.serving import TOKEN, Api, make_settings, serving

HEAD = f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
MIB = 1024 * 1024


def speak(api: Api, text: bytes) -> bytes:
    """What the service says to `text`, until it closes the connection."""
    parts = urlsplit(api.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(text)
        said = b""
        while piece := connection.recv(65536):
            said += piece
    return said


def chunks(total: int, size: int) -> Iterator[bytes]:
    for _ in range(total // size):
        yield b" " * size


def test_ten_megabytes_are_too_large(api: Api) -> None:
    """413, and the next request is served."""
    response = api.post("/v1/jobs", content=b" " * (10 * MIB))
    assert response.status_code == 413
    assert response.json()["type"] == "urn:swath:problem:too-large"
    assert api.get("/v1/jobs").status_code == 200


def test_ten_megabytes_in_chunks_are_too_large(api: Api) -> None:
    """413 without a Content-Length too."""
    response = api.post("/v1/jobs", content=chunks(10 * MIB, 64 * 1024))
    assert response.status_code == 413
    assert api.get("/v1/jobs").status_code == 200


def test_a_large_body_is_refused_before_it_is_sent(api: Api) -> None:
    """The head alone is answered, and the connection closed."""
    said = speak(api, (HEAD + "Content-Length: 1000000000000\r\n\r\n").encode())
    assert said.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in said.lower()


def test_endless_chunks_are_refused_at_the_limit(tmp_path: Path, sqlite_database: str) -> None:
    """The answer comes though the body has not ended."""
    with serving(make_settings(tmp_path, sqlite_database, max_body=1024)) as api:
        body = b"200\r\n" + b" " * 512 + b"\r\n"
        said = speak(api, (HEAD + "Transfer-Encoding: chunked\r\n\r\n").encode() + 3 * body)
    assert said.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("length", ["-1", "1e3", "abc", "+5"])
def test_a_content_length_that_is_no_number_is_refused(api: Api, length: str) -> None:
    """By whoever reads it first."""
    said = speak(api, (HEAD + f"Content-Length: {length}\r\nConnection: close\r\n\r\n").encode())
    assert said[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 413")


def test_a_body_at_the_limit_is_read(tmp_path: Path, sqlite_database: str) -> None:
    """It is judged by what it says."""
    with serving(make_settings(tmp_path, sqlite_database, max_body=1024)) as api:
        assert api.post("/v1/jobs", content=b" " * 1024).status_code == 400
        assert api.post("/v1/jobs", content=b" " * 1025).status_code == 413


def test_the_token_is_asked_for_before_the_body(api: Api) -> None:
    """Who has none gets 401 whatever he would send."""
    said = speak(
        api, b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\nConnection: close\r\n\r\n"
    )
    assert said.startswith(b"HTTP/1.1 401")
