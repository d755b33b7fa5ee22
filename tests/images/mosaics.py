"""Scenes that a mosaic can be made of."""

import numpy as np

from tests.images.scenes import ROOT, random_numbers, write

MOSAIC = ROOT / "images" / "mosaic"
NAMES = ("B04", "B03")


def with_holes(seed, shape=(120, 160)):
    """Two bands with squares of 8 pixels without data."""
    bands = [random_numbers(seed + band, shape=shape) for band in range(2)]
    noise = np.random.default_rng(seed).random((shape[0] // 8, shape[1] // 8)) < 0.2
    hole = np.kron(noise, np.ones((8, 8), dtype=bool))
    for band in bands:
        band[hole] = 0
    return bands


def overlapping(folder, count=3):
    """Scenes on one lattice, each some pixels further south-east."""
    origins = [(500_000 + 430 * n, 5_200_000 - 310 * n) for n in range(count)]
    return [
        write(folder / f"scene{n}.tif", with_holes(10 * n), names=NAMES, origin=origin)
        for n, origin in enumerate(origins, 1)
    ]
