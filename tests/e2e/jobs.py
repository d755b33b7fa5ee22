"""Words for jobs over real scenes."""

import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import rasterio

from swath.domain.errors import InternalError
from swath.domain.retries import FREE
from tests.fixtures.laptop import eventually

ENDED = {"SUCCEEDED", "FAILED", "CANCELLED"}
MOMENTS = {
    "running": lambda client, job_id: any(attempt["started_at"] for attempt in client.attempts(job_id, 0)),
    "succeeded": lambda client, job_id: client.job(job_id)["counts"]["succeeded"],
}
OUTPUTS = ("ndvi.tif", "item.json", "statistics.json", "quicklook.png")


def bolzano(data_folder):
    return data_folder / "s2-l2a-bolzano" / "S2_L2A_sample.tif"


def all_scenes(data_folder):
    """Every date of 33TWM, and the Bolzano scene last: what the demo processes."""
    return [*sorted(data_folder.glob("s2-l2a-33TWM-5-dates/*_L2A")), bolzano(data_folder)]


def direct_mean_ndvi(scene):
    """The mean NDVI straight from the bands: zero is no data, and no offset is left in any of the scenes."""
    red, nir = (band.astype("float64") for band in read_red_and_nir(scene))
    valid = (red > 0) & (nir > 0)
    return float(np.mean((nir[valid] - red[valid]) / (nir[valid] + red[valid])))


def read_red_and_nir(scene):
    """A directory has a file a band; in Bolzano's file B04 is band 1 and B08 band 4."""
    if not scene.is_dir():
        with rasterio.open(scene) as dataset:
            return dataset.read(1), dataset.read(4)
    with rasterio.open(scene / "B04.tif") as red, rasterio.open(scene / "B08.tif") as nir:
        return red.read(1), nir.read(1)


@cache
def direct_means(data_folder):
    """The mean NDVI of every scene, computed without any of our programs."""
    return [direct_mean_ndvi(scene) for scene in all_scenes(data_folder)]


def submitted(laptop, scenes, **fields):
    items = [{"href": scene.as_uri()} for scene in scenes]
    job = laptop.client.submit({"image": "ndvi", "array": {"over": "SCENE", "items": items}, **fields})
    return job["id"]


def ended(laptop, job_id, within_s=60):
    return eventually(lambda: find_ended(laptop, job_id), within_s)


def find_ended(laptop, job_id):
    """The job once it has ended; None while it has not, or while the api is on its way back."""
    try:
        job = laptop.client.job(job_id)
    except InternalError:
        return None
    return job if job["state"] in ENDED else None


def killed_once(laptop, job_id, victim, moment):
    """kill -9 of a program as the first task is "running" or has "succeeded" (others are at work); when, and the ended job."""
    eventually(lambda: MOMENTS[moment](laptop.client, job_id), every_s=0.02)
    pid = laptop.kill(victim)
    at = datetime.now(UTC)
    assert eventually(lambda: not Path(f"/proc/{pid}").exists())
    return at, ended(laptop, job_id, 120)


def assert_undisturbed(laptop, job, means):
    """Each task has succeeded exactly once, its outputs are there once and whole, and both of its means are the expected ones.

    An attempt that was lost with its executor counts as the platform's fault; none has ended badly by its own.
    """
    assert (job["state"], job["counts"]["succeeded"]) == ("SUCCEEDED", len(means)), job
    files = {}
    for output in laptop.client.outputs(job["id"]):
        files.setdefault(output["task"], []).append(Path(output["file"]))
    assert sorted(files) == list(range(len(means)))
    for index, expected in enumerate(means):
        assert sorted(path.name for path in files[index]) == sorted(OUTPUTS), index
        (folder,) = {path.parent for path in files[index]}
        statistics = json.loads((folder / "statistics.json").read_text())
        assert statistics["mean"] == pytest.approx(expected, abs=1e-6), index
        with rasterio.open(folder / "ndvi.tif") as raster:
            assert float(raster.read(1, masked=True).mean()) == pytest.approx(expected, abs=1e-5), index
        *others, last = laptop.client.attempts(job["id"], index)
        assert last["state"] == "SUCCEEDED", index
        assert {attempt["cause"] for attempt in others} <= FREE, index
