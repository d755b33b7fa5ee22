"""The scheduler's port on loopback: /metrics for Prometheus, /healthz and /readyz for whoever supervises it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from prometheus_client import CollectorRegistry, make_wsgi_app

HOST = "127.0.0.1"
_TEXT = [("Content-Type", "text/plain; charset=utf-8")]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Silent(WSGIRequestHandler):
    timeout = 10.0  # a client that says nothing keeps its thread no longer

    def log_message(self, format: str, *args: object) -> None:
        """Nobody wants a line for each scrape."""


def make_app(registry: CollectorRegistry, check: Callable[[], tuple[bool, str]]) -> WSGIApplication:
    """`check` says whether this instance is ready, and why."""
    metrics: WSGIApplication = make_wsgi_app(registry)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            return metrics(environ, start_response)
        if path == "/healthz":
            status, text = "200 OK", "alive"
        elif path == "/readyz":
            ready, text = check()
            status = "200 OK" if ready else "503 Service Unavailable"
        else:
            status, text = "404 Not Found", "there are /metrics, /healthz and /readyz"
        start_response(status, list(_TEXT))
        return [f"{text}\n".encode()]

    return app


def serve(port: int, app: WSGIApplication) -> WSGIServer:
    """Serve from now on, on a thread of its own; `port` 0 takes a free one. Raises OSError where the port is taken."""
    server = make_server(HOST, port, app, server_class=_Server, handler_class=_Silent)
    threading.Thread(target=server.serve_forever, name="swath metrics", daemon=True).start()
    return server
