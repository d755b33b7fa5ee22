"""Composites of 24 dates on one core, and numpy, pktools and geomad beside them in the same run.

An observation is one number: of one band on one date. Each does what it can with the same numbers: numpy and geomad on floats
with NaN for clouds, pktools from files to files (`overwrite`, which only copies, shows what of that is reading and writing).
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.children import absent, measure
from benchmarks.machine import peak_resident_mb

if TYPE_CHECKING:
    from swath_eo.composites.compositing import Observations

TIMES, BANDS, SIZE = 24, 4, 512
PART = 128  # pixels a side for the references, which are slower
CLEAR = 0.6
ROUNDS = 5
EPS = 1e-4  # geomad's own
SCALE = 1e-4


def run() -> dict[str, object]:
    """Millions of observations a second by CPU time, the best of some rounds."""
    return measure("benchmarks.composites", times=TIMES, bands=BANDS, size=SIZE, part=PART, rounds=ROUNDS)


def main(order: dict[str, Any]) -> dict[str, object]:
    """The child's part: everything takes turns, for a machine has fast and slow minutes."""
    from swath_eo.composites.compositing import METHODS, Observations, Recipe, compose

    seen = make_scenes(order["times"], order["bands"], order["size"])
    at = (..., slice(order["part"]), slice(order["part"]))
    part = Observations(values=seen.values[at].copy(), valid=seen.valid[at].copy(), red=2, nir=3)
    with tempfile.TemporaryDirectory() as folder:
        rivals = {**_libraries(part), **_pktools(part, Path(folder))}
        ours = {method: _composing(compose, seen, Recipe(method=method)) for method in METHODS}
        rates = dict.fromkeys((*ours, *rivals), 0.0)
        for _ in range(order["rounds"]):
            for name, work in {**ours, **rivals}.items():
                size = seen.values.size if name in ours else part.values.size
                rates[name] = max(rates[name], size / _cpu_s(work) / 1e6)
    return {
        "goal_median": 85,
        "peak_rss_mb": round(peak_resident_mb(os.getpid())),
        "median_by_numpys": round(rates["median"] / rates["numpy_nanmedian"], 1),
        "geometric_median_by_geomads": round(rates["geometric-median"] / rates["geomad"], 2),
        **({} if which("pkcomposite") else {"pktools": absent("pktools")}),
        "m_observations_per_s": [{"": name, "rate": round(rate, 1)} for name, rate in rates.items()],
    }


def make_scenes(times: int, bands: int, size: int) -> Observations:
    """Fields that hardly change, some haze that no mask has found, and masks of clouds some pixels wide."""
    from swath_eo.composites.compositing import Observations

    draw = np.random.default_rng(0)
    ground = draw.uniform(300, 3000, size=(1, bands, size, size))
    values = ground + draw.normal(0, 120, size=(times, bands, size, size))
    values += 1500 * (draw.random((times, 1, size, size)) < 0.1)
    clouds = draw.random((times, size // 32, size // 32)) >= CLEAR
    valid = ~clouds.repeat(32, axis=1).repeat(32, axis=2)
    scores = draw.random((times, size, size), dtype=np.float32)
    numbers = np.clip(values, 1, 65535).astype(np.uint16)
    return Observations(values=numbers, valid=valid, red=2, nir=3, scores=scores)


def _composing(compose: Callable[..., object], seen: Observations, recipe: object) -> Callable[[], object]:
    return lambda: compose(seen, recipe)


def _libraries(seen: Observations) -> dict[str, Callable[[], object]]:
    from geomad import nangeomedian_pcm

    numbers = np.where(seen.valid[:, np.newaxis], seen.values, np.nan).astype(np.float32)
    pixels = np.ascontiguousarray((numbers * SCALE).transpose(2, 3, 1, 0))
    return {
        "numpy_nanmedian": lambda: np.nanmedian(numbers, axis=0),
        "geomad": lambda: nangeomedian_pcm(pixels, eps=EPS, num_threads=1),
    }


def _pktools(seen: Observations, folder: Path) -> dict[str, Callable[[], object]]:
    """Empty where pktools is not installed."""
    import rasterio

    if which("pkcomposite") is None:
        return {}
    _, bands, rows, columns = seen.values.shape
    profile = {
        "driver": "GTiff",
        "dtype": "uint16",
        "count": bands,
        "width": columns,
        "height": rows,
        "crs": "EPSG:32633",
    }
    files: list[str] = []
    for number, (values, valid) in enumerate(zip(seen.values, seen.valid, strict=True)):
        files += ["-i", str(folder / f"{number}.tif")]
        place = rasterio.transform.from_origin(500_000, 5_000_000, 10, 10)
        with rasterio.open(files[-1], "w", transform=place, **profile) as dataset:
            dataset.write(np.where(valid, values, 0))
    usual = ["-o", str(folder / "made.tif"), "-srcnodata", "0", "-bndnodata", "0"]
    return {
        f"pktools_{rule}": lambda rule=rule: subprocess.run(
            ["pkcomposite", *files, *usual, "-cr", rule], check=True, capture_output=True
        )
        for rule in ("median", "overwrite")
    }


def _cpu_s(work: Callable[[], object]) -> float:
    """Seconds of CPU that something takes, its children's with it."""
    before = os.times()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, of pixels that are never clear
        started = time.process_time()
        work()
        own = time.process_time() - started
    after = os.times()
    children = after.children_user + after.children_system - before.children_user - before.children_system
    return own + children
