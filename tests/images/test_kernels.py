"""How subset resamples: the same pixels as gdalwarp's, or as a kernel's definition, whatever the windows."""

import json

import numpy as np
import pytest
import rasterio

from tests.images.scenes import BOLZANO
from tests.images.subsets import BOX, gdalwarp, read

WHOLE = {"nearest", "average"}  # kernels that weigh pixels by how much of them is covered


@pytest.mark.data
@pytest.mark.parametrize("kernel", ["nearest", "bilinear", "cubic", "average"])
@pytest.mark.parametrize(("crs", "resolution"), [("EPSG:32633", 25), ("EPSG:4326", 0.0002), ("EPSG:32632", 7)])
def test_pixels_are_gdalwarps(data_folder, tmp_path, run_subset, crs, resolution, kernel):
    """In a neighbouring zone, in degrees and in its own system; where kernels weigh parts of pixels, two versions of GDAL
    round in one pixel of a hundred to the next number."""
    source = data_folder / BOLZANO
    result = run_subset(scene=source, bands="B04,B08", bbox=BOX, crs=crs, resolution=resolution, resampling=kernel)
    assert result.exit_code == 0
    ours, theirs = read(result), gdalwarp(source, result.output / "subset.tif", tmp_path / "g.tif", kernel)[[0, 3]]
    off = np.abs(ours.astype(int) - theirs)
    assert off.max() <= (0 if kernel in WHOLE else 1)
    assert np.count_nonzero(off) <= 0.01 * off.size


@pytest.mark.data
@pytest.mark.parametrize(("crs", "resolution"), [("EPSG:32633", 10), ("EPSG:4326", 0.00008), ("EPSG:32632", 7)])
def test_lanczos_is_gdalwarps_where_kernels_are_not_widened(data_folder, tmp_path, run_subset, crs, resolution):
    """Pixels that are no larger than the scene's, to the last number but one in a hundred."""
    source = data_folder / BOLZANO
    box = "11.32,46.48,11.34,46.495"
    result = run_subset(scene=source, bands="B04", bbox=box, crs=crs, resolution=resolution, resampling="lanczos")
    ours, theirs = read(result), gdalwarp(source, result.output / "subset.tif", tmp_path / "g.tif", "lanczos")[:1]
    off = np.abs(ours.astype(int) - theirs)
    assert off.max() <= 1
    assert np.count_nonzero(off) <= 0.01 * off.size


@pytest.mark.data
@pytest.mark.parametrize("resolution", [7, 25, 33])
def test_lanczos_is_what_its_definition_says(data_folder, run_subset, resolution):
    """sinc(t) sinc(t / 3) over what is valid, three pixels wide, of the scene's or of larger ones: the same in each pixel.

    GDAL 3.6's own program does not widen it rightly, so it is no witness here.
    """
    options = {"bands": "B04", "bbox": BOX, "resolution": resolution, "resampling": "lanczos"}
    result = run_subset(scene=data_folder / BOLZANO, **options)
    with rasterio.open(result.output / "subset.tif") as made, rasterio.open(data_folder / BOLZANO) as source:
        numbers, to_source = source.read(1).astype(float), ~source.transform @ made.transform
        xs = np.array([(to_source @ (column + 0.5, 0))[0] for column in range(made.width)])
        ys = np.array([(to_source @ (0, row + 0.5))[1] for row in range(made.height)])
    across, down = (
        lanczos(places, size, min(10 / resolution, 1))
        for places, size in ((xs, numbers.shape[1]), (ys, numbers.shape[0]))
    )
    weights = down @ (numbers > 0) @ across.T
    expected = np.clip(np.rint(down @ numbers @ across.T / weights), 1, 65535)
    np.testing.assert_array_equal(read(result)[0], expected)


def lanczos(places, size, scale):
    """The weight of each of `size` pixels at each place, (places, pixels); `scale` below 1 widens."""
    away = (np.arange(size) + 0.5 - places[:, np.newaxis]) * scale
    return np.where(np.abs(away) < 3, np.sinc(away) * np.sinc(away / 3), 0)


@pytest.mark.data
@pytest.mark.parametrize(("kernel", "window"), [("cubic", 150), ("lanczos", 150), ("lanczos", 300)])
def test_windows_leave_no_trace(data_folder, tmp_path, run_subset, kernel, window):
    """To the byte of the file, warped and cut along a polygon."""
    area = tmp_path / "area.geojson"
    ring = [[11.29, 46.465], [11.33, 46.47], [11.31, 46.50], [11.29, 46.465]]
    area.write_text(json.dumps({"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}}))
    options = {
        "scene": data_folder / BOLZANO,
        "bands": "B04,SCL",
        "area": area,
        "crs": "EPSG:3035",
        "resolution": 17,
        "resampling": kernel,
    }
    whole, parts = run_subset(**options), run_subset(**options, window=window)
    assert (whole.output / "subset.tif").read_bytes() == (parts.output / "subset.tif").read_bytes()
