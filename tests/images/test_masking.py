"""Clouds are where the classification says, and as far as scipy measures."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt
from swath_eo.clouds.masking import (
    PixelSize,
    clouds_by_qa,
    clouds_by_scl,
    dilate,
    distance_to,
    known_by_qa,
    known_by_scl,
    parse_bits,
)
from swath_eo.errors import ParameterError

TEN = PixelSize(width=10, height=10)


def make_clouds(seed, shape=(60, 70), share=0.004):
    return np.random.default_rng(seed).random(shape) < share


def test_classes_that_do_not_exist_are_not_known():
    """A lossy archive's 12 and 240 are no class, and no cloud either; 0 and 1 are no observations."""
    classes = np.array([0, 1, 2, 3, 4, 7, 8, 9, 10, 11, 12, 240], dtype=np.uint16)
    assert known_by_scl(classes).tolist() == [False] * 2 + [True] * 8 + [False] * 2
    assert clouds_by_scl(classes).tolist() == [c in (3, 8, 9, 10) for c in classes]
    assert clouds_by_scl(classes, {11}).tolist() == [c == 11 for c in classes]


def test_bits_are_landsats():
    """One by one: dilated cloud, cirrus, cloud and shadow hide, snow and water do not, and fill is not known."""
    bits = np.array([1 << bit for bit in range(8)], dtype=np.uint16)
    assert clouds_by_qa(bits).tolist() == [False, True, True, True, True, False, False, False]
    assert known_by_qa(bits).tolist() == [False] + [True] * 7
    assert clouds_by_qa(bits, {5}).tolist() == [bit == 5 for bit in range(8)]


def test_real_values_of_qa_pixel_mean_what_their_guide_says():
    """Clear land, water and snow; cloud, shadow and cirrus with high confidence; as floating point too, where NaN is fill."""
    told = np.array([21824, 21952, 30048, 22280, 23888, 54596, 1], dtype=np.uint16)
    assert clouds_by_qa(told).tolist() == [False, False, False, True, True, True, False]
    real = np.append(told.astype(np.float32), np.float32(np.nan))
    assert clouds_by_qa(real).tolist() == [*clouds_by_qa(told).tolist(), False]
    assert known_by_qa(real).tolist() == [True] * 6 + [False] * 2


@pytest.mark.parametrize("text", ["0", "8", "cloud", "3,"])
def test_bits_that_tell_nothing_of_a_pixel_are_refused(text):
    """Fill is never clear, and the upper ones are confidences of two bits."""
    with pytest.raises(ParameterError):
        parse_bits(text)
    assert parse_bits("none") == frozenset()


@pytest.mark.parametrize(
    "pixel", [TEN, PixelSize(width=10, height=15), PixelSize(width=7.3, height=7.3), PixelSize(width=1, height=1)]
)
@pytest.mark.parametrize("reach", [25.0, 180.0, 1000.0])
def test_distances_are_scipys(pixel, reach):
    """Exact to float32 for square pixels and others, cut off at the reach."""
    clouds = make_clouds(1)
    expected = np.minimum(distance_transform_edt(~clouds, sampling=(pixel.height, pixel.width)), reach)
    np.testing.assert_allclose(distance_to(clouds, reach=reach, pixel=pixel), expected, rtol=1e-6)


@pytest.mark.parametrize("pixel", [TEN, PixelSize(width=10, height=15)])
@pytest.mark.parametrize("radius", [0, 10, 14, 14.2, 45, 60])
def test_dilation_goes_as_far_as_it_says(pixel, radius):
    """To pixels whose middle is no farther away than the radius."""
    clouds = make_clouds(2)
    expected = distance_transform_edt(~clouds, sampling=(pixel.height, pixel.width)) <= radius
    assert np.array_equal(dilate(clouds, radius, pixel=pixel), expected)


def test_without_clouds_all_is_as_far_as_counts():
    """And nothing grows."""
    none = np.zeros((5, 6), dtype=np.bool_)
    assert (distance_to(none, reach=99, pixel=TEN) == 99).all()
    assert not dilate(none, 99, pixel=TEN).any()


@pytest.mark.parametrize("reach", [30.0, 95.0])
def test_a_window_with_its_halo_knows_its_distances(reach):
    """Bit for bit those of the whole picture."""
    clouds = make_clouds(3, share=0.002)
    whole = distance_to(clouds, reach=reach, pixel=TEN)
    halo = TEN.halo(reach)
    for top, left in ((0, 0), (20, 30), (40, 50)):
        up, before = min(top, halo), min(left, halo)
        cut = clouds[top - up : top + 20 + halo, left - before : left + 20 + halo]
        part = distance_to(cut, reach=reach, pixel=TEN)[up : up + 20, before : before + 20]
        assert part.tobytes() == whole[top : top + 20, left : left + 20].tobytes()
