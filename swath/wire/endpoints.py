"""Where a master or an agent listens, and how one connects to it."""

from __future__ import annotations

import socket
import ssl
from base64 import b64encode
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import urlsplit

from swath.domain.errors import InvalidInputError

DEFAULT_MASTER_PORT = 5050
_KEEPALIVE_S = 30  # the first TCP probe on a silent connection; a dead host shows after about two minutes


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A listening socket."""

    host: str  # name or address; an IPv6 address without its brackets
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Credential:
    """The principal and secret of Mesos' basic authentication (M13)."""

    principal: str
    secret: str

    def to_header(self) -> str:
        """The value of the Authorization header."""
        return "Basic " + b64encode(f"{self.principal}:{self.secret}".encode()).decode("ascii")


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsOptions:
    """TLS towards masters or agents (M13); without these the wire is plain."""

    ca_file: str | None = None  # PEM file of the authorities to trust; None: the system's
    cert_file: str | None = None  # PEM file of our own certificate, where the other side wants one
    key_file: str | None = None
    verify_hostname: bool = True  # False where certificates carry no addresses; the chain is verified all the same

    def make_context(self) -> ssl.SSLContext:
        """The context of all connections; raises OSError or ssl.SSLError for unreadable files."""
        context = ssl.create_default_context(cafile=self.ca_file)
        context.check_hostname = self.verify_hostname
        self.reload(context)
        return context

    def reload(self, context: ssl.SSLContext) -> None:
        """Take our own certificate from its files again, for the next connections: certificates run out and are renewed.

        Raises OSError, as `make_context` does.
        """
        if self.cert_file:
            # An encrypted key is an error: without this, OpenSSL would ask for its password on the terminal.
            context.load_cert_chain(self.cert_file, self.key_file, password=bytes)


def parse_endpoint(text: str, default_port: int = DEFAULT_MASTER_PORT) -> Endpoint:
    """`host`, `host:port`, `[v6]:port`, each also with `http://` or a path; raises InvalidInputError."""
    netloc = text.strip()
    netloc = netloc if "//" in netloc else f"//{netloc}"
    try:
        parts = urlsplit(netloc)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidInputError.at("", f"{text!r} is no host:port: {error}") from error
    if not host:
        raise InvalidInputError.at("", f"{text!r} is no host:port")
    return Endpoint(host, default_port if port is None else port)


def find_redirect_target(location: str | None) -> Endpoint | None:
    """The endpoint of a 307's Location, which may be `//host:port/path` (M11); None when it names none."""
    if not location or "//" not in location:
        return None
    try:
        return parse_endpoint(location)
    except InvalidInputError:
        return None


def connect(endpoint: Endpoint, tls: ssl.SSLContext | None, timeout_s: float) -> HTTPConnection:
    """An open connection; raises OSError. TCP_NODELAY is on (http.client sees to it), and TCP's own keep-alive."""
    connection = (
        HTTPConnection(endpoint.host, endpoint.port, timeout=timeout_s)
        if tls is None
        else HTTPSConnection(endpoint.host, endpoint.port, timeout=timeout_s, context=tls)
    )
    try:
        connection.connect()
    except BaseException:
        connection.close()  # where the TLS handshake failed, the plain socket is still open
        raise
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_S)
    return connection


def wake_socket(sock: socket.socket | None) -> None:
    """Make whoever is blocked on the socket return, from another thread.

    `socket.socket.shutdown` also for TLS sockets: their own shutdown takes the session away under the blocked reader.
    """
    if sock is None:
        return
    try:
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:  # already closed, by us or by the other side
        return
