"""The core of mosaics: who is seen where, as rasterio.merge has it; and no seams where scenes pass into each other."""

import numpy as np
import pytest
from rasterio.io import MemoryFile
from rasterio.merge import merge
from rasterio.transform import Affine
from scipy.ndimage import distance_transform_edt
from swath_eo.mosaics.mosaicking import Layer, cell_of, edge_weights, margin, mosaic, with_nodata
from swath_eo.scenes.adjustment import Adjustment

from tests.images.scenes import random_numbers

# Of rasterio.merge itself.
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")

SHAPE = (90, 130)


def blobs(seed, shape=SHAPE, share=0.3):
    """A mask with holes of some pixels' size."""
    noise = np.random.default_rng(seed).random((shape[0] // 8 + 1, shape[1] // 8 + 1)) > share
    return np.kron(noise, np.ones((8, 8), dtype=bool))[: shape[0], : shape[1]]


def layers(count=4, dtype=np.uint16):
    """Scenes of three bands with holes."""
    return [
        Layer(
            values=np.stack([random_numbers(10 * scene + band, shape=SHAPE).astype(dtype) for band in range(3)]),
            valid=blobs(scene),
        )
        for scene in range(count)
    ]


def merged(scenes, method):
    """What rasterio.merge makes of them, 0 for no data."""
    files = []
    for scene in scenes:
        profile = {"driver": "GTiff", "count": 3, "dtype": scene.values.dtype, "nodata": 0, "crs": "EPSG:32633"}
        profile |= {"height": SHAPE[0], "width": SHAPE[1], "transform": Affine(10, 0, 5e5, 0, -10, 5.2e6)}
        memory = MemoryFile()
        with memory.open(**profile) as dataset:
            dataset.write(np.where(scene.valid, scene.values, 0).astype(scene.values.dtype))
        files.append(memory.open())
    return merge(files, method=method)[0]


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32, np.uint8])
@pytest.mark.parametrize("method", ["first", "last", "min", "max"])
def test_hard_edges_are_those_of_rasterio_merge(method, dtype):
    """Every pixel of every band, whatever the type."""
    scenes = [
        Layer(values=np.maximum(scene.values, 1).astype(dtype), valid=scene.valid)
        for scene in layers(dtype=np.uint8 if dtype == np.uint8 else np.uint16)
    ]
    ours = with_nodata(mosaic(scenes, method=method), 0, np.dtype(dtype))
    assert ours.dtype == dtype
    np.testing.assert_array_equal(ours, merged(scenes, method))


def test_the_mean_is_the_sum_by_the_count_of_rasterio_merge():
    """Rounded to the nearest whole number."""
    scenes = layers()
    total, count = (merged(scenes, method).astype(np.float64) for method in ("sum", "count"))
    ours = with_nodata(mosaic(scenes, method="mean"), 0, np.dtype(np.uint16))
    expected = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    assert np.abs(ours - expected).max() <= 0.5 + 1e-3
    assert np.array_equal(ours == 0, count == 0)


def test_the_source_says_whose_pixel_it_is():
    """The number of the first valid scene, 0 where there is none; its values are that scene's own."""
    scenes = layers()
    made = mosaic(scenes)
    expected = np.zeros(SHAPE, dtype=np.int32)
    for number, scene in reversed(list(enumerate(scenes, 1))):
        expected[scene.valid] = number
    np.testing.assert_array_equal(made.source, expected)
    np.testing.assert_array_equal(made.valid, expected > 0)


def test_no_more_layers_are_asked_for_than_are_seen():
    """A scene without holes ends it."""
    from swath_eo.mosaics.mosaicking import paint

    def endless():
        yield layers(1)[0]
        yield Layer(values=np.zeros((3, *SHAPE), dtype=np.uint16), valid=np.ones(SHAPE, dtype=bool))
        pytest.fail("a layer was read that nobody sees")

    assert paint(endless()).valid.all()


@pytest.mark.parametrize("method", ["first", "last", "mean"])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_there_is_no_seam_where_scenes_agree(method, dtype):
    """Not in one bit, wherever the edges run."""
    values = (np.random.default_rng(5).random((3, *SHAPE)) * 9000 + 1).astype(dtype)
    scenes = [Layer(values=np.where(blobs(s), values, 0).astype(dtype), valid=blobs(s)) for s in range(4)]
    made = mosaic(scenes, method=method, feather=12)
    np.testing.assert_array_equal(made.values[:, made.valid], values[:, made.valid])
    np.testing.assert_array_equal(made.valid, np.any([scene.valid for scene in scenes], axis=0))


@pytest.mark.parametrize("method", ["first", "mean"])
def test_one_scene_passes_into_the_next_without_a_step(method):
    """Two levels 1000 apart over an oblique edge: a step of 1000 with hard edges, of a few hundredths with feathering."""
    rows, columns = np.mgrid[:200, :300]
    first, second = (np.full((1, 200, 300), level, dtype=np.float32) for level in (2000, 1000))
    scenes = [
        Layer(values=first, valid=columns + 0.3 * rows < 180),
        Layer(values=second, valid=columns - 0.2 * rows > 10),
    ]

    def largest_step(feather):
        values = mosaic(scenes, method=method, feather=feather).values[0, 40:-40]  # further out both end at once
        return max(np.abs(np.diff(values, axis=axis)).max() for axis in (0, 1))

    assert largest_step(0) > 400
    assert largest_step(32) < 1000 * 2.5 / 32


def test_an_edge_in_common_is_no_place_to_fade():
    """Dates of one tile: the first one goes on to the border, and the others do not shine through."""
    first, second = layers(2)
    whole = np.ones(SHAPE, dtype=bool)
    made = mosaic([Layer(values=first.values, valid=whole), Layer(values=second.values, valid=whole)], feather=16)
    np.testing.assert_array_equal(made.values, first.values)


def test_away_from_edges_a_pixel_is_one_scenes_own():
    """The one on top, untouched."""
    scenes = layers(2)
    whole = np.ones(SHAPE, dtype=bool)
    top = Layer(values=scenes[0].values, valid=whole & (np.arange(SHAPE[1]) < 80))
    made = mosaic([top, Layer(values=scenes[1].values, valid=whole)], feather=16)
    np.testing.assert_array_equal(made.values[:, 24:-24, 24:56], top.values[:, 24:-24, 24:56])
    np.testing.assert_array_equal(made.values[:, :, 80:], scenes[1].values[:, :, 80:])


@pytest.mark.parametrize("feather", [1, 5, 16, 30])
def test_weights_grow_with_the_distance_to_the_edge(feather):
    """0 in invalid pixels, 1 from the feather (and two cells) on, in between by distance, and never in a leap."""
    valid = blobs(1, shape=(200, 260), share=0.02)
    weights = edge_weights(valid, feather)
    distance = distance_transform_edt(np.pad(valid, 1))[1:-1, 1:-1]
    assert weights[~valid].max() == 0
    assert weights[distance >= feather + 3 * cell_of(feather)].min() == 1
    assert max(np.abs(np.diff(weights, axis=axis)).max() for axis in (0, 1)) <= 1.5 / feather + 1e-6
    steps = distance / feather
    eased = np.where(steps < 1, steps**2 * (3 - 2 * steps), 1)
    assert np.abs(weights - eased)[valid].max() < 4.5 * cell_of(feather) / feather


@pytest.mark.parametrize("feather", [1, 7, 16, 50])
def test_a_part_with_its_margin_has_the_weights_of_the_whole(feather):
    """Bit for bit: windows do not show."""
    valid = blobs(2, shape=(400, 420), share=0.01)
    whole = edge_weights(valid, feather)
    cell, around = cell_of(feather), margin(feather)
    for top, left, height, width in ((101, 97, 130, 64), (150, 200, 1, 1), (90, 30, 200, 333)):
        row, column = max(top // cell * cell - around, 0), max(left // cell * cell - around, 0)
        below, right = -(-(top + height) // cell) * cell + around, -(-(left + width) // cell) * cell + around
        part = edge_weights(valid[row:below, column:right], feather)
        inner = part[top - row : top - row + height, left - column : left - column + width]
        np.testing.assert_array_equal(inner, whole[top : top + height, left : left + width])


def test_a_value_is_never_taken_for_no_data():
    """A valid zero becomes 1 where 0 is written for no data; what lies beyond the type is its extreme."""
    values = np.array([[[0.2, -7.0, 70_000.0, 5.0]]])
    layer = Layer(values=values, valid=np.array([[True, True, True, False]]))
    written = with_nodata(mosaic([layer]), 0, np.dtype(np.uint16))
    assert written.tolist() == [[[1, 1, 65535, 0]]]


def test_nan_in_invalid_pixels_stays_there():
    """It spoils no neighbour and no blend."""
    values = np.full((1, 40, 40), 5, dtype=np.float32)
    hole = np.ones((40, 40), dtype=bool)
    hole[10:20, 10:20] = False
    spoiled = np.where(hole, values, np.nan).astype(np.float32)
    made = mosaic([Layer(values=spoiled, valid=hole), Layer(values=values, valid=np.ones_like(hole))], feather=8)
    np.testing.assert_array_equal(made.values, values)


def test_adjustments_follow_each_other():
    """In one step what two do."""
    values = np.arange(8, dtype=np.uint16).reshape(2, 2, 2)
    first = Adjustment(gains=(2.0, 0.5), offsets=(1.0, -3.0))
    second = Adjustment(gains=(1.5, 4.0), offsets=(0.0, 2.0))
    np.testing.assert_allclose(first.then(second).apply(values), second.apply(first.apply(values)))
    assert Adjustment(gains=(1.0, 1.0), offsets=(0.0, 0.0)).apply(values) is values
