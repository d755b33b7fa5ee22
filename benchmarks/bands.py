"""NDVI of a whole Sentinel-2 tile by the image `bands`, beside what it cannot do without and gdal_calc.py.

The bare way decodes both bands and encodes the same index, which it finds computed: by GDAL into a tiled GeoTIFF with
overviews of the same options, and by our own writer into the same COG. All that the image does beyond the latter (masks,
arithmetic, statistics, checksum, item) is what its ratio lacks to 1. gdal_calc.py writes a plain GeoTIFF; a COG of it is
GDAL's own translation. Everything runs in a process of its own, on one core and one thread.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np

from benchmarks.cluster import ROOT

ROUNDS = 2
WINDOW = 1024
_FORMULA = "(B.astype(float)-A)/(B.astype(float)+A)"  # in double precision, as the image computes it
_COG = ("-of", "COG", "-co", "COMPRESS=ZSTD", "-co", "LEVEL=1", "-co", "PREDICTOR=YES", "-co", "BLOCKSIZE=512")
_TILES = ("TILED=YES", "BLOCKXSIZE=512", "BLOCKYSIZE=512", "COMPRESS=ZSTD", "ZSTD_LEVEL=1", "PREDICTOR=3")


def run() -> dict[str, object]:
    """CPU seconds by process, the least of some rounds, and ratios of them."""
    if which("gdal_calc.py") is None:
        return {"skipped": "needs gdal_calc.py: apt-get install gdal-bin python3-gdal"}
    from benchmarks.large_scenes import SIZE, cog_scene

    scene = cog_scene()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ways = _ways(scene, folder)
        best: dict[str, dict[str, float]] = {}
        for _ in range(ROUNDS):  # in turns, for a machine has fast and slow minutes
            for name, command in ways.items():
                measured = measure_command(command)
                best[name] = min(best.get(name, measured), measured, key=lambda m: m["cpu_s"])
        difference = _difference(folder)
    del best["values"]  # which are made for the bare way alone
    cpu = {name: figures["cpu_s"] for name, figures in best.items()}
    return {
        "megapixels": round(SIZE**2 / 1e6, 1),
        "largest_difference_to_gdal_calc": difference,
        "goal_by_the_bare_rate": 0.9,
        "by_the_bare_rate": round(cpu["bare_gdal"] / cpu["bands"], 2),
        "by_the_bare_rate_with_our_writer": round(cpu["bare"] / cpu["bands"], 2),
        "goal_by_gdal_calc": 3,
        "by_gdal_calc_to_a_cog": round((cpu["gdal_calc"] + cpu["gdal_translate"]) / cpu["bands"], 2),
        "by_gdal_calc_to_tiles_without_overviews": round(cpu["gdal_calc_tiles"] / cpu["bands"], 2),
        "by_gdal_calc_by_its_defaults": round(cpu["gdal_calc"] / cpu["bands"], 2),
        "by_gdal_calc_to_plain_pixels": round(cpu["gdal_calc"] / cpu["plain"], 2),
        "arithmetic_by_numexpr": _by_numexpr(),
        "ways": [
            {"": name, **figures, "megapixels_per_cpu_s": round(SIZE**2 / 1e6 / figures["cpu_s"], 1)}
            for name, figures in best.items()
        ],
    }


def _ways(scene: Path, folder: Path) -> Mapping[str, list[str]]:
    """Commands in their order: later ones use what earlier ones made."""
    out = folder / "out"
    out.mkdir()
    red, nir, plain, cog = scene / "B04.tif", scene / "B08.tif", folder / "calc.tif", folder / "calc-cog.tif"
    tiles = [f"--co={option}" for option in _TILES]
    program = ROOT / "images" / "bands" / "bands.py"
    ours = [sys.executable, "-m", "benchmarks.bands"]
    # With NaN for no data it would make NaN of everything: it multiplies what it masks.
    options = ("--quiet", "--overwrite", "--type=Float32", "--NoDataValue=-9999")
    calc = ["/usr/bin/python3", str(which("gdal_calc.py")), *options, "-A", str(red), "-B", str(nir)]
    calc.append(f"--calc={_FORMULA}")
    return {
        "bands": [sys.executable, str(program), "--scene", str(scene), "--index=NDVI", "--output", str(out)],
        "values": [*ours, "values", str(scene), str(folder)],
        "bare": [*ours, "bare", str(scene), str(folder)],
        "bare_gdal": [*ours, "bare_gdal", str(scene), str(folder)],
        "plain": [*ours, "plain", str(scene), str(folder)],
        "gdal_calc": [*calc, f"--outfile={plain}"],
        "gdal_calc_tiles": [*calc, *tiles, f"--outfile={folder / 'tiles.tif'}"],
        "gdal_translate": ["gdal_translate", "-q", *_COG, str(plain), str(cog)],
    }


# Starts a command and tells of it: a process's `ru_maxrss` begins with what its parent held, and this one holds little.
_STARTER = """
import json, os, sys, time
started = time.monotonic()
silence = (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=[silence])
_, status, used = os.wait4(pid, 0)
wall_s = time.monotonic() - started
print(json.dumps({"cpu_s": used.ru_utime + used.ru_stime, "wall_s": wall_s, "peak_rss_mb": used.ru_maxrss * 1024 / 1e6}))
sys.exit(os.waitstatus_to_exitcode(status) != 0)
"""


def measure_command(command: list[str]) -> dict[str, float]:
    """A child's CPU and wall time, and its most memory."""
    core = str(max(os.sched_getaffinity(0)))
    environment = {**os.environ, "GDAL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    whole = [sys.executable, "-I", "-S", "-c", _STARTER, "taskset", "--cpu-list", core, *command]
    done = subprocess.run(whole, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command} failed")
    figures = json.loads(done.stdout)
    return {
        **{name: round(figures[name], 2) for name in ("cpu_s", "wall_s")},
        "peak_rss_mb": round(figures["peak_rss_mb"]),
    }


def _by_numexpr() -> float:
    """How many times as long numexpr takes for the same index of the same numbers, denominators looked at as we do."""
    import numexpr
    from swath_eo.bandmath.spectral import get_index, parse_index
    from swath_eo.scenes.calibration import Calibration

    numexpr.set_num_threads(1)
    red, nir = np.random.default_rng(0).integers(1, 8000, (2, WINDOW, WINDOW)).astype(np.uint16)
    ndvi, same = parse_index(get_index("NDVI")), dict.fromkeys("NR", Calibration(scale=1e-4))
    text = "(1e-4*n - 1e-4*r) / where(1e-4*n + 1e-4*r == 0, nan, 1e-4*n + 1e-4*r)"
    given = {"n": nir, "r": red, "nan": np.nan}
    ours = min(_cpu_s(lambda: ndvi.evaluate({"N": nir, "R": red}, calibrations=same)) for _ in range(9))
    theirs = min(_cpu_s(lambda: numexpr.evaluate(text, given, out=np.empty(red.shape))) for _ in range(9))
    return round(theirs / ours, 1)


def _cpu_s(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _difference(folder: Path) -> float:
    """Between what the image and gdal_calc.py have made, in a part of the tile."""
    import rasterio
    from rasterio.windows import Window

    part = Window(0, 0, WINDOW, WINDOW)
    with rasterio.open(folder / "out" / "bands.tif") as ours, rasterio.open(folder / "calc.tif") as theirs:
        return float(
            np.nanmax(np.abs(ours.read(1, window=part) - theirs.read(1, window=part, masked=True).filled(np.nan)))
        )


def main(way: str, scene: Path, folder: Path) -> None:
    """A child's part."""
    ways = {"values": _keep_values, "bare": _copy_bare, "bare_gdal": _copy_bare_by_gdal, "plain": _write_plain}
    ways[way](scene, folder)


def _keep_values(_: Path, folder: Path) -> None:
    """The index that the image has made, as plain numbers."""
    import rasterio

    with rasterio.open(folder / "out" / "bands.tif") as dataset:
        np.save(folder / "values.npy", dataset.read(1))


def _decode_bare(scene: Path, folder: Path) -> Iterator[Any]:
    """Windows of the index that was kept, after those of both bands have been decoded."""
    import rasterio
    from swath_eo.geometry.grid import Grid

    values = np.load(folder / "values.npy", mmap_mode="r")
    with (
        rasterio.Env(GDAL_CACHEMAX=128 << 20),
        rasterio.open(scene / "B04.tif") as red,
        rasterio.open(scene / "B08.tif") as nir,
    ):
        grid = Grid(crs=red.crs, transform=red.transform, width=red.width, height=red.height)
        for window in grid.windows(WINDOW):
            for dataset in (red, nir):
                dataset.read(1, window=window)
            yield window, values[window.toslices()]


def _copy_bare(scene: Path, folder: Path) -> None:
    """Into our COG."""
    from swath_eo.output.cog import OutputBand, write_cog
    from swath_eo.scenes.product import open_product

    grid = open_product(scene).find("B04").grid
    write_cog(folder / "bare.tif", _decode_bare(scene, folder), grid=grid, bands=[OutputBand(name="NDVI")], tags={})


def _copy_bare_by_gdal(scene: Path, folder: Path) -> None:
    """Into a tiled GeoTIFF with overviews, all by GDAL: the same compression, and no COG's order."""
    import rasterio
    from rasterio.enums import Resampling

    with rasterio.open(scene / "B04.tif") as red:
        profile = {**red.profile, "driver": "GTiff", "dtype": "float32", "nodata": np.nan, "tiled": True}
    profile |= {"blockxsize": 512, "blockysize": 512, "compress": "zstd", "zstd_level": 1, "predictor": 3}
    with rasterio.open(folder / "bare-gdal.tif", "w", **profile) as dataset:
        for window, values in _decode_bare(scene, folder):
            dataset.write(values, 1, window=window)
    options = {"COMPRESS_OVERVIEW": "ZSTD", "ZSTD_LEVEL_OVERVIEW": "1", "PREDICTOR_OVERVIEW": "3"}
    with (
        rasterio.Env(**options, GDAL_TIFF_OVR_BLOCKSIZE="512"),
        rasterio.open(folder / "bare-gdal.tif", "r+") as dataset,
    ):
        dataset.build_overviews([2, 4, 8, 16, 32], Resampling.average)


def _write_plain(scene: Path, folder: Path) -> None:
    """The image's own reading and arithmetic, into a GeoTIFF as gdal_calc.py writes them: not compressed, no overviews."""
    import rasterio
    from swath_eo.bandmath.layers import calibrate, find_bands, open_layers, read_indices
    from swath_eo.scenes.product import open_product

    product, layers = open_product(scene), read_indices("NDVI")
    bands = find_bands(product, layers[0].expression.bands)
    with open_layers(layers, bands, calibrate(product, bands)) as reader:
        grid = reader.grid
        profile = {"driver": "GTiff", "dtype": "float32", "count": 1, "nodata": np.nan, "crs": grid.crs}
        profile |= {"transform": grid.transform, "width": grid.width, "height": grid.height}
        with rasterio.open(folder / "plain.tif", "w", **profile) as dataset:
            for window in reader.windows(WINDOW):
                dataset.write(reader.read(window), window=window)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
