"""Executors' tokens: JSON Web Tokens with the claims of Mesos' own (framework, executor, container), signed by HS256."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]
_HEADER = b'{"alg":"HS256","typ":"JWT"}'


def make_claims(framework_id: str, executor_id: str, container_id: str) -> dict[str, str]:
    """Who one run of an executor is."""
    return {"fid": framework_id, "eid": executor_id, "cid": container_id}


def make_token(key: bytes, claims: Mapping[str, str]) -> str:
    """The same claims give the same token, so that nothing has to be kept to know it again."""
    content = b".".join(map(_encode, (_HEADER, json.dumps(claims, sort_keys=True, separators=(",", ":")).encode())))
    return b".".join((content, _sign(key, content))).decode()


def read_token(key: bytes, token: bytes) -> Json | None:
    """The claims, of one that was made with this key; None of any other."""
    content, _, signature = token.rpartition(b".")
    if not hmac.compare_digest(_sign(key, content), signature):
        return None
    try:
        claims = json.loads(_decode(content.rpartition(b".")[2]))
    except (ValueError, binascii.Error):
        return None
    return claims if isinstance(claims, dict) else None


def _sign(key: bytes, content: bytes) -> bytes:
    return _encode(hmac.digest(key, content, "sha256"))


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decode(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
