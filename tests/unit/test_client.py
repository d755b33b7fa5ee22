"""The client's own sense: paths to hrefs, streams to messages, answers to errors, and where the cluster is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from swath import client
from swath.client import Client, parse_messages, to_error
from swath.documents import with_hrefs
from swath.domain import errors


def test_local_paths_become_absolute_hrefs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a href is expected, with what URLs escape; what is a URL stays."""
    monkeypatch.chdir(tmp_path)
    here = tmp_path.as_uri()
    job = {
        "image": "ndvi",
        "inputs": {
            "SCENE": "scene one.tif",
            "MASK": Path("mask.tif"),
            "BANDS": ["red.tif", Path("/abs/nir.tif"), "s3://b/c.tif"],
            "DEM": {"href": "sub/../dem.tif"},
            "ITEM": {"item": True},
        },
    }
    assert with_hrefs(job)["inputs"] == {
        "SCENE": {"href": f"{here}/scene%20one.tif"},
        "MASK": {"href": f"{here}/mask.tif"},
        "BANDS": {"hrefs": [f"{here}/red.tif", "file:///abs/nir.tif", "s3://b/c.tif"]},
        "DEM": {"href": f"{here}/dem.tif"},
        "ITEM": {"item": True},
    }


def test_items_become_hrefs_where_they_are_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text only in an array over an input: elsewhere it may be a parameter."""
    monkeypatch.chdir(tmp_path)
    here = tmp_path.as_uri()
    over_input = {
        "inputs": {"SCENE": {"item": True}},
        "array": {"over": "SCENE", "items": ["a.tif", {"href": "b.tif"}]},
    }
    assert with_hrefs(over_input)["array"]["items"] == [{"href": f"{here}/a.tif"}, {"href": f"{here}/b.tif"}]
    over_parameter = {"array": {"over": "TILE", "items": ["33TWM", Path("a.tif"), {"SCENE": {"hrefs": ["b.tif"]}}, 7]}}
    assert with_hrefs(over_parameter)["array"]["items"] == [
        "33TWM",
        {"href": f"{here}/a.tif"},
        {"SCENE": {"hrefs": [f"{here}/b.tif"]}},
        7,
    ]


def test_a_document_is_not_changed_by_being_sent() -> None:
    """The caller's own stays what it was."""
    job: dict[str, Any] = {"image": "ndvi", "inputs": {"SCENE": "a.tif"}, "array": {"over": "X", "items": [Path("b")]}}
    with_hrefs(job)
    assert job == {"image": "ndvi", "inputs": {"SCENE": "a.tif"}, "array": {"over": "X", "items": [Path("b")]}}


def test_messages_are_read_from_lines() -> None:
    """Comments are heartbeats, data may have several lines, an unfinished message is none."""
    text = ': alive\n\nid: 1\nevent: job\ndata: {"a":\ndata: 1}\n\ndata: 2\n\nretry: 5\n\ndata: 3'
    assert list(parse_messages(iter(text.split("\n")))) == [("", None), ("job", {"a": 1}), ("message", 2)]


@pytest.mark.parametrize("kind", sorted(client.ERRORS))
def test_a_problem_becomes_the_error_that_it_was(kind: str) -> None:
    """With its text, and each place of it."""
    problem = {
        "type": f"urn:swath:problem:{kind}",
        "detail": "the words",
        "errors": [{"path": "/a", "message": "the words"}],
    }
    error = to_error(httpx.Response(400, content=json.dumps(problem)))
    assert type(error) is client.ERRORS[kind]
    assert "the words" in str(error)
    if isinstance(error, errors.InvalidInputError):
        assert error.problems == [errors.Problem("/a", "the words")]


@pytest.mark.parametrize(
    "body", ["", "<html>Bad Gateway</html>", "[]", "null", '{"type": "about:blank", "title": "x"}']
)
def test_an_answer_of_something_else_is_no_riddle(body: str) -> None:
    """A proxy's page is an InternalError with the status."""
    error = to_error(httpx.Response(502, content=body))
    assert type(error) is errors.InternalError
    assert "502" in str(error)


@pytest.fixture
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of `swath up`, and an environment that names nothing else."""
    for name in ("SWATH_URL", "SWATH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SWATH_VAR", str(tmp_path))
    (tmp_path / "token").write_text("the-local-token\n")
    said = {"api_url": "http://127.0.0.1:8642", "token_file": str(tmp_path / "token")}
    (tmp_path / "cluster.json").write_text(json.dumps(said))
    return tmp_path


def authorization(found: Client) -> str | None:
    return found._http.headers.get("authorization")


def test_the_local_cluster_is_found(var: Path) -> None:
    """By its file, with its token."""
    with Client() as found:
        assert (found.url, authorization(found)) == ("http://127.0.0.1:8642", "Bearer the-local-token")


def test_the_environment_and_arguments_go_before_it(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments first."""
    monkeypatch.setenv("SWATH_URL", "https://eo.example/")
    monkeypatch.setenv("SWATH_TOKEN", "from-environment")
    with Client() as found:
        assert (found.url, authorization(found)) == ("https://eo.example", "Bearer from-environment")
    with Client("http://other", "given") as found:
        assert (found.url, authorization(found)) == ("http://other", "Bearer given")


def test_the_local_token_is_for_nobody_else(var: Path) -> None:
    """Another service is not shown it."""
    with Client("https://eo.example") as found:
        assert authorization(found) is None


def test_without_a_cluster_the_client_says_what_to_do(var: Path) -> None:
    """`swath up`, or two variables."""
    (var / "cluster.json").unlink()
    with pytest.raises(errors.NotFoundError, match="swath up"):
        Client()


def test_a_service_that_does_not_answer_is_named(var: Path) -> None:
    """With its address."""
    with Client("http://127.0.0.1:1", "t") as nobody, pytest.raises(errors.InternalError, match=r"127\.0\.0\.1:1"):
        nobody.cluster()


def test_the_client_is_light() -> None:
    """It loads neither the server's nor the database's libraries."""
    heavy = ["fastapi", "starlette", "sqlalchemy", "numpy", "psycopg", "docker", "pymesos"]
    program = f"import sys, swath.client; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "ftp://node",
        "127.0.0.1:8642",
        "http://node:99999",
        "http://node:0",
        "http://node:many",
        "http://[::1",
    ],
)
def test_what_is_no_address_is_refused_at_once(url: str) -> None:
    """With what one looks like; nobody is asked."""
    with pytest.raises(errors.InvalidInputError, match="SWATH_URL: must look like http://"):
        Client(url, "token")


def test_outputs_of_several_tasks_do_not_overwrite_each_other_as_the_pages_show_it() -> None:
    """The README's and the module's own example name the task: an image calls its output the same in each."""
    for page in ((Path(__file__).parents[2] / "README.md").read_text(), str(client.__doc__)):
        (line,) = [line for line in page.splitlines() if ".download(" in line]
        assert "results/{output['task']}/" in line
