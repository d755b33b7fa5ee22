"""Secrets over REST: kept and listed, never shown; and what they mean for jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swath.cli.secrets import make_key
from swath.cli.var import write_private
from swath.client import Client
from swath.domain.errors import ConflictError, NotFoundError
from tests.api.serving import MANIFEST, TOKEN, Api, make_settings, serving
from tests.store.build import NOW, Scene

SECRET = "xyzzy-plugh-plover"
FILE = {"href": Path(__file__).as_uri()}


def register(scene: Scene) -> None:
    """An image ndvi with a secret setting and an open one."""
    settings = [{"name": "TOKEN", "secret": True}, {"name": "PLACE"}]
    job = {**MANIFEST["job"], "interface": {**MANIFEST["job"]["interface"], "settings": settings}}
    manifest = {**MANIFEST, "job": job}
    scene.register(version="2.0.0", digest="sha256:5", manifest=manifest, now=NOW.replace(year=2030))


def a_job(**settings: Any) -> dict[str, Any]:
    """A job of it."""
    return {"image": "ndvi", "inputs": {"SCENE": FILE}, "settings": settings}


def test_a_secret_is_kept_and_its_value_is_nowhere(both_api: Api, both_scene: Scene, database_url: str) -> None:
    """Not in any answer, and in the database as what nobody can read; who set it and when is told."""
    answer = both_api.http.put("/v1/secrets/TOKEN?project=forest", json={"value": SECRET})
    assert answer.status_code == 200
    assert (answer.json()["project"], answer.json()["name"]) == ("forest", "TOKEN")
    listed = both_api.get("/v1/secrets")
    assert listed.json()["items"] == [answer.json()]
    assert SECRET not in answer.text + listed.text
    assert both_api.get("/v1/secrets?project=sea").json()["items"] == []
    with both_scene.api._database.read() as session:
        tables = [row[0] for row in session.connection().exec_driver_sql(_list_tables(database_url))]
        dump = [
            str(row) for table in tables for row in session.connection().exec_driver_sql(f'SELECT * FROM "{table}"')
        ]
    assert any("TOKEN" in row for row in dump)
    assert not any(SECRET in row for row in dump)


def _list_tables(url: str) -> str:
    if url.startswith("sqlite"):
        return "SELECT name FROM sqlite_master WHERE type = 'table'"
    return "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({}, "/value"),
        ({"value": 5}, "/value"),
        ({"value": "abc"}, "/value"),
        ({"value": SECRET * 2000}, "/value"),
        ({"value": f"{SECRET}\0"}, "/value"),
        ({"value": SECRET, "valeu": SECRET}, "/valeu"),
        ({"value": [SECRET]}, "/value"),
    ],
)
def test_a_bad_secret_is_refused_without_being_repeated(shared_api: Api, document: dict[str, Any], path: str) -> None:
    """At its place; what was sent is in no answer."""
    response = shared_api.http.put("/v1/secrets/TOKEN", json=document)
    assert response.status_code == 422
    assert path in [entry["path"] for entry in response.json()["errors"]]
    assert SECRET not in response.text


def test_a_body_that_is_no_json_is_not_repeated(shared_api: Api) -> None:
    """400, for what a slip of the shell sends may be the secret itself."""
    response = shared_api.http.put("/v1/secrets/TOKEN", content=SECRET.encode())
    assert (response.status_code, SECRET in response.text) == (400, False)


@pytest.mark.parametrize("path", ["/v1/secrets/a%20b", f"/v1/secrets/{'a' * 129}", "/v1/secrets/A?project=a%20b"])
def test_a_bad_name_is_refused(shared_api: Api, path: str) -> None:
    """Of a secret, and of a project."""
    assert shared_api.http.put(path, json={"value": SECRET}).status_code == 422


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/v1/secrets/A"), ("GET", "/v1/secrets"), ("DELETE", "/v1/secrets/A"), ("POST", "/v1/secrets:rotate")],
)
def test_nothing_is_done_without_the_token(shared_api: Api, method: str, path: str) -> None:
    """401; a token for push does not reach so far either."""
    assert shared_api.http.request(method, path, headers={"authorization": "Bearer no"}).status_code == 401


def test_a_secret_is_forgotten(api: Api) -> None:
    """Once; a second time there is none."""
    with Client(api.url, TOKEN) as client:
        client.set_secret("TOKEN", SECRET, project="forest")
        client.remove_secret("TOKEN", project="forest")
        assert client.secrets() == []
        with pytest.raises(NotFoundError, match="forest has no secret TOKEN"):
            client.remove_secret("TOKEN", project="forest")


def test_keys_are_changed_under_way(api: Api, tmp_path: Path) -> None:
    """A new first key counts at once; after the rotation the old one may go."""
    with Client(api.url, TOKEN) as client:
        client.set_secret("TOKEN", SECRET)
        keys = tmp_path / "secrets.key"
        write_private(keys, make_key() + "\n" + keys.read_text())
        assert client.rotate_secrets() == 1
        write_private(keys, keys.read_text().splitlines()[0] + "\n")
        assert client.rotate_secrets() == 1


def test_a_site_without_a_key_keeps_no_secrets(sqlite_database: str, scene: Scene, tmp_path: Path) -> None:
    """409 that names the setting."""
    with (
        serving(make_settings(tmp_path, sqlite_database, secrets_key_file=None)) as api,
        Client(api.url, TOKEN) as client,
        pytest.raises(ConflictError, match="SWATH_SECRETS_KEY_FILE"),
    ):
        client.set_secret("TOKEN", SECRET)


def test_a_job_takes_the_secret_of_its_project(api: Api, scene: Scene) -> None:
    """Of the setting's own name without a word, or of the name that the job gives; its document holds a name at most."""
    register(scene)
    with Client(api.url, TOKEN) as client:
        client.set_secret("TOKEN", SECRET, project="forest")
        client.set_secret("MINE", SECRET, project="forest")

    assert api.submit(project="forest", **a_job(PLACE="here"))["spec"]["settings"] == {"PLACE": "here"}
    named = api.submit(project="forest", **a_job(PLACE={"secret": "MINE"}, TOKEN={"secret": "MINE"}))
    assert named["spec"]["settings"] == {"PLACE": {"secret": "MINE"}, "TOKEN": {"secret": "MINE"}}


def test_a_job_whose_project_has_no_such_secret_is_refused(api: Api, scene: Scene) -> None:
    """With the command that would help; another project's secret does not count."""
    register(scene)
    with Client(api.url, TOKEN) as client:
        client.set_secret("TOKEN", SECRET, project="sea")

    refused = api.refusal({"project": "forest", **a_job(PLACE="here")})

    assert "swath secrets set TOKEN --project forest" in refused["/settings/TOKEN"]


def test_a_value_where_a_secret_belongs_is_refused_and_not_repeated(api: Api, scene: Scene) -> None:
    """A document is stored and shown: a secret does not stand there."""
    register(scene)
    response = api.post("/v1/jobs", json=a_job(TOKEN=SECRET, PLACE="here"))
    assert response.status_code == 422
    assert "swath secrets set TOKEN" in response.json()["errors"][0]["message"]
    assert SECRET not in response.text
    assert api.get("/v1/jobs").json()["items"] == []


@pytest.mark.parametrize("value", [{"secret": ""}, {"secret": "a b"}, {"sceret": "A"}, {"secret": 5}, 5])
def test_a_bad_reference_to_a_secret_is_refused(shared_api: Api, value: Any) -> None:
    """Within its setting."""
    assert any(path.startswith("/settings/PLACE") for path in shared_api.refusal(a_job(PLACE=value)))


def test_only_a_secret_setting_can_be_a_file(shared_api: Api) -> None:
    """An image that wants another one as a file is refused at its place."""
    interface = {**MANIFEST["job"]["interface"], "settings": [{"name": "PLACE"}, {"name": "TOKEN", "secret": True}]}
    manifest = {**MANIFEST, "job": {**MANIFEST["job"], "interface": interface}}
    document = {"manifest": manifest, "swath_manifest": {"secret_files": ["TOKEN", "PLACE", "NOTHING"]}}

    refused = shared_api.refusal({**document, "context": "builtin:true"}, "/v1/images")

    assert list(refused) == ["/swath_manifest/secret_files/1", "/swath_manifest/secret_files/2"]
