"""An area cut out of a whole tile, as it is and carried to the neighbouring zone, on one core, beside gdalwarp in the same run.

Both read the same files and write COGs with ZSTD. gdalwarp works once as exactly as the service does (`-et 0`), and once as it
does by itself, within an eighth of a pixel.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from shutil import which
from typing import Any

from benchmarks.children import absent, measure
from benchmarks.cluster import ROOT
from benchmarks.large_scenes import cog_scene, jp2_scene
from benchmarks.machine import peak_resident_mb

PROGRAM = ROOT / "images" / "subset" / "subset.py"
AREA = "640000,5150000,665000,5175000"  # a twentieth of the tile, in its own system
WORK = {  # system, resolution, kernel
    "as it is": ("EPSG:32632", "10", "nearest"),
    "next zone, cubic": ("EPSG:32633", "10", "cubic"),
    "next zone at 20 m, average": ("EPSG:32633", "20", "average"),
}


def run() -> dict[str, object]:
    """Megapixels of the result a second of CPU."""
    scenes = {"cog": str(cog_scene()), "jp2": str(jp2_scene())}
    rows = [
        {"": f"{what}, {kind}", **measure("benchmarks.subsets", scene=scene, what=what)}
        for what in WORK
        for kind, scene in scenes.items()
    ]
    missing = {} if which("gdalwarp") else {"gdalwarp": absent("gdal-bin")}
    return {"goal_peak_rss_mb": 600, **missing, "m_pixels_per_s": rows}


def main(order: dict[str, Any]) -> dict[str, object]:
    """The child's part: the image's program in this process, then gdalwarp as a child."""
    sys.path.insert(0, str(PROGRAM.parent))
    import subset

    crs, resolution, kernel = WORK[order["what"]]
    (band,) = Path(order["scene"]).glob("B04.*")
    with tempfile.TemporaryDirectory() as folder:
        asked = ["--scene", order["scene"], "--bands", "B04", "--crs", crs, "--resolution", resolution]
        asked += ["--resampling", kernel, "--bbox", AREA, "--area-crs", "EPSG:32632", "--output", folder]
        with Path(os.devnull).open("w") as nothing:
            kept, sys.stdout = sys.stdout, nothing
            started = time.process_time()
            if subset.main(asked, {}):
                raise RuntimeError(f"subset {asked} failed")
            ours = time.process_time() - started
            sys.stdout = kept
        peak = peak_resident_mb(os.getpid())
        made = Path(folder, "subset.tif")
        megapixels = _megapixels(made)
        exact, usual = (_gdalwarp(band, made, Path(folder, f"{off}.tif"), kernel, off) for off in ("0", "0.125"))
    figures: dict[str, object] = {"swath": round(megapixels / ours, 1), "peak_rss_mb": round(peak)}
    if exact and usual:
        figures |= {"gdalwarp_exact": round(megapixels / exact, 1), "gdalwarp": round(megapixels / usual, 1)}
        figures["by_exact"] = round(exact / ours, 2)
    return figures


def _megapixels(raster: Path) -> float:
    import rasterio

    with rasterio.open(raster) as dataset:
        return float(dataset.width * dataset.height / 1e6)


def _gdalwarp(band: Path, like: Path, target: Path, kernel: str, off: str) -> float | None:
    """Seconds of CPU for the same grid; None where it is not installed."""
    import rasterio

    if which("gdalwarp") is None:
        return None
    with rasterio.open(like) as dataset:
        edges, size, crs = map(repr, dataset.bounds), map(str, (dataset.width, dataset.height)), dataset.crs.to_string()
    grid = ["-t_srs", crs, "-te", *edges, "-ts", *size, "-r", {"nearest": "near"}.get(kernel, kernel)]
    made = f"-of COG -co COMPRESS=ZSTD -co LEVEL=3 -co PREDICTOR=YES -srcnodata 0 -q -ovr NONE -et {off}".split()
    before = os.times()
    subprocess.run(["gdalwarp", *made, *grid, str(band), str(target)], check=True, capture_output=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system
