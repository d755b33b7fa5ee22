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
    maps = {"aerosol": draw.uniform(0, 1.2, (64, 128)), "elevation": draw.uniform(0, 5000, (64, 128))}
    sun, view = np.full((1, 2), 40.0), np.full((bands, 1, 2), 6.0)
    air = prepare(table, sun=sun, view=view, water=2.0, ozone=0.3)
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
