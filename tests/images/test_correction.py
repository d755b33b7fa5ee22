"""What a pixel becomes depends on that pixel and its conditions alone."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from swath_eo.atmosphere.correction import correct, prepare
from swath_eo.atmosphere.sixs import load_table

CORRECTED = """
from tests.images.test_correction import corrected_scene
print(corrected_scene({bands}))
"""


def corrected_scene(bands):
    """A digest of what a scene of two blocks becomes."""
    draw = np.random.default_rng(0)
    table = load_table("sentinel-2a")
    table = table.of(table.bands[:bands])
    ends = {"aerosol": (0, 1.2), "elevation": (0, 5000), "water": (0, 6), "ozone": (0.15, 0.5)}
    maps = {name: draw.uniform(*these, (64, 128)) for name, these in ends.items()}
    sun, view = np.full((1, 2), 40.0), np.full((bands, 1, 2), 6.0)
    air = prepare(table, sun=sun, view=view)
    toa = draw.uniform(0, 1, (bands, 64, 128)).astype(np.float32)
    surface = correct(toa, air, **{name: values.astype(np.float32) for name, values in maps.items()})
    return hashlib.sha256(surface.tobytes()).hexdigest()


@pytest.mark.parametrize("bands", [2, 11])
def test_the_result_does_not_depend_on_the_number_of_threads(bands):
    """To the bit, with few bands as with all: a container has one thread, a laptop more."""
    command = [sys.executable, "-c", CORRECTED.format(bands=bands)]
    one, two = (
        subprocess.run(
            command, env={**os.environ, "OPENBLAS_NUM_THREADS": count}, capture_output=True, text=True, check=True
        ).stdout
        for count in ("1", "2")
    )
    assert one == two


@pytest.mark.parametrize("mapped", [("water",), ("ozone",), ("water", "ozone")])
def test_a_map_of_one_amount_is_that_number(mapped):
    """Water vapour and ozone by pixel give what they give as numbers, within half of the last digit that is written."""
    table = load_table("sentinel-2b")
    bands = len(table.bands)
    air = prepare(table, sun=np.full((2, 2), 50.0), view=np.full((bands, 2, 2), 6.0))
    toa = np.random.default_rng(1).uniform(0, 1, (bands, 80, 90)).astype(np.float32)
    amounts = {"aerosol": 0.4, "elevation": 800.0, "water": 3.1, "ozone": 0.21}
    maps = {name: np.full((80, 90), amounts[name], np.float32) for name in mapped}
    expected = correct(toa, air, **amounts)
    assert np.abs(correct(toa, air, **(amounts | maps)) - expected).max() < 5e-5


def test_each_pixel_has_its_own_water_and_ozone():
    """And where one of them is not known, neither is the surface; what is beyond the tables counts as their end."""
    table = load_table("sentinel-2a").of(("B04", "B8A"))
    air = prepare(table, sun=np.full((1, 1), 50.0), view=np.full((2, 1, 1), 6.0))
    toa = np.full((2, 1, 5), 0.3, np.float32)
    water, ozone = np.array([[0.5, 4, 9, np.nan, 2]], np.float32), np.array([[0.2, 0.4, 0.1, 0.3, np.nan]], np.float32)
    found = correct(toa, air, aerosol=0.2, elevation=100, water=water, ozone=ozone)
    for pixel, (one, other) in enumerate([(0.5, 0.2), (4, 0.4), (6, 0.15)]):
        alone = correct(toa[:, :, :1], air, aerosol=0.2, elevation=100, water=one, ozone=other)
        assert np.abs(found[:, :, pixel] - alone[:, :, 0]).max() < 5e-5
    assert np.isnan(found[:, :, 3:]).all()
