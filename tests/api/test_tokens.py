"""Tokens with a scope: what they open, what they do not, and until when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from swath.store.database import Database
from swath.store.token_store import TokenRow, TokenStore
from tests.api.serving import MANIFEST, Api
from tests.store.build import NOW, Scene


def make(api: Api, name: str = "ci-ndvi", **document: Any) -> dict[str, Any]:
    """A token for CI."""
    response = api.post("/v1/tokens", json={"name": name, "scope": "push", "images": ["ndvi"], **document})
    assert response.status_code == 201, response.text
    return dict(response.json())


def asking(api: Api, token: str) -> httpx.Client:
    """A client with that token."""
    return httpx.Client(base_url=api.url, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=20)


def test_a_token_for_push_reaches_its_images_and_nothing_else(both_api: Api) -> None:
    """On both databases; what is closed says which scope it would not take."""
    made = make(both_api, project="forest")
    assert (made["user"], made["project"], made["images"], made["expired"]) == (
        made["created_by"], "forest", ["ndvi"], False
    )  # fmt: skip
    with asking(both_api, made["token"]) as http:
        assert http.get("/v1/images/ndvi").status_code == 200
        for method, path in [
            ("GET", "/v1/images"),
            ("GET", "/v1/images/other"),
            ("GET", "/v1/jobs"),
            ("POST", "/v1/jobs"),
            ("POST", "/v1/tokens"),
            ("GET", "/v1/tokens"),
            ("DELETE", "/v1/tokens/ci-ndvi"),
            ("POST", "/v1/registry/notifications"),
            ("GET", "/v1/nonsense"),
        ]:
            answer = http.request(method, path, json={} if method == "POST" else None)
            assert answer.status_code == 403, (method, path)
            assert answer.json()["type"] == "urn:swath:problem:forbidden"


def test_only_the_hash_of_a_token_is_kept(both_api: Api, database: Database) -> None:
    """Its text is in one answer; neither lists nor the database have it."""
    made = make(both_api)
    secret = made["token"].rpartition("_")[2]
    listed = both_api.get("/v1/tokens").json()["items"]
    assert [(entry["name"], entry["token"]) for entry in listed] == [("ci-ndvi", None)]
    with database.read() as session:
        assert secret not in str(session.execute(text("SELECT * FROM tokens")).all())


def test_a_revoked_token_is_refused_from_the_next_request_on(both_api: Api) -> None:
    """By its name or its id; what is not there is not found."""
    made = make(both_api)
    with asking(both_api, made["token"]) as http:
        assert http.get("/v1/images/ndvi").status_code == 200
        assert both_api.http.delete("/v1/tokens/ci-ndvi").status_code == 204
        assert http.get("/v1/images/ndvi").status_code == 401
    assert both_api.http.delete("/v1/tokens/ci-ndvi").status_code == 404
    again = make(both_api)
    assert both_api.http.delete(f"/v1/tokens/{again['id']}").status_code == 204


def test_a_token_that_has_run_out_is_told(api: Api, scene: Scene, sqlite_database: str) -> None:
    """401 names it and the time; the list says so too."""
    made = make(api)
    database = Database(sqlite_database)
    store = TokenStore(database)
    row = store.find(made["id"])
    assert row is not None
    store.remove(row.id)
    fields = {name: getattr(row, name) for name in TokenRow.__slots__}
    store.add(TokenRow(**{**fields, "expires_at": NOW - timedelta(days=1)}))
    database.close()
    with asking(api, made["token"]) as http:
        answer = http.get("/v1/images/ndvi")
    assert answer.status_code == 401
    assert "'ci-ndvi' ran out at 20" in answer.json()["detail"]
    assert api.get("/v1/tokens").json()["items"][0]["expired"]


@pytest.mark.parametrize(
    "change", [lambda token: token[:-1], lambda token: token + "x", str.lower, lambda token: token[:33]]
)
def test_a_token_that_is_almost_right_is_wrong(api: Api, change: Any) -> None:
    """401, as for any other text."""
    with asking(api, change(make(api)["token"])) as http:
        assert http.get("/v1/images/ndvi").status_code == 401


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"name": "a b"}, "/name"),
        ({"name": "a/b"}, "/name"),
        ({"scope": "admin"}, "/scope"),
        ({"images": []}, ""),
        ({"images": ["a:b"]}, "/images/0"),
        ({"images": ["a"] * 51}, "/images"),
        ({"lasts_s": 1}, "/lasts_s"),
        ({"lasts_s": 1e9}, "/lasts_s"),
        ({"user": ""}, "/user"),
        ({"more": 1}, "/more"),
    ],
)
def test_a_token_that_cannot_be_is_refused(api: Api, document: dict[str, Any], place: str) -> None:
    """With the place."""
    whole = {"name": "x", "scope": "push", "images": ["ndvi"], **document}
    assert place in api.refusal(whole, "/v1/tokens")


def test_a_name_is_taken_once(api: Api) -> None:
    """A conflict; the first one still works."""
    made = make(api)
    assert api.post("/v1/tokens", json={"name": "ci-ndvi", "scope": "notify"}).status_code == 409
    with asking(api, made["token"]) as http:
        assert http.get("/v1/images/ndvi").status_code == 200


def test_a_token_for_push_registers_versions_of_its_images_in_registries_only(api: Api) -> None:
    """Another name, a path of the agents and an image id are refused, whatever else the document says."""
    manifest = {**MANIFEST, "job": {**MANIFEST["job"], "jobVersion": "2.0.0"}}
    reference = {"manifest": manifest, "reference": f"registry.example/ndvi@sha256:{'1' * 64}"}
    other = {"manifest": {**MANIFEST, "job": {**MANIFEST["job"], "name": "other"}}, "reference": reference["reference"]}
    with asking(api, make(api)["token"]) as http:
        assert http.post("/v1/images", json=reference).status_code == 201
        for refused in (
            other,
            {"manifest": manifest, "context": "/tmp"},
            {"manifest": manifest, "context": "builtin:true"},
            {"manifest": manifest, "image_id": f"sha256:{'1' * 64}"},
            reference | {"context": "/tmp"},
        ):
            answer = http.post("/v1/images", json=refused)
            assert answer.status_code == 403, answer.text
    assert api.get("/v1/images/other").status_code == 404
