"""The files that the image leaves: a valid COG and a picture that tells vegetation from water."""

import json

import numpy as np
import pytest
import rasterio
from PIL import Image
from swath_eo.errors import OutputError
from swath_eo.geometry.grid import Grid
from swath_eo.output.cog import OutputBand, write_cog
from swath_eo.pictures.quicklook import palette, to_levels, write_quicklook
from swath_eo.program import write_json

from tests.images.scenes import BOLZANO, random_numbers, write


def a_large_scene(path):
    """More than 512 pixels a side, so that it has several overviews."""
    bands = [random_numbers(1, shape=(1300, 1500)), random_numbers(2, shape=(1300, 1500))]
    bands[0][:200] = 0
    return write(path, bands, names=("red", "nir"))


def file_offsets(dataset, level=None):
    """Where an image's directory and its first tile stand in the file."""
    options = {} if level is None else {"ovr": level}
    offsets = (dataset.get_tag_item("IFD_OFFSET", "TIFF", bidx=1, **options),)
    return int(offsets[0]), int(dataset.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1, **options) or 0)


def test_the_raster_is_a_valid_cog(tmp_path, run_ndvi):
    """Tiled, directories before data and in order, overviews' data before the image's, as the COG rules have it."""
    result = run_ndvi(scene=a_large_scene(tmp_path / "x.tif"))
    path = result.output / "ndvi.tif"
    assert b"LAYOUT=IFDS_BEFORE_DATA" in path.read_bytes()[:500]
    with rasterio.open(path) as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.block_shapes == [(512, 512)]
        levels = dataset.overviews(1)
        assert levels == [2, 4]
        offsets = [file_offsets(dataset), *(file_offsets(dataset, level) for level in range(len(levels)))]
    directories, data = zip(*offsets, strict=True)
    assert list(directories) == sorted(directories)
    assert max(directories) < min(data)
    assert list(data) == sorted(data, reverse=True)


@pytest.mark.data
def test_the_raster_says_what_it_is(data_folder, run_ndvi):
    """Description, unit, no-data value, place and sources."""
    result = run_ndvi(scene=data_folder / BOLZANO)
    with rasterio.open(data_folder / BOLZANO) as source, rasterio.open(result.output / "ndvi.tif") as dataset:
        assert (dataset.crs, dataset.transform, dataset.shape) == (source.crs, source.transform, source.shape)
        assert (dataset.descriptions, dataset.units, dataset.dtypes) == (("NDVI",), ("1",), ("float32",))
        assert np.isnan(dataset.nodata)
        assert dataset.compression.name == "zstd"
        assert dataset.overviews(1) == [2, 4]
        assert (dataset.tags()["RED"], dataset.tags()["NIR"]) == ("S2_L2A_sample.tif:1", "S2_L2A_sample.tif:4")


def test_a_document_that_cannot_be_written_leaves_the_one_before(tmp_path):
    """And no part of itself, be it for a number that JSON has not, or for the disk."""
    path = tmp_path / "item.json"
    write_json(path, {"mean": 0.5})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"mean": np.nan})
    with pytest.raises(OutputError, match="cannot be written"):
        write_json(path / "item.json", {})
    assert [(file.name, json.loads(file.read_text())) for file in tmp_path.iterdir()] == [("item.json", {"mean": 0.5})]


def test_overviews_average_what_is_valid(tmp_path, run_ndvi):
    """No data does not spread into its neighbours."""
    result = run_ndvi(scene=a_large_scene(tmp_path / "x.tif"))
    full = result.values
    with rasterio.open(result.output / "ndvi.tif", overview_level=0) as dataset:
        half = dataset.read(1)
    blocks = full.reshape(650, 2, 750, 2).swapaxes(1, 2).reshape(650, 750, 4)
    valid = np.isfinite(blocks).any(axis=2)
    assert np.array_equal(np.isfinite(half), valid)
    np.testing.assert_allclose(half[valid], np.nanmean(blocks[valid], axis=1), atol=1e-6)


def test_a_failure_midway_leaves_no_file(tmp_path):
    """Neither the raster nor what it was made from."""

    def blocks():
        yield next(grid.windows(100)), np.zeros((100, 100), dtype=np.float32)
        raise RuntimeError("midway")

    grid = Grid(crs=None, transform=rasterio.Affine(10, 0, 0, 0, -10, 0), width=300, height=300)
    with pytest.raises(RuntimeError, match="midway"):
        write_cog(tmp_path / "x.tif", blocks(), grid=grid, bands=[OutputBand(name="x")], tags={})
    assert list(tmp_path.iterdir()) == []


def test_the_picture_is_bounded_and_transparent_where_there_is_no_data(tmp_path, run_ndvi):
    """1024 pixels on its longer side."""
    result = run_ndvi(scene=a_large_scene(tmp_path / "x.tif"))
    with Image.open(result.output / "quicklook.png") as picture:
        assert picture.size == (1024, round(1300 * 1024 / 1500))
        alpha = np.asarray(picture.convert("RGBA"))[:, :, 3]
    assert np.all(alpha[:100] == 0)
    assert np.all(alpha[200:] == 255)


def test_a_narrow_raster_still_has_a_picture(tmp_path):
    """A strip of one row does not shrink to none."""
    write(tmp_path / "x.tif", np.zeros((1, 5000), dtype=np.float32), nodata=None)
    write_quicklook(tmp_path / "x.tif", tmp_path / "x.png", max_pixels=500)
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.size == (500, 1)


def test_vegetation_is_green_and_water_is_blue():
    """And no data is entry 0 of the palette alone."""
    levels = to_levels(np.array([np.nan, -1, -0.4, 0.1, 0.8, 1], dtype=np.float32))
    assert (levels[0], levels[1], levels[-1]) == (0, 1, 255)
    colours = palette()[levels].astype(int)
    assert colours[2].argmax() == 2  # blue
    assert colours[3].argmax() == 0  # soil: red before green before blue
    assert colours[4].argmax() == 1  # green
    assert palette().shape == (256, 3)
