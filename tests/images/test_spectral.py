"""All indices of the Awesome Spectral Indices list, beside what spyndex itself computes."""

import numpy as np
import pytest
import rasterio
import spyndex
from swath_eo.bandmath.spectral import get_index, index_names, parse_index, spellings_of, wavelengths
from swath_eo.errors import IndexUnknownError, ParameterError
from swath_eo.scenes.calibration import Calibration

from tests.images.scenes import BOLZANO

SENTINEL2 = ("A", "B", "G", "R", "RE1", "RE2", "RE3", "N", "N2", "WV", "cirrus", "S1", "S2")
GIVEN = {**wavelengths(), "PAR": 1000.0}
# Beyond this the denominator is zero but for rounding: no data here, a number without meaning there.
MEANINGLESS = 1e12


def computed_by_spyndex(name, bands):
    """float64, of reflectances in float64, with the defaults of the list."""
    wanted = spyndex.indices[name].bands
    constants = {known: constant.default for known, constant in spyndex.constants.items()}
    values = {**constants, **{k: v for k, v in GIVEN.items() if constants.get(k) is None}, **bands}
    for kernel in (n for n in wanted if n.startswith("k") and len(n) == 3):
        values[kernel] = spyndex.computeKernel("RBF", {"a": values[kernel[1]], "b": values[kernel[2]], "sigma": 0.5})
    with np.errstate(all="ignore"):
        return np.asarray(spyndex.computeIndex(name, {band: values[band] for band in wanted}))


def computable(bands):
    return [name for name in index_names() if set(get_index(name).bands) <= set(bands)]


def assert_alike(name, ours, theirs):
    """The same to the last bit, and no data where they have infinity, or a number that is none."""
    with np.errstate(over="ignore"):
        expected = np.broadcast_to(theirs, ours.shape).astype(np.float32)
    undefined = np.isnan(ours)
    assert np.array_equal(ours[~undefined], expected[~undefined]), name
    assert not np.isinf(ours).any(), name
    meaningless = ~np.isfinite(expected) | (np.abs(expected) > MEANINGLESS)
    assert meaningless[undefined].all(), name


@pytest.mark.data
def test_all_indices_of_sentinel_2_are_what_spyndex_computes(data_folder):
    """245 indices over 13 bands, 5 dates, clear and cloudy: the same float32 in every pixel."""
    scenes = np.load(data_folder / "eo-learn" / "REFERENCE_SCENES.npy")
    names = computable(SENTINEL2)
    assert len(names) == 245
    for scene in scenes[:, ::4, ::4]:
        bands = {band: scene[..., number] for number, band in enumerate(SENTINEL2)}
        doubles = {band: values.astype(np.float64) for band, values in bands.items()}
        for name in names:
            ours = parse_index(get_index(name), GIVEN).evaluate(bands)
            assert_alike(name, ours, computed_by_spyndex(name, doubles))


@pytest.mark.data
def test_all_indices_of_the_bolzano_scene_are_what_spyndex_computes(data_folder):
    """107 indices of whole numbers, of which 22 are no data."""
    with rasterio.open(data_folder / BOLZANO) as dataset:
        bands = dict(zip("RGBN", dataset.read([1, 2, 3, 4])[:, ::3, ::3], strict=True))
    valid = np.all([values != 0 for values in bands.values()], axis=0)
    doubles = {band: values * 1e-4 for band, values in bands.items()}
    names = computable(bands)
    assert len(names) == 107
    for name in names:
        same = dict.fromkeys(bands, Calibration(scale=1e-4))
        ours = parse_index(get_index(name), GIVEN).evaluate(bands, calibrations=same, valid=valid)
        assert np.isnan(ours[~valid]).all()
        assert_alike(name, ours[valid], np.broadcast_to(computed_by_spyndex(name, doubles), valid.shape)[valid])


def test_every_index_of_the_list_can_be_read():
    """Radar's and thermal ones too."""
    for name in index_names():
        assert set(parse_index(get_index(name), GIVEN).bands) == set(get_index(name).bands), name


def test_constants_have_defaults_that_can_be_replaced():
    """SAVI with another soil; nothing is taken for a constant that has no default."""
    bands = {"N": np.array([0.4]), "R": np.array([0.1])}
    savi = get_index("SAVI")
    assert parse_index(savi).evaluate(bands) == np.float32(2 * (0.4 - 0.1) / (0.4 + 0.1 + 1))
    assert parse_index(savi, {"L": 0.5}).evaluate(bands) == np.float32(1.5 * (0.4 - 0.1) / (0.4 + 0.1 + 0.5))
    with pytest.raises(ParameterError, match="NIRvP needs PAR"):
        parse_index(get_index("NIRvP"))


def test_an_unknown_index_is_told_the_nearest():
    """And one that is only capitalised otherwise is found."""
    with pytest.raises(IndexUnknownError, match="NDVI"):
        get_index("NDVIX")
    with pytest.raises(IndexUnknownError):
        get_index("?")
    assert get_index("ndvi").name == "NDVI"


def test_bands_of_the_list_have_the_names_of_scenes():
    """Sentinel-2's number, the common name, the list's own; any other name is itself."""
    assert spellings_of("N") == ("B08", "nir", "N")
    assert spellings_of("RE1")[0] == "B05"
    assert spellings_of("VV")[-1] == "VV"
    assert spellings_of("B03") == ("B03",)
