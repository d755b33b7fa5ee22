"""Every place where a document or a parameter can be wrong, and what is said about it: our words, nowhere the validator's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from api.app import create_app
from tests.api.serving import MANIFEST, Api, make_settings

NONSENSE: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1.5,
    1e9,
    10**400,
    "",
    "\u202e",
    "x" * 5000,
    [],
    [[]],
    {},
    {"?": 1},
    [1, 2, 3],
)
WORDS = ("-1", "1e9", "x", "\u202e", "?" * 5000, "9" * 400)
FOREIGN = re.compile(
    r"\b(input|should|valid|parse|parsing|pydantic|array|dictionary|string|boolean|integer)\b", re.IGNORECASE
)
OURS = {"range must hold", "is an integer of more than 64 bits", "is no valid", "digits"}


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the service says of its routes."""
    directory = tmp_path_factory.mktemp("described")
    return dict(create_app(make_settings(directory, f"sqlite:///{directory}/swath.db")).openapi())


def test_every_wrong_field_of_every_document_is_told_in_our_words(shared_api: Api, described: dict[str, Any]) -> None:
    """Each field of each document that is taken, with nonsense of every type."""
    schemas, places = described["components"]["schemas"], 0
    for path, method, schema in _bodies(described):
        for field in _fields(schema, schemas):
            for value in NONSENSE:
                places += _check(shared_api.http.request(method, _concrete(path), json=_nest(field, value)))
    assert places > 2000


def test_every_wrong_parameter_is_told_in_our_words(shared_api: Api, described: dict[str, Any]) -> None:
    """Of paths, queries and headers."""
    places = 0
    for path, methods in described["paths"].items():
        for parameter in (methods.get("get") or {}).get("parameters", ()):
            if parameter["in"] == "query":
                for word in WORDS:
                    places += _check(shared_api.get(_concrete(path), params={parameter["name"]: word}))
    assert places > 100


@pytest.mark.parametrize("value", NONSENSE)
def test_every_wrong_field_of_a_manifest_is_told_in_our_words(shared_api: Api, value: Any) -> None:
    """What an image says of itself is read by the same words."""
    for field in MANIFEST["job"]:
        manifest = {**MANIFEST, "job": {**MANIFEST["job"], field: value}}
        _check(shared_api.post("/v1/images", json={"manifest": manifest, "image_id": "sha256:" + "0" * 64}))


def _check(response: httpx.Response) -> int:
    """How many complaints there were; none of them in words that are not ours."""
    assert response.status_code < 500, response.text
    if response.status_code != 422:
        return 0
    complaints = [entry["message"] for entry in response.json()["errors"]]
    foreign = [words for words in complaints if FOREIGN.search(words) and not any(known in words for known in OURS)]
    assert not foreign, f"{response.request.method} {response.request.url}: {foreign}"
    return len(complaints)


def _bodies(described: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            if "requestBody" in operation:
                yield path, method.upper(), operation["requestBody"]["content"]["application/json"]["schema"]


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any], depth: int = 4) -> Iterator[tuple[str, ...]]:
    """The ways to every field of a document; "0" is a list's first entry."""
    yield ()
    for part in (schema, *schema.get("anyOf", ())):
        if "$ref" in part and depth:
            yield from _fields(schemas[part["$ref"].rpartition("/")[2]], schemas, depth)
        inner = dict(part.get("properties") or {})
        if isinstance(part.get("additionalProperties"), dict):
            inner["ANY"] = part["additionalProperties"]
        if isinstance(part.get("items"), dict):
            inner["0"] = part["items"]
        for name, entry in inner.items() if depth else ():
            yield from ((name, *way) for way in _fields(entry, schemas, depth - 1))


def _nest(way: tuple[str, ...], value: Any) -> Any:
    for name in reversed(way):
        value = [value] if name == "0" else {name: value}
    return value


def _concrete(path: str) -> str:
    return re.sub(r"\{(\w+)[^}]*\}", lambda found: {"index": "0", "stream": "stdout"}.get(found[1], "0" * 26), path)
