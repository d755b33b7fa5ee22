"""Words for jobs over real scenes."""

import numpy as np
import rasterio

from swath.domain.errors import InternalError
from tests.fixtures.laptop import eventually

ENDED = {"SUCCEEDED", "FAILED", "CANCELLED"}


def bolzano(data_folder):
    return data_folder / "s2-l2a-bolzano" / "S2_L2A_sample.tif"


def all_scenes(data_folder):
    """Every date of 33TWM, and the Bolzano scene last: what the demo processes."""
    return [*sorted(data_folder.glob("s2-l2a-33TWM-5-dates/*_L2A")), bolzano(data_folder)]


def direct_mean_ndvi(path):
    """The mean NDVI straight from the file: B04 is band 1 and B08 band 4, zero is nodata."""
    with rasterio.open(path) as scene:
        red, nir = scene.read(1).astype("float64"), scene.read(4).astype("float64")
    valid = (red > 0) & (nir > 0)
    return float(np.mean((nir[valid] - red[valid]) / (nir[valid] + red[valid])))


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
