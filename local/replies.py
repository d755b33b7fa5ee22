"""Whole HTTP answers as values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, BinaryIO

Header = tuple[bytes, bytes]
TEXT: Header = (b"content-type", b"text/plain; charset=utf-8")
JSON: Header = (b"content-type", b"application/json")


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, body, and the headers apart from Date and Content-Length."""

    status: int
    body: bytes = b""
    headers: tuple[Header, ...] = ()


@dataclass(frozen=True, slots=True)
class FileReply:
    """200 with the first `size` bytes of an open file, which whoever sends it closes."""

    file: BinaryIO
    size: int
    headers: tuple[Header, ...] = ()
    status: int = 200


def make_text(status: int, text: str = "", *more: Header) -> Reply:
    """A 2xx without text has no Content-Type (transcript 01)."""
    if not text and status < 400:
        return Reply(status, b"", more)
    return Reply(status, text.encode(), (*more, TEXT))


def make_json(document: Any) -> Reply:
    return Reply(200, json.dumps(document, separators=(",", ":")).encode(), (JSON,))


def refuse_method(method: str) -> Reply:
    text = f"405 Method Not Allowed. Expecting one of {{ 'POST' }}, but received '{method}'."
    return make_text(405, text, (b"allow", b"POST"))


def not_found() -> Reply:
    return make_text(404, "404 Not Found.")
