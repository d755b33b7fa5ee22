"""Composites and mosaics know clouds by the same layers, and hide the same pixels by each."""

import json

import numpy as np
import pytest
import rasterio
from swath_eo.clouds.reading import assign_masks
from swath_eo.scenes.product import open_product

from tests.images.scenes import random_numbers, write

OLDER, NEWER = "LC08_L2SP_191028_20230601_20230610_02_T1", "LC08_L2SP_191028_20230617_20230626_02_T1"
SQUARE = (slice(10, 22), slice(30, 50))
CLEAR_LAND, CLOUD, FILL = 21824, 22280, 1


def a_scene(folder, name, seed, shape=(60, 80)):
    """A Landsat directory of two bands."""
    scene = folder / name
    scene.mkdir()
    for number in (3, 4):
        write(scene / f"{name}_SR_B{number}.TIF", random_numbers(seed + number, shape), nodata=None)
    return scene


@pytest.fixture
def scenes(tmp_path):
    """Two dates of one place."""
    return [a_scene(tmp_path, OLDER, 1), a_scene(tmp_path, NEWER, 10)]


def mask_of(clear, cloud, dtype=np.uint8):
    numbers = np.full((60, 80), clear, dtype=dtype)
    numbers[SQUARE] = cloud
    return numbers


def by_classes(scene):
    write(scene / "SCL.tif", mask_of(4, 9))
    return {}


def by_bits(scene):
    write(scene / f"{scene.name}_QA_PIXEL.TIF", mask_of(CLEAR_LAND, CLOUD, np.uint16), nodata=FILL)
    return {}


def by_probability(scene):
    for folder, cloud in ((scene, 80), (scene.parent / OLDER, 30)):
        write(folder / "MSK_CLDPRB_20m.tif", mask_of(20, cloud), nodata=None)
    return {"probability": 50}


def by_masks(scene):
    (scene.parent / "masks").mkdir()
    for name, cloud in ((scene.name, 1), (OLDER, 0)):
        write(scene.parent / "masks" / f"{name}_mask.tif", mask_of(0, cloud), nodata=None)
    return {"masks": scene.parent / "masks"}


LAYERS = (by_classes, by_bits, by_probability, by_masks)


def read(path, band=1):
    with rasterio.open(path) as dataset:
        return dataset.read(band)


@pytest.mark.parametrize("cover", LAYERS)
def test_a_cloud_shows_the_date_behind_it(scenes, run_mosaic, run_composite, cover):
    """By whatever layer it is told: the same pixels of the composite and of the mosaic."""
    options = cover(scenes[1])
    expected = read(scenes[1] / f"{NEWER}_SR_B4.TIF")
    expected[SQUARE] = read(scenes[0] / f"{OLDER}_SR_B4.TIF")[SQUARE]
    composite = run_composite("--scenes", *scenes, method="latest", bands="red", **options)
    mosaic = run_mosaic(*scenes, order="newest", feather=0, bands="red", **options)
    for made in (composite.output / "composite.tif", mosaic.output / "mosaic.tif"):
        np.testing.assert_array_equal(read(made), expected)


@pytest.mark.parametrize("cover", LAYERS)
def test_clouds_grow_alike(scenes, run_mosaic, run_composite, cover):
    """By 25 m, around corners."""
    options = {**cover(scenes[1]), "dilation": 25, "bands": "red"}
    composite = run_composite("--scenes", *scenes, method="latest", **options)
    mosaic = run_mosaic(*scenes, order="newest", feather=0, **options)
    own = read(scenes[1] / f"{NEWER}_SR_B4.TIF")
    np.testing.assert_array_equal(read(mosaic.output / "mosaic.tif"), read(composite.output / "composite.tif"))
    assert np.count_nonzero(read(mosaic.output / "mosaic.tif") != own) > 12 * 20 + 2 * 2 * (12 + 20)


def test_a_layer_can_be_left_alone(scenes, run_mosaic, run_composite):
    """Bits by QA_BITS=none or others that are meant, and in a mosaic all of a scene's own by MASK=none."""
    by_bits(scenes[1])
    own = read(scenes[1] / f"{NEWER}_SR_B4.TIF")
    for options in ({"qa_bits": "none"}, {"qa_bits": "5"}):
        made = run_composite("--scenes", *scenes, method="latest", bands="red", **options)
        np.testing.assert_array_equal(read(made.output / "composite.tif"), own)
    for options in ({"qa_bits": "5"}, {"mask": "none"}, {"mask": "scl", "qa_bits": "3"}):
        by_classes(scenes[0])
        write(scenes[1] / "SCL.tif", mask_of(4, 4))
        made = run_mosaic(*scenes, order="newest", feather=0, bands="red", **options)
        np.testing.assert_array_equal(read(made.output / "mosaic.tif"), own)


def test_a_layer_that_must_be_there_is_missed(scenes, run_mosaic):
    """MASK=qa_pixel wants it in every scene."""
    by_bits(scenes[1])
    result = run_mosaic(*scenes, mask="qa_pixel", bands="red")
    assert result.summary["error"] == "band-missing"


def test_masks_that_do_not_fit_are_refused(scenes, tmp_path, run_mosaic):
    """One that covers no scene, in another system, or of two for one scene."""
    elsewhere = write(tmp_path / "elsewhere.tif", mask_of(0, 1), origin=(600_000, 5_200_000))
    assert run_mosaic(*scenes, masks=elsewhere).summary["error"] == "grid-mismatch"
    turned = write(tmp_path / "turned.tif", mask_of(0, 1), crs="EPSG:32632")
    assert run_mosaic(*scenes, masks=turned).summary["error"] == "crs-mismatch"
    by_masks(scenes[1])
    write(tmp_path / "masks" / f"{NEWER}_other.tif", mask_of(0, 1))
    assert run_mosaic(*scenes, masks=tmp_path / "masks").summary["error"] == "bad-parameter"


@pytest.mark.parametrize(
    ("names", "others"), [(["a_1", "a_10"], []), (["a_1"], ["a_10", "a_1b"]), (["a", "a_1", "a_1_b"], [])], ids="+".join
)
@pytest.mark.parametrize("ending", [".tif", "_mask.tif"])
def test_a_mask_is_of_the_scene_whose_whole_name_it_has(tmp_path, names, others, ending):
    """Not of one whose name begins alike, whether the other scene is among them or not."""
    products = [open_product(write(tmp_path / f"{name}.tif", mask_of(0, 1))) for name in names]
    masks = [tmp_path / "masks" / f"{name}{ending}" for name in [*names, *others]]
    assert assign_masks(products, sorted(masks)) == masks[: len(names)]


def test_an_item_names_the_masks(scenes, run_mosaic):
    """And what counted as cloud."""
    result = run_mosaic(*scenes, **by_masks(scenes[1]), qa_bits="3,4")
    told = json.loads((result.output / "item.json").read_text())["properties"]["swath:parameters"]
    assert (told["qa_bits"], told["classes"]) == ("3,4", "3,8,9,10")
    assert told["masks"] == "masks"


@pytest.mark.data
def test_real_landsat_scenes_show_each_other_behind_clouds(data_folder, tmp_path, run_mosaic):
    """Two seasons; the first one's brightest pixels are called clouds, on its own grid: no pixel of these is its own, and
    where it is clear none is the other's."""
    folders = []
    for name, source in zip((OLDER, NEWER), sorted(data_folder.glob("mosaic-landsat8/*.tif")), strict=True):
        (tmp_path / name).mkdir()
        with rasterio.open(source) as dataset:
            bands, transform, crs = dataset.read(), dataset.transform, dataset.crs
        place = {"transform": transform, "crs": crs}
        write(tmp_path / name / f"{name}_SR_B4.TIF", bands[0], **place)
        bright = (bands[0] > np.percentile(bands[0][bands[0] > 0], 90)) & (name == OLDER)
        quality = np.where(bands[0] == 0, FILL, np.where(bright, CLOUD, CLEAR_LAND)).astype(np.uint16)
        write(tmp_path / name / f"{name}_QA_PIXEL.TIF", quality, nodata=FILL, **place)
        folders.append(tmp_path / name)
    result = run_mosaic(*folders, feather=0)
    with rasterio.open(result.output / "sources.tif") as made:
        sources, corner = made.read(1), made.transform
    with rasterio.open(folders[0] / f"{OLDER}_QA_PIXEL.TIF") as layer:
        quality, (column, row) = layer.read(1), ~corner @ (layer.transform.c, layer.transform.f)
    own = sources[round(row) : round(row) + quality.shape[0], round(column) : round(column) + quality.shape[1]]
    assert set(np.unique(own[quality == CLOUD])) == {0, 2}
    assert (own[quality == CLEAR_LAND] == 1).all()
    assert np.count_nonzero(own[quality == CLOUD] == 2) > 1000
