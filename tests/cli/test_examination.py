"""What the doctor says, what is registered, and what a Docker engine is asked."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from swath.cli.machine import SEED_LABEL, Engine
from swath.cli.register import documents
from tests.cli.conftest import StandIn, a_scheduler, an_agent

ROOT = Path(__file__).parents[2]


def an_engine_image(name: str, image_id: str) -> dict[str, Any]:
    """An image as the engine lists it."""
    manifest = {"job": {"name": name, "jobVersion": "1.0.0"}}
    return {"Id": image_id, "Labels": {SEED_LABEL: json.dumps(manifest), "swath.manifest": '{"network": "none"}'}}


def an_engine(api: StandIn, *images: dict[str, Any]) -> Engine:
    """An engine with these images; the stand-in for the API serves."""
    api.answer("GET", "/version", {"Version": "27.0"})
    api.answer("GET", "/images/json", list(images))
    return Engine(address=os.environ["SWATH_URL"].replace("http", "tcp"))


def test_an_engine_names_its_version_and_its_newest_seed_images(api: StandIn) -> None:
    """Of two images of one name and version the newer one counts; one whose label is damaged is passed over."""
    damaged = {"Id": "sha256:3", "Labels": {SEED_LABEL: "{"}}
    newer, older = an_engine_image("ndvi", "sha256:2"), an_engine_image("ndvi", "sha256:1")
    engine = an_engine(api, damaged, newer, older)
    assert engine.version() == "27.0"
    found = engine.seed_images()
    assert {key: image["image_id"] for key, image in found.items()} == {("ndvi", "1.0.0"): "sha256:2"}
    assert found[("ndvi", "1.0.0")]["swath_manifest"] == {"network": "none"}


@pytest.mark.parametrize("address", ["unix:///no/such/socket", "tcp://127.0.0.1:1", "npipe:////./pipe/docker"])
def test_where_no_engine_answers_there_is_no_version_and_no_image(address: str) -> None:
    """And no error."""
    assert Engine(address=address).version() is None
    assert Engine(address=address).seed_images() == {}


def test_images_are_registered_by_image_id_where_they_are_built(api: StandIn) -> None:
    """With their build context beside it; `true` has no context but a name that the executor knows."""
    engine = an_engine(api, an_engine_image("ndvi", "sha256:2"))
    by_name = {document["manifest"]["job"]["name"]: document for document in documents(ROOT, engine)}
    assert by_name["ndvi"]["image_id"] == "sha256:2"
    assert by_name["ndvi"]["context"] == str(ROOT / "images" / "ndvi")
    assert (by_name["true"]["image_id"], by_name["true"]["context"]) == (None, "builtin:true")
    assert {document["image_id"] for document in documents(ROOT, None)} == {None}


def test_the_doctor_says_what_to_type_where_nothing_runs(
    swath: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """7, and `swath up`."""
    monkeypatch.delenv("SWATH_URL", raising=False)
    monkeypatch.setenv("SWATH_VAR", str(tmp_path / "var"))
    done = swath("doctor")
    assert done.exit_code == 7
    assert "cluster: does not run" in done.stdout
    assert "-> swath up" in done.stdout


def test_the_doctor_names_an_open_token_and_a_damaged_database(
    swath: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with its remedy."""
    monkeypatch.delenv("SWATH_URL", raising=False)
    monkeypatch.setenv("SWATH_VAR", str(tmp_path))
    (tmp_path / "token").write_text("secret")
    (tmp_path / "token").chmod(0o644)
    (tmp_path / "swath.db").write_text("this is no database" * 100)
    findings = {finding["name"]: finding for finding in json.loads(swath("doctor", "--json").stdout)}
    assert findings["token"]["mend"] == f"chmod 600 {tmp_path}/token"
    assert findings["database"]["grade"] == "bad"


def test_the_doctor_of_a_cluster_elsewhere_asks_its_api_only(api: StandIn, swath: Callable[..., Result]) -> None:
    """A scheduler without its master is bad; this machine's own directory is not looked at."""
    api.answer("GET", "/v1/scheduler", a_scheduler(health="is not connected to a master"))
    api.answer("GET", "/v1/agents", {"items": [an_agent()]})
    done = swath("doctor", "--json")
    assert done.exit_code == 7
    grades = {finding["name"]: finding["grade"] for finding in json.loads(done.stdout)}
    assert grades == {"python": "good", "mesos": "bad", "agents": "good"}


def test_the_doctor_knows_what_operators_have_shut(api: StandIn, swath: Callable[..., Result]) -> None:
    """A framework that was torn down, and agents of which none takes tasks: with the command that undoes each."""
    api.answer("GET", "/v1/scheduler", a_scheduler(health="has left Mesos", torn_down=True))
    api.answer("GET", "/v1/agents", {"items": [an_agent(mode="CORDONED"), an_agent(id="a2", deactivated=True)]})
    findings = json.loads(swath("doctor", "--json").stdout)
    mends = {finding["mend"]: finding["grade"] for finding in findings if finding["grade"] != "good"}
    assert mends == {"swath scheduler reset-framework": "bad", "swath agents undrain a1": "warning"}
    api.answer("GET", "/v1/agents", {"items": [an_agent(mode="CORDONED"), an_agent(id="a2")]})
    assert "agents undrain" not in swath("doctor").stdout
