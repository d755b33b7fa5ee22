"""Downloads of outputs that lie in an object store."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from swath.client import Client
from swath.domain.changes import ChangeAttempt
from swath.domain.states import AttemptState, TaskState
from tests.api.serving import TOKEN, Api, make_settings, serving
from tests.fixtures.s3 import KEY, S3
from tests.store.build import NOW, Scene, a_task

TIFF = bytes(range(256)) * 10_000
PATH = "a b/ndvi ü.tif"


@pytest.fixture
def remote(scene: Scene, sqlite_database: str, tmp_path: Path, s3: S3) -> Iterator[Api]:
    """A service that knows the store."""
    stores = s3.write_stores(tmp_path / "s3.toml", bucket="outputs")
    with serving(make_settings(tmp_path, sqlite_database, s3_file=stores)) as api:
        yield api


def publish(scene: Scene, s3: S3, bucket: str = "outputs") -> str:
    """A task that has succeeded with one file; its job."""
    job = scene.submit()
    attempt_id = scene.launch(job)
    if bucket == "outputs":
        s3.make_bucket(bucket).put(f"site/{attempt_id}/{PATH}", TIFF)
    digest = hashlib.sha256(TIFF).hexdigest()
    outputs = [{"name": "ndvi", "path": PATH, "size": len(TIFF), "media_type": "image/tiff", "sha256": digest}]
    scene.apply(
        ChangeAttempt(
            attempt_id=attempt_id,
            state=AttemptState.SUCCEEDED,
            ended_at=NOW,
            output_dir=f"s3://{bucket}/site/{attempt_id}",
            outputs=outputs,
        ),
        a_task(job, 0, TaskState.SUCCEEDED, winner_attempt=attempt_id),
    )
    return job.id


def test_an_object_is_downloaded_as_a_file_would_be(remote: Api, scene: Scene, s3: S3) -> None:
    """Whole, by range, conditionally and its head alone; listed with its s3:// href."""
    (output,) = remote.get(f"/v1/jobs/{publish(scene, s3)}/outputs").json()["items"]
    assert output["file"].startswith("s3://outputs/site/")
    assert output["file"].endswith("/a%20b/ndvi%20%C3%BC.tif")
    whole = remote.get(output["href"])
    assert (whole.status_code, whole.content) == (200, TIFF)
    assert whole.headers["content-type"] == "image/tiff"
    assert whole.headers["content-disposition"] == "attachment; filename*=utf-8''ndvi%20%C3%BC.tif"
    assert whole.headers["repr-digest"] == f"sha-256=:{base64.b64encode(hashlib.sha256(TIFF).digest()).decode()}:"
    part = remote.get(output["href"], headers={"Range": "bytes=1000000-1000003"})
    assert (part.status_code, part.content) == (206, TIFF[1_000_000:1_000_004])
    assert part.headers["content-range"] == f"bytes 1000000-1000003/{len(TIFF)}"
    assert remote.get(output["href"], headers={"Range": f"bytes={len(TIFF)}-"}).status_code == 416
    assert remote.get(output["href"], headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    head = remote.http.head(output["href"])
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(TIFF)), b"")


def test_the_client_downloads_and_compares(remote: Api, scene: Scene, s3: S3, tmp_path: Path) -> None:
    """As from a file system."""
    job = publish(scene, s3)
    with Client(str(remote.http.base_url), TOKEN) as client:
        (output,) = client.outputs(job)
        assert client.download(output, tmp_path / "map.tif").read_bytes() == TIFF


def test_what_is_not_there_is_not_found(remote: Api, scene: Scene, s3: S3) -> None:
    """404 for another name, 422 for a path that climbs out of the task's prefix."""
    url = f"/v1/jobs/{publish(scene, s3)}/tasks/0/outputs"
    assert remote.get(f"{url}/none.tif").status_code == 404
    assert remote.get(f"{url}/a%2F..%2F..%2Fother").status_code == 422


def test_a_store_that_cannot_be_read_is_told(remote: Api, scene: Scene, s3: S3, tmp_path: Path) -> None:
    """503 with the reason and without a key: a bucket of no store, a file open to others."""
    answer = remote.get(f"/v1/jobs/{publish(scene, s3, 'elsewhere')}/tasks/0/outputs/{PATH}")
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:swath:problem:outputs-unreachable")
    assert "no store of this site has a bucket elsewhere" in answer.json()["detail"]
    job = publish(scene, s3)
    (tmp_path / "s3.toml").chmod(0o644)
    answer = remote.get(f"/v1/jobs/{job}/tasks/0/outputs/{PATH}")
    assert (answer.status_code, KEY in answer.text) == (503, False)
