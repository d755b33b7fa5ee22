"""Composites are what their definitions say: numpy, pktools, geomad and brute force agree pixel by pixel."""

import subprocess
import warnings
from itertools import product

import numpy as np
import pytest
import rasterio
from geomad import nangeomedian_pcm
from hypothesis import given, settings
from hypothesis import strategies as st
from swath_eo.clouds.masking import clouds_by_scl, known_by_scl
from swath_eo.composites.compositing import METHODS, NO_DATE, Observations, Recipe, compose
from swath_eo.composites.geomedian import geometric_median
from swath_eo.composites.ordering import network, sort_places
from swath_eo.errors import ParameterError

from tests.images.scenes import DATES, write

SITE = "worldcereal-site/S2_L2A_{}_00002806639B424A_32631_2017-08-01_2018-11-30.nc"


def make_scenes(seed=0, times=9, bands=4, rows=23, columns=31, *, high=4000, clear=0.6, dtype=np.uint16):
    """Numbers and masks; the pixel in the corner is never clear."""
    draw = np.random.default_rng(seed)
    values = draw.integers(1, high, size=(times, bands, rows, columns)).astype(dtype)
    valid = draw.random((times, rows, columns)) < clear
    valid[:, 0, 0] = False
    scores = draw.random((times, rows, columns), dtype=np.float32)
    return Observations(values=values, valid=valid, red=2, nir=3, scores=scores)


def with_gaps(seen):
    """Their numbers as numpy's nan functions want them."""
    return np.where(seen.valid[:, np.newaxis], seen.values, np.nan)


def by_numpy(function, seen, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all NaN: the pixel that is never clear
        return function(with_gaps(seen), *arguments, axis=0)


def picked(seen, chosen):
    return np.take_along_axis(seen.values, np.maximum(chosen, 0)[np.newaxis, np.newaxis], axis=0)[0]


@pytest.mark.parametrize("rows", range(1, 11))
def test_the_network_sorts_everything(rows):
    """All series of zeros and ones, which is enough for any numbers (the 0-1 principle), at all places."""
    series = np.array(list(product((0, 1), repeat=rows)), dtype=np.uint8).T
    ordered = sort_places(series.copy(), range(rows))
    assert all(np.array_equal(ordered[place], row) for place, row in enumerate(np.sort(series, axis=0)))


def test_the_network_leaves_out_what_nobody_wants():
    """The median of 24 takes fewer comparisons than sorting them."""
    assert len(network(24, (11, 12))) < len(network(24, tuple(range(24)))) == 127


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32])
@pytest.mark.parametrize("times", [1, 2, 5, 8, 24])
def test_the_median_is_numpys(times, dtype):
    """Of every type and count, and NaN where nothing is clear."""
    seen = make_scenes(times, times, high=120, dtype=dtype)
    assert np.array_equal(compose(seen, Recipe(method="median")).values, by_numpy(np.nanmedian, seen), equal_nan=True)


@pytest.mark.parametrize("q", [0, 10, 33.3, 75, 100])
def test_percentiles_are_numpys(q):
    """To the precision of float32; the spread is the distance of the quartiles."""
    seen = make_scenes(3, 11, high=65535)
    made = compose(seen, Recipe(method="percentile", percentile=q, with_spread=True))
    np.testing.assert_allclose(made.values, by_numpy(np.nanpercentile, seen, q), rtol=1e-6)
    lower, upper = by_numpy(np.nanpercentile, seen, (25, 75))
    np.testing.assert_allclose(made.spread, upper - lower, rtol=1e-6)


def test_the_mean_is_numpys():
    """Exact sums, rounded once; the count is that of the clear dates."""
    seen = make_scenes(4, 13, high=65535)
    made = compose(seen, Recipe(method="mean"))
    np.testing.assert_allclose(made.values, by_numpy(np.nanmean, seen), rtol=1e-7)
    assert np.array_equal(made.count, seen.valid.sum(axis=0))


def test_numbers_at_the_ends_of_their_type_are_numbers():
    """65535 is what stands for "not clear" while sorting, and a saturated detector's number, too."""
    values = np.array([65535, 65535, 0, 7], dtype=np.uint16).reshape(4, 1, 1, 1)
    valid = np.array([True, True, True, False]).reshape(4, 1, 1)
    assert compose(Observations(values=values, valid=valid), Recipe(method="median")).values.item() == 65535


def test_what_is_not_clear_may_be_anything():
    """NaN and infinity under a mask change nothing, whatever the method."""
    seen = make_scenes(5, 6, dtype=np.float32)
    dirty = seen.values.copy()
    dirty[np.broadcast_to(~seen.valid[:, np.newaxis], dirty.shape)] = np.nan
    hidden = Observations(values=dirty, valid=seen.valid, red=2, nir=3, scores=seen.scores)
    for method in METHODS:
        expected = compose(seen, Recipe(method=method)).values
        clear = seen.valid.any(axis=0)
        assert np.array_equal(compose(hidden, Recipe(method=method)).values[:, clear], expected[:, clear]), method


def test_the_geometric_median_is_geomads():
    """Within 0.001 of reflectance, geomad told to look closely; NaN where nothing is clear."""
    seen = make_scenes(6, 12, high=10_000)
    seen.valid[:, seen.valid.sum(axis=0) == 2] = False  # every point between two is a median
    made = compose(seen, Recipe(method="geometric-median")).values / 10_000
    pixels = (with_gaps(seen) / 10_000).astype(np.float32).transpose(2, 3, 1, 0).copy()
    expected = nangeomedian_pcm(pixels, eps=1e-7, num_threads=1).transpose(2, 0, 1)
    assert np.isnan(made[:, 0, 0]).all()
    np.testing.assert_allclose(made, expected, atol=1e-3)


def test_a_geometric_median_can_lie_on_an_observation():
    """And the search neither stays on one that it is not (the mean of all is one) nor leaves the one that it is."""
    held = np.array([[0, 0], [10, 0], [-10, 0], [0, 10], [0, -10]])
    passed = np.array([[0, 0], [4, 3], [4, -3], [2, 0], [-10, 0]])  # the mean lies on the first
    values = np.stack([held, passed], axis=-1).astype(np.float32)
    found = geometric_median(values, np.ones((5, 2), dtype=np.bool_), tolerance=1e-4)
    assert found[:, 0].tolist() == [0, 0]
    np.testing.assert_allclose(found[:, 1], [2, 0], atol=1e-2)


def test_the_medoid_has_the_least_distance_to_the_others():
    """By brute force, compared by the sum, for two dates may be equally good."""
    seen = make_scenes(7, 7)
    made = compose(seen, Recipe(method="medoid"))
    spectra = with_gaps(seen)
    sums = np.nansum(np.sqrt(((spectra[:, np.newaxis] - spectra) ** 2).sum(axis=2)), axis=1)
    sums[~seen.valid] = np.inf
    own = np.take_along_axis(sums, np.maximum(made.chosen, 0)[np.newaxis].astype(np.intp), axis=0)[0]
    clear = seen.valid.any(axis=0)
    np.testing.assert_allclose(own[clear], sums.min(axis=0)[clear], rtol=1e-5)
    assert np.array_equal(made.values[:, clear], picked(seen, made.chosen)[:, clear])


@pytest.mark.parametrize("method", ["latest", "max-ndvi", "medoid", "best-pixel"])
def test_of_equal_dates_the_latest_is_taken(method):
    """And none where nothing is clear."""
    values = np.full((3, 2, 1, 2), 100, dtype=np.uint16)
    valid = np.array([[True, False], [True, False], [False, False]]).reshape(3, 1, 2)
    seen = Observations(values=values, valid=valid, red=0, nir=1, scores=np.ones((3, 1, 2), dtype=np.float32))
    made = compose(seen, Recipe(method=method))
    assert made.chosen.tolist() == [[1, NO_DATE]]
    assert made.values[:, 0].tolist() == [[100, 0], [100, 0]]


def test_the_best_pixel_has_the_highest_score():
    """Of the clear ones."""
    seen = make_scenes(8)
    made = compose(seen, Recipe(method="best-pixel"))
    assert np.array_equal(
        made.chosen, np.where(seen.valid.any(axis=0), np.where(seen.valid, seen.scores, -1).argmax(axis=0), NO_DATE)
    )


def test_max_ndvi_heeds_where_zero_reflectance_lies():
    """With an offset of 1000 the darker date is the greener one; an index that is not defined loses to any."""
    values = np.array([[1100, 1400], [2000, 4000], [900, 1100]], dtype=np.uint16).reshape(3, 2, 1, 1)
    seen = {"values": values, "valid": np.ones((3, 1, 1), dtype=np.bool_), "red": 0, "nir": 1}
    recipe = Recipe(method="max-ndvi")
    assert compose(Observations(**seen), recipe).chosen.item() == 1
    assert compose(Observations(**seen, zero=1000), recipe).chosen.item() == 0


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(METHODS), st.integers(1, 22), st.integers(1, 30), st.booleans())
def test_no_result_depends_on_the_window(method, row, column, floats):
    """Cut anywhere, the parts are bit for bit those of the whole."""
    seen = make_scenes(9, 7, dtype=np.float32 if floats else np.uint16)
    recipe = Recipe(method=method, percentile=30, with_spread=True)
    whole = compose(seen, recipe)
    for rows, columns in product((slice(row), slice(row, None)), (slice(column), slice(column, None))):
        at = (..., rows, columns)
        cut = Observations(values=seen.values[at], valid=seen.valid[at], red=2, nir=3, scores=seen.scores[at])
        part = compose(cut, recipe)
        assert part.values.tobytes() == whole.values[at].tobytes()
        assert part.spread.tobytes() == whole.spread[at].tobytes()
        assert np.array_equal(part.count, whole.count[at])


def test_many_pixels_are_bit_for_bit_those_of_few():
    """Also across the blocks that a window is worked in."""
    seen = make_scenes(10, 5, rows=3, columns=20_000)
    for method in METHODS:
        whole = compose(seen, Recipe(method=method)).values
        at = (..., slice(None), slice(16_000, 17_001))
        cut = Observations(values=seen.values[at], valid=seen.valid[at], red=2, nir=3, scores=seen.scores[at])
        assert compose(cut, Recipe(method=method)).values.tobytes() == whole[at].tobytes(), method


@pytest.mark.parametrize("wrong", [{"method": "best"}, {"method": "percentile", "percentile": 101}])
def test_a_recipe_that_makes_no_sense_is_refused(wrong):
    """In the words of the parameter."""
    with pytest.raises(ParameterError):
        Recipe(**wrong)


@pytest.fixture(scope="module")
def by_pktools(tmp_path_factory):
    """The composite of pktools: `by_pktools(seen, rule)`; no data is 0."""
    folder = tmp_path_factory.mktemp("pktools")

    def run(seen, rule):
        files = []
        for number, (values, valid) in enumerate(zip(seen.values, seen.valid, strict=True)):
            files += ["-i", str(write(folder / f"{number}.tif", list(np.where(valid, values, 0)), nodata=None))]
        output = folder / f"{rule}.tif"
        bands = ["-cb", str(seen.red), "-cb", str(seen.nir)]
        missing = ["-srcnodata", "0", "-dstnodata", "0", "-bndnodata", "0"]
        command = ["pkcomposite", *files, "-o", str(output), "-cr", rule, *bands, *missing]
        subprocess.run(command, check=True, capture_output=True)
        with rasterio.open(output) as dataset:
            return dataset.read()

    return run


@pytest.fixture(scope="module")
def real_scenes(data_folder):
    """The tile on its five dates (most of it), clear by its own classification."""
    folders = sorted((data_folder / DATES).glob("S2*"), key=lambda path: path.name[10:18])
    stack = []
    for folder in folders:
        bands = [rasterio.open(folder / f"{name}.tif").read(1) for name in ("B02", "B03", "B04", "B08", "SCL")]
        stack.append(np.stack(bands)[:, 100:400, :])
    numbers = np.stack(stack)
    classes = numbers[:, 4]
    valid = known_by_scl(classes) & ~clouds_by_scl(classes) & (numbers[:, :4] > 0).all(axis=1)
    return Observations(values=numbers[:, :4].copy(), valid=valid, red=2, nir=3)


PKTOOLS = [("latest", "overwrite", 0), ("max-ndvi", "maxndvi", 0), ("median", "median", 0.5), ("mean", "mean", 0.5)]


@pytest.mark.parametrize(("method", "rule", "tolerance"), PKTOOLS)
def test_composites_are_those_of_pktools(by_pktools, method, rule, tolerance):
    """Chosen dates exactly, ties included; mixed ones within the half number that pktools rounds by."""
    seen = make_scenes(11, 8, high=40)
    made = np.nan_to_num(compose(seen, Recipe(method=method)).values)
    assert np.abs(made - by_pktools(seen, rule)).max() <= tolerance


@pytest.mark.data
@pytest.mark.parametrize(("method", "rule", "tolerance"), PKTOOLS)
def test_composites_of_a_real_tile_are_those_of_pktools(real_scenes, by_pktools, method, rule, tolerance):
    """Five dates of 33TWM, most of them cloudy."""
    made = np.nan_to_num(compose(real_scenes, Recipe(method=method)).values)
    assert np.abs(made - by_pktools(real_scenes, rule)).max() <= tolerance


@pytest.fixture(scope="module")
def real_site(data_folder):
    """One field site on 118 dates, and their classes at half the resolution."""

    def read(resolution, name):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(f"netcdf:{data_folder / SITE.format(resolution)}:{name}") as dataset:
                return dataset.read()

    values = np.stack([read("10m", name) for name in ("B02", "B03", "B04", "B08")], axis=1)
    classes = read("20m", "SCL").repeat(2, axis=1).repeat(2, axis=2)
    valid = known_by_scl(classes) & ~clouds_by_scl(classes) & (values > 0).all(axis=1)
    return Observations(values=values, valid=valid, red=2, nir=3)


@pytest.mark.data
def test_composites_of_a_real_site_are_those_of_numpy_and_geomad(real_site):
    """A year and more of observations."""
    made = compose(real_site, Recipe(method="median")).values
    assert np.array_equal(made, by_numpy(np.nanmedian, real_site), equal_nan=True)
    pixels = (with_gaps(real_site) / 10_000).astype(np.float32).transpose(2, 3, 1, 0).copy()
    expected = nangeomedian_pcm(pixels, eps=1e-7, num_threads=1).transpose(2, 0, 1)
    made = compose(real_site, Recipe(method="geometric-median")).values / 10_000
    np.testing.assert_allclose(made, expected, atol=1e-3)


@pytest.mark.data
def test_thirteen_bands_of_floats_are_composited_as_they_are(data_folder):
    """The top-of-atmosphere scenes of eo-learn: three clear dates of five."""
    scenes = np.load(data_folder / "eo-learn" / "REFERENCE_SCENES.npy").transpose(0, 3, 1, 2).astype(np.float32)
    valid = np.zeros((len(scenes), *scenes.shape[2:]), dtype=np.bool_)
    valid[[0, 2, 4]] = True
    seen = Observations(values=scenes, valid=valid, red=3, nir=7)
    assert np.array_equal(compose(seen, Recipe(method="median")).values, np.median(scenes[[0, 2, 4]], axis=0))
    made = compose(seen, Recipe(method="max-ndvi"))
    assert np.array_equal(made.values, picked(seen, made.chosen))
