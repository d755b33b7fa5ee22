"""Each processing service as a job on the laptop cluster, in a container of its own; a service adds a line to SERVICES."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import rasterio

from tests.e2e.jobs import all_scenes, bolzano, ended
from tests.fixtures.images import build_image
from tests.fixtures.laptop import running
from tests.images.notebooks import SERVICES as IN_THE_NOTEBOOK
from tests.images.notebooks import job_of, run_notebook

pytestmark = [pytest.mark.docker, pytest.mark.data, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Service:
    """What a job asks of a service, and what each of its tasks leaves."""

    image: str
    job: dict  # the job's document, without the image; scenes by the names in SCENES
    files: set[str]
    check: object = field(default=lambda path: None)  # of the first file


def top_of_atmosphere(data_folder, scratch):
    """A real cutting of an L1C product, whose bands get the names that it does not tell."""
    (source,) = data_folder.glob("atmosphere/dn-to-toa/*T130159.tif")
    path = Path(shutil.copy(source, scratch))
    with rasterio.open(path, "r+") as raster:
        raster.descriptions = L1C_BANDS
    return path


L1C_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
SCENES = {
    "bolzano": lambda data, _: bolzano(data),
    "dates": lambda data, _: all_scenes(data)[:2],
    "top of atmosphere": top_of_atmosphere,
}


def has_names(*names):
    """The raster is a COG of these bands, with data."""

    def check(path):
        with rasterio.open(path) as raster:
            assert raster.descriptions == names
            assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert np.count_nonzero(raster.read_masks(1))

    return check


SERVICES = [
    Service(
        "subset",
        {
            "array": {"over": "SCENE", "items": "dates"},
            "parameters": {"BANDS": "B04,SCL", "BBOX": "15.1,46.3,15.4,46.5", "CRS": "EPSG:3035", "RESOLUTION": 100},
        },
        {"subset.tif", "item.json"},
        has_names("B04", "scl"),
    ),
    Service(
        "bands",
        {
            "inputs": {"SCENE": "bolzano"},
            "parameters": {"INDEX": "NDVI,EVI", "EXPRESSION": "vegetation = N if SCL == 4 else 0", "VIEW": "infrared"},
        },
        {"bands.tif", "view.tif", "item.json"},
        has_names("NDVI", "EVI", "vegetation"),
    ),
    Service(
        "composite",
        {"inputs": {"SCENES": "dates"}, "parameters": {"METHOD": "latest", "BANDS": "B04,B03,B02", "DILATION": 120}},
        {"composite.tif", "item.json", "quicklook.png"},
        has_names("B04", "B03", "B02", "count", "date"),
    ),
    Service(
        "atmcor",
        {
            "inputs": {"SCENE": "top of atmosphere"},
            "parameters": {"BANDS": "B04,B08", "SENSOR": "sentinel-2b", "SUN_ZENITH": 45, "AEROSOL": 0.1},
        },
        {"surface.tif", "item.json"},
        has_names("B04", "B08"),
    ),
    Service(
        "mosaic",
        {
            "inputs": {"SCENES": "dates"},
            "parameters": {"BANDS": "B04", "ORDER": "score", "BBOX": "540000,5130000,560000,5150000"},
        },
        {"mosaic.tif", "sources.tif", "report.json", "quicklook.png", "item.json"},
        has_names("B04"),
    ),
]


@pytest.fixture(scope="module")
def services_laptop(tmp_path_factory):
    """A cluster that finds the engine and the images of all services on it."""
    for service in SERVICES:
        build_image(service.image)
    yield from running(tmp_path_factory.mktemp("services") / "var")


def with_scenes(job, data_folder, scratch):
    """The job's document, its words for scenes replaced by their places."""
    document = {**job}
    if "array" in job:
        items = [{"href": path.as_uri()} for path in SCENES[job["array"]["items"]](data_folder, scratch)]
        document["array"] = {**job["array"], "items": items}
    if "inputs" in job:
        document["inputs"] = {name: to_input(word, data_folder, scratch) for name, word in job["inputs"].items()}
    return document


def to_input(word, data_folder, scratch):
    """One scene's place, or several scenes'."""
    found = SCENES[word](data_folder, scratch)
    return {"hrefs": [path.as_uri() for path in found]} if isinstance(found, list) else {"href": found.as_uri()}


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.image)
def test_a_service_runs_as_a_job_in_containers(services_laptop, data_folder, tmp_path, service):
    """Every task succeeds in a container and leaves what its manifest promises."""
    client = services_laptop.client
    submitted = client.submit({"image": service.image, **with_scenes(service.job, data_folder, tmp_path)})
    job = ended(services_laptop, submitted["id"], 300)
    assert job["state"] == "SUCCEEDED", "".join(client.log(job["id"], 0, "stderr"))
    (attempt,) = client.attempts(job["id"], 0)
    assert attempt["runtime"] == "docker"
    files = {}
    for output in client.outputs(job["id"]):
        files.setdefault(output["task"], {})[Path(output["path"]).name] = Path(output["file"])
    assert [set(found) for found in files.values()] == [service.files] * job["counts"]["succeeded"]
    for found in files.values():
        service.check(found[next(name for name in sorted(service.files) if name.endswith(".tif"))])


@pytest.fixture(scope="module")
def notebook(data_folder, tmp_path_factory):
    """A directory with the files that the notebook of docs/ makes."""
    folder = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        run_notebook(data_folder, folder, patch)
    return folder


@pytest.mark.parametrize("image", IN_THE_NOTEBOOK)
def test_a_notebook_makes_the_file_that_a_job_makes_in_its_container(services_laptop, notebook, data_folder, image):
    """To the byte, by the very command that the notebook names."""
    services_laptop.swath("submit", *job_of(image, data_folder))
    client = services_laptop.client
    (job,) = client.jobs(image=image, limit=1)
    (attempt,) = client.attempts(job["id"], 0)
    assert attempt["runtime"] == "docker"
    (raster,) = (Path(o["file"]) for o in client.outputs(job["id"]) if Path(o["path"]).name == f"{image}.tif")
    assert raster.read_bytes() == (notebook / f"{image}.tif").read_bytes()
