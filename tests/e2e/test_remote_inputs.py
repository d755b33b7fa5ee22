"""Scenes that lie on other machines, end to end: the job names addresses, the maps are those of the same scenes at home."""

import hashlib
import json
from pathlib import Path

import pytest

from tests.e2e.jobs import all_scenes, bolzano, direct_mean_ndvi, ended
from tests.executor.web_server import LETTERS, serving
from tests.fixtures.laptop import eventually, running
from tests.fixtures.stac import check_item

pytestmark = pytest.mark.data


@pytest.fixture
def remote_laptop(tmp_path, s3, monkeypatch):
    """A cluster that may reach servers on the loopback."""
    monkeypatch.setenv("SWATH_INPUT_SCHEMES", "file,http,s3")
    monkeypatch.setenv("SWATH_INPUT_PRIVATE", "127.0.0.0/8")
    monkeypatch.setenv("SWATH_S3_FILE", str(s3.write_stores(tmp_path / "s3.toml")))
    yield from running(tmp_path / "var", "--no-docker")


def test_scenes_of_a_web_server_and_a_store_become_the_maps_of_those_at_home(remote_laptop, s3, data_folder, tmp_path):
    """A file by http with its checksum, a directory by s3; a wrong checksum and a missing object fail as INPUT, at once."""
    home, directory = bolzano(data_folder), all_scenes(data_folder)[0]
    bucket = s3.make_bucket("scenes")
    for path in directory.rglob("*"):
        if path.is_file():
            bucket.put(f"l2a/{directory.name}/{path.relative_to(directory)}", path.read_bytes())
    digest = hashlib.sha256(home.read_bytes()).hexdigest()
    with serving() as site:
        site.files["/scene.tif"] = home.read_bytes()
        items = [
            {"href": site.url + "/scene.tif", "file:checksum": "1220" + digest},
            {"href": f"s3://scenes/l2a/{directory.name}/"},
            {"href": site.url + "/scene.tif", "file:checksum": "1220" + "0" * 64},
            {"href": "s3://scenes/none.tif"},
        ]
        job = remote_laptop.client.submit({"image": "ndvi", "array": {"over": "SCENE", "items": items}})
        job = ended(remote_laptop, job["id"])
    assert (job["counts"]["succeeded"], job["counts"]["failed"]) == (2, 2), job
    for index, scene in enumerate((home, directory)):
        (statistics,) = (
            out for out in remote_laptop.client.outputs(job["id"], index) if out["path"] == "statistics.json"
        )
        mean = json.loads(Path(statistics["file"]).read_text())["mean"]
        assert mean == pytest.approx(direct_mean_ndvi(scene), abs=1e-6)
    (described,) = (out for out in remote_laptop.client.outputs(job["id"], 0) if out["path"] == "item.json")
    item = json.loads(remote_laptop.client.download(described, tmp_path / "item.json").read_text())
    check_item(item)
    (link,) = item["links"]
    assert (link["href"], link["file:checksum"]) == (items[0]["href"], items[0]["file:checksum"])
    maps = {out["path"]: out["sha256"] for out in remote_laptop.client.outputs(job["id"], 0)}
    assert item["assets"]["ndvi"]["file:checksum"] == "1220" + maps["ndvi.tif"]
    for index, words in ((2, digest), (3, "is not there")):
        (attempt,) = remote_laptop.client.attempts(job["id"], index)
        assert (attempt["cause"], words in attempt["message"]) == ("INPUT", True), attempt


def test_outputs_in_a_store_are_listed_downloaded_and_used_by_the_next_job(s3, data_folder, tmp_path, monkeypatch):
    """No file system is shared: the map goes into the store, comes back by the api, and another job reads it from there."""
    bucket = s3.make_bucket("scenes-out")
    monkeypatch.setenv("SWATH_S3_FILE", str(s3.write_stores(tmp_path / "s3.toml")))
    monkeypatch.setenv("SWATH_OUTPUTS_ROOT", "s3://scenes-out/site")
    for laptop in running(tmp_path / "var", "--no-docker"):
        scene = {"href": bolzano(data_folder).as_uri()}
        job = ended(laptop, laptop.client.submit({"image": "ndvi", "inputs": {"SCENE": scene}})["id"])
        assert job["state"] == "SUCCEEDED", job
        found = {output["path"]: output for output in laptop.client.outputs(job["id"])}
        assert found["ndvi.tif"]["file"].startswith(f"s3://scenes-out/site/{job['id']}/0/")
        statistics = laptop.client.download(found["statistics.json"], tmp_path / "statistics.json")
        assert json.loads(statistics.read_text())["mean"] == pytest.approx(
            direct_mean_ndvi(bolzano(data_folder)), abs=1e-6
        )
        # A map has no red band: that the image says so proves that it has read it.
        again = laptop.client.submit({"image": "ndvi", "inputs": {"SCENE": {"href": found["ndvi.tif"]["file"]}}})
        ended(laptop, again["id"])
        (attempt,) = laptop.client.attempts(again["id"], 0)
        assert attempt["cause"] == "DATA", attempt
    assert len([entry for batch in bucket.list() for entry in batch]) >= len(found)


def test_a_slow_server_is_seen_in_the_attempts_message(remote_laptop):
    """How much has come of how much, while the attempt is on its way; a cancel does not wait for the rest."""
    with serving() as site:
        site.files["/slow.tif"], site.pause_s = LETTERS, 0.6
        href = site.url + "/slow.tif"
        job = remote_laptop.client.submit({"image": "ndvi", "inputs": {"SCENE": {"href": href}}})

        def find_message():
            attempts = remote_laptop.client.attempts(job["id"], 0)
            return attempts and "fetching input SCENE" in (attempts[0]["message"] or "") and attempts[0]

        attempt = eventually(find_message, 60)
        assert (attempt["state"], f"of 1 MiB of {href}" in attempt["message"]) == ("STAGING", True), attempt
        assert remote_laptop.client.cancel(job["id"])
        assert ended(remote_laptop, job["id"])["state"] == "CANCELLED"
