"""Inputs by https and http. Redirects are followed by hand, and connections made to addresses that were checked.

The standard library's client: it decodes nothing, follows nothing by itself, and costs the executor no memory.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from executor.fetching.errors import ChangedError, RefusedError, TransientError
from executor.fetching.pace import Pace, PacedSocket
from executor.fetching.policy import Policy
from executor.fetching.source import Body, Found, Remote

CHUNK = 2**20
_CONNECT_S = 10.0
_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FOR_NOW = frozenset({408, 425, 429, 500, 502, 503, 504, 507, 509})
_NO_HEAD = frozenset({400, 401, 403, 404, 405, 501})  # by servers, and signed URLs, that know GET only
_RANGE = re.compile(r"bytes (?P<first>\d{1,18})-\d{1,18}/(?P<size>\d{1,18}|\*)", re.ASCII)
_LONGEST_NAME = 255  # bytes, on any file system


@dataclass(frozen=True, kw_only=True, slots=True)
class _Answer:
    """What a server says, its body still to be read."""

    status: int
    headers: http.client.HTTPMessage
    response: http.client.HTTPResponse
    host: str
    pace: Pace


class Web:
    """Files that web servers have."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._tls = ssl.create_default_context()

    def look(self, href: str) -> Found:
        """What the server says of the file, without its bytes."""
        name = to_name(self._policy.check_url(href).path)
        try:
            with self._ask("HEAD", href, {}, but=_NO_HEAD) as answer:
                size = _to_size(answer.headers.get("Content-Length"))
                said = answer if answer.status == http.client.OK else None
            if said is None:
                with self._ask("GET", href, {"Range": "bytes=0-0"}, but=frozenset({416})) as said:
                    size = _whole_size(said)
        except (OSError, http.client.HTTPException) as error:
            raise _to_transient(error) from error
        etag, modified = said.headers.get("ETag"), said.headers.get("Last-Modified")
        strong = etag if etag and not etag.startswith("W/") else None
        version = etag or (f"{modified} {size}" if modified and size is not None else None)
        remote = Remote(name=name, address=href, size=size, version=version, resumable=strong or modified)
        return Found(name=name, remotes=(remote,))

    @contextmanager
    def read(self, remote: Remote, offset: int) -> Iterator[Body]:
        """The file from `offset` on; from its beginning where the server has no ranges, or the file has changed."""
        wanted = {"Range": f"bytes={offset}-", "If-Range": remote.resumable} if offset and remote.resumable else {}
        with ExitStack() as stack:
            try:
                answer = stack.enter_context(self._ask("GET", remote.address, wanted, but=frozenset({416})))
            except (OSError, http.client.HTTPException) as error:
                raise _to_transient(error) from error
            etag = answer.headers.get("ETag")
            changed = remote.version and remote.version[:1] in ('"', "W") and etag and etag != remote.version
            if answer.status == http.client.REQUESTED_RANGE_NOT_SATISFIABLE or changed:
                raise ChangedError("has changed while it was fetched")
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                raise RefusedError(f"{answer.host} sends it compressed, though it was asked not to")
            start = _to_start(answer, offset) if answer.status == http.client.PARTIAL_CONTENT else 0
            yield Body(start=start, size=_whole_size(answer), chunks=_read(answer))

    @contextmanager
    def _ask(self, method: str, url: str, headers: Mapping[str, str], but: frozenset[int]) -> Iterator[_Answer]:
        """The answer after all redirects; one that is neither good nor among `but` is raised."""
        pace = Pace()
        with ExitStack() as stack:
            for _ in range(_MOST_REDIRECTS + 1):
                parts = self._policy.check_url(url)
                connection = stack.enter_context(closing(self._connect(parts, pace)))
                # Without a fragment, and without cookies or credentials of any kind.
                target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                connection.request(method, _quote(target), headers={**_ALWAYS, **headers})
                response = stack.enter_context(closing(connection.getresponse()))
                if response.status not in _REDIRECTS:
                    answer = _Answer(
                        status=response.status,
                        headers=response.headers,
                        response=response,
                        host=str(parts.hostname),
                        pace=pace,
                    )
                    if response.status not in {http.client.OK, http.client.PARTIAL_CONTENT} | but:
                        raise _to_error(answer)
                    pace.begin_body()
                    yield answer
                    return
                connection.close()
                url = _follow(url, response.headers.get("Location", ""))
        raise RefusedError(f"{urlsplit(url).hostname} redirects more than {_MOST_REDIRECTS} times")

    def _connect(self, parts: SplitResult, pace: Pace) -> _Connection:
        host, secure = str(parts.hostname), parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        connection = _Connection(host, port, pace)
        connection.sock = self._open(host, port, pace)  # so that it connects to nothing by itself
        if secure:
            try:
                connection.sock = self._tls.wrap_socket(connection.sock, server_hostname=host)
            except OSError:
                connection.close()
                raise
            connection.default_port = 443
        connection.sock.settimeout(pace.left_s())
        return connection

    def _open(self, host: str, port: int, pace: Pace) -> socket.socket:
        """A connection to an address of the host that was checked; raises OSError where none answers."""
        problem: OSError | None = None
        for address in self._policy.find_addresses(host, port):
            try:
                opened = socket.create_connection((address, port), pace.left_s(_CONNECT_S))
            except OSError as error:
                problem = error
                continue
            opened.settimeout(pace.left_s())
            return opened
        raise problem or OSError(f"{host} has no address")


class _Connection(http.client.HTTPConnection):
    """A connection whose answers are read at a pace."""

    sock: socket.socket

    def __init__(self, host: str, port: int, pace: Pace) -> None:
        super().__init__(host, port)
        self._pace = pace

    def response_class(self, sock: socket.socket, **more: Any) -> http.client.HTTPResponse:  # type: ignore[override]
        """Made by the library, for each request."""
        return http.client.HTTPResponse(cast("socket.socket", PacedSocket(sock, self._pace)), **more)


_ALWAYS = {"Accept-Encoding": "identity", "User-Agent": "swath-executor", "Connection": "close"}


def _read(answer: _Answer) -> Iterator[bytes]:
    try:
        while chunk := answer.response.read1(CHUNK):
            answer.pace.note(len(chunk))
            with answer.pace.resting():
                yield chunk
    except (OSError, http.client.HTTPException) as error:
        raise _to_transient(error) from error


def _to_transient(error: Exception) -> TransientError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return TransientError(f"the server's certificate is not trusted: {error.verify_message}")
    return TransientError(str(error) or type(error).__name__)


def _to_error(answer: _Answer) -> RefusedError | TransientError:
    message = f"{answer.host} answers {answer.status} {answer.response.reason}".rstrip()
    if answer.status not in _FOR_NOW:
        return RefusedError(message)
    after = answer.headers.get("Retry-After", "")
    return TransientError(message, float(after) if after.isdecimal() else None)


def _to_size(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 19 else None


def _whole_size(answer: _Answer) -> int | None:
    """Bytes of the file, of which the answer may hold a part."""
    if answer.status == http.client.OK:
        return _to_size(answer.headers.get("Content-Length"))
    match = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if match:
        return _to_size(match["size"])
    # "bytes */0": what an empty file answers to every range
    return _to_size(answer.headers.get("Content-Range", "").removeprefix("bytes */"))


def _follow(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise RefusedError(f"{urlsplit(url).hostname} redirects to what is no address") from error


def _to_start(answer: _Answer, offset: int) -> int:
    match = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if match is None or int(match["first"]) != offset:
        raise TransientError(f"{answer.host} sends another part than it was asked for")
    return offset


def _quote(target: str) -> str:
    """As it was given; what is no ASCII in bytes of UTF-8, as browsers have it."""
    return "".join(c if c.isascii() else "".join(f"%{byte:02X}" for byte in c.encode()) for c in target)


def to_name(path: str) -> str:
    """What a file is called by the last part of its path; "input" where that is no name."""
    name = ""
    with suppress(UnicodeDecodeError):
        name = unquote(path.rpartition("/")[2], errors="strict")
    return name if is_name(name) else "input"


def is_name(text: str) -> bool:
    """Whether a file may be called this."""
    return (
        text not in ("", ".", "..") and "/" not in text and text.isprintable() and len(text.encode()) <= _LONGEST_NAME
    )
