"""The images build with plain `docker build` where no registry is reached, and run closed."""

import json
import subprocess

import numpy as np
import pytest
import rasterio

from swath.domain.manifest import Manifest
from tests.images.scenes import BOLZANO, DATES, NDVI, load_program

# What a closed container gets: nothing to write but its output directory, and the memory that the manifest asks for.
MEM = Manifest.from_json((NDVI / "seed.manifest.json").read_text()).resources().mem  # the least of all
CLOSED = ["--network", "none", "--read-only", "--cap-drop", "ALL", "--memory", f"{MEM:.0f}m", "--pids-limit", "64"]


def docker(*arguments, check=True):
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=check)


@pytest.fixture
def run_container(ndvi_image, tmp_path):
    """Runs the image on a scene: `run_container(scene)`."""

    def run(scene, *arguments):
        output = tmp_path / "out"
        output.mkdir()
        output.chmod(0o777)
        mounts = ["--volume", f"{scene}:/in/{scene.name}:ro", "--volume", f"{output}:/out"]
        command = ["python", "ndvi.py", "--scene", f"/in/{scene.name}", "--output", "/out", *arguments]
        return docker("run", "--rm", *CLOSED, *mounts, ndvi_image, *command, check=False), output

    return run


@pytest.mark.docker
@pytest.mark.timeout(900)  # the first build on a machine runs debootstrap
def test_the_image_describes_itself(ndvi_image):
    """Both labels, and a user that is not root."""
    config = json.loads(docker("image", "inspect", ndvi_image).stdout)[0]["Config"]
    labels = config["Labels"]
    assert json.loads(labels["com.ngageoint.seed.manifest"]) == json.loads((NDVI / "seed.manifest.json").read_text())
    assert json.loads(labels["swath.manifest"]) == json.loads((NDVI / "swath.manifest.json").read_text())
    assert config["User"] == "10001:10001"


@pytest.mark.docker
@pytest.mark.timeout(900)
def test_its_smoke_test_passes(ndvi_image):
    """The one that its second label names."""
    smoke_test = json.loads((NDVI / "swath.manifest.json").read_text())["smoke_test"]
    assert "usage: ndvi" in docker("run", "--rm", *CLOSED, ndvi_image, *smoke_test).stdout


@pytest.mark.docker
@pytest.mark.data
@pytest.mark.timeout(900)
def test_a_closed_container_computes_the_bolzano_scene(data_folder, run_container):
    """As numpy does, without network, root or a writable file system."""
    done, output = run_container(data_folder / BOLZANO)
    assert done.returncode == 0, done.stderr
    with rasterio.open(data_folder / BOLZANO) as dataset:
        red, nir = (np.where(b == 0, np.nan, b.astype(np.float64)) for b in (dataset.read(1), dataset.read(4)))
    direct = np.nanmean((nir - red) / (nir + red))
    assert json.loads(done.stdout.splitlines()[-1])["mean"] == pytest.approx(direct, abs=1e-6)
    assert {path.name for path in output.iterdir()} == {
        "ndvi.tif",
        "item.json",
        "statistics.json",
        "quicklook.png",
        "seed.outputs.json",
    }


@pytest.mark.docker
@pytest.mark.data
@pytest.mark.timeout(900)
def test_a_closed_container_reads_a_scene_directory(data_folder, run_container):
    """JPEG2000 and the item beside it."""
    done, _ = run_container(data_folder / DATES / "S2A_33TWM_20230815_0_L2A")
    assert done.returncode == 0, done.stderr
    assert "boa_offset_applied" in done.stdout


@pytest.mark.docker
@pytest.mark.timeout(900)
def test_a_failure_in_a_container_has_its_exit_code(tmp_path, run_container):
    """The container's is the program's."""
    (tmp_path / "x.tif").write_bytes(b"no image")
    done, _ = run_container(tmp_path / "x.tif")
    assert done.returncode == 10


@pytest.mark.docker
@pytest.mark.data
@pytest.mark.timeout(900)
def test_a_closed_container_cuts_an_area(data_folder, subset_image, tmp_path):
    """The same file as the program leaves outside of it."""
    outputs = []
    for name in ("inside", "outside"):
        outputs.append(tmp_path / name)
        outputs[-1].mkdir()
        outputs[-1].chmod(0o777)
    options = ["--bands", "B04,SCL", "--bbox", "11.3,46.47,11.33,46.49", "--crs", "EPSG:3035", "--resampling", "cubic"]
    mounts = ["--volume", f"{data_folder / BOLZANO}:/in/{BOLZANO.name}:ro", "--volume", f"{outputs[0]}:/out"]
    command = ["python", "subset.py", "--scene", f"/in/{BOLZANO.name}", *options, "--output", "/out"]
    done = docker("run", "--rm", *CLOSED, *mounts, subset_image, *command, check=False)
    assert done.returncode == 0, done.stderr
    arguments = ["--scene", str(data_folder / BOLZANO), *options, "--output", str(outputs[1])]
    assert load_program("subset").main(arguments, {}) == 0
    inside, outside = ((folder / "subset.tif").read_bytes() for folder in outputs)
    assert inside == outside
