"""Mosaics of four scenes on one core, from files to a COG, with rasterio.merge and gdalwarp beside them in the same run.

Each in a process of its own, so that peaks of memory are its own too: ours is the program as a job runs it. The scenes
overlap by a tenth; half a percent of their pixels, in spots, has no data. `next_zone` warps them into the next UTM zone.
"""

from __future__ import annotations

import importlib.util
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np

from benchmarks.children import absent, measure
from benchmarks.cluster import ROOT
from benchmarks.machine import peak_resident_mb

BANDS, SIZE, OVERLAP = 4, 4096, 410
ROUNDS = 2
COG = {"compress": "ZSTD", "level": 3, "predictor": "YES", "blocksize": 512}
OURS = {
    "hard": ("--feather=0",),
    "feathered": (),
    "harmonised": ("--harmonize=linear",),
    "next_zone": ("--feather=0", "--crs=EPSG:32632", "--resolution=10"),
}
RIVALS = ("rasterio_merge", "gdalwarp", "gdalwarp_next_zone")


def run() -> dict[str, object]:
    """Megapixels of the mosaic a second by CPU time, the best of some rounds."""
    works = [*OURS, *(name for name in RIVALS if not name.startswith("gdalwarp") or which("gdalwarp"))]
    best: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        make_scenes(Path(folder))
        for _ in range(ROUNDS):
            for name in works:
                made = measure("benchmarks.mosaics", work=name, folder=folder)
                best[name] = max(best.get(name, made), made, key=lambda figures: figures["mpx_per_s"])
    rates = {name: figures["mpx_per_s"] for name, figures in best.items()}
    return {
        "goal_peak_rss_mb": 600,
        **({} if which("gdalwarp") else {"gdalwarp": absent("gdal-bin")}),
        **_ratio("hard_by_rasterio_merge", rates, "hard", "rasterio_merge"),
        **_ratio("hard_by_gdalwarp", rates, "hard", "gdalwarp"),
        **_ratio("feathered_by_rasterio_merge", rates, "feathered", "rasterio_merge"),
        **_ratio("next_zone_by_gdalwarp", rates, "next_zone", "gdalwarp_next_zone"),
        "works": [{"": name, **figures} for name, figures in best.items()],
    }


def _ratio(name: str, rates: dict[str, float], ours: str, rival: str) -> dict[str, float]:
    return {name: round(rates[ours] / rates[rival], 2)} if rival in rates else {}


def make_scenes(folder: Path) -> None:
    """Four scenes of a landscape with some noise, each a little brighter than the one before."""
    import rasterio

    draw, step = np.random.default_rng(0), SIZE - OVERLAP
    noise = np.tile(draw.normal(0, 60, (1024, 1024)), (SIZE // 1024, SIZE // 1024))
    profile = {"driver": "GTiff", "dtype": "uint16", "count": BANDS, "width": SIZE, "height": SIZE, "nodata": 0}
    profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "zstd", "crs": "EPSG:32633"}
    for number in range(4):
        left, top = step * (number % 2), step * (number // 2)
        ground = 800 + 300 * np.sin(np.add.outer(np.arange(top, top + SIZE), np.arange(left, left + SIZE)) / 500)
        spots = draw.random((SIZE // 16, SIZE // 16)) < 0.005
        placed = rasterio.transform.from_origin(300_000 + 10 * left, 5_200_000 - 10 * top, 10, 10)
        with rasterio.open(folder / f"{number}.tif", "w", transform=placed, **profile) as dataset:
            for band in range(1, BANDS + 1):
                values = (ground + np.roll(noise, 7 * band + number)) * (1 + 0.05 * number)
                values[spots.repeat(16, axis=0).repeat(16, axis=1)] = 0
                dataset.write(np.clip(values, 0, 65535).astype(np.uint16), band)


def main(order: dict[str, Any]) -> dict[str, object]:
    """The child's part: one mosaic."""
    work, folder = order["work"], Path(order["folder"])
    scenes = [str(path) for path in sorted(folder.glob("?.tif"))]
    target = folder / f"made-{work}"
    target.mkdir(exist_ok=True)
    if work in OURS:
        seconds = _cpu_s(lambda: _run_program(scenes, target, OURS[work]))
        made, peak = target / "mosaic.tif", peak_resident_mb(os.getpid())
    elif work == "rasterio_merge":
        made = target / "cog.tif"
        seconds, peak = _cpu_s(lambda: _merge(scenes, target, made)), peak_resident_mb(os.getpid())
    else:
        made = target / "cog.tif"
        options = ("-t_srs", "EPSG:32632", "-tr", "10", "10", "-r", "bilinear") if work.endswith("zone") else ()
        seconds = _cpu_s(lambda: _gdalwarp(scenes, made, options))
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
    return {"mpx_per_s": round(_megapixels(made) / seconds, 2), "peak_rss_mb": round(peak)}


def _run_program(scenes: list[str], target: Path, options: tuple[str, ...]) -> None:
    spec = importlib.util.spec_from_file_location("swath_image_mosaic", ROOT / "images" / "mosaic" / "mosaic.py")
    if spec is None or spec.loader is None:
        raise RuntimeError("images/mosaic is missing")
    program = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = program
    spec.loader.exec_module(program)
    lines, sys.stdout = sys.stdout, sys.stderr  # the child's answer is what it prints
    code = program.main(["--scenes", *scenes, *options, "--output", str(target)], {})
    sys.stdout = lines
    if code:
        raise RuntimeError(f"mosaic ended with {code}")


def _merge(scenes: list[str], target: Path, made: Path) -> None:
    """As its own documentation has it for large mosaics: chunk by chunk into a file, of which a COG is made."""
    import rasterio.shutil
    from rasterio.merge import merge

    plain = {"tiled": True, "compress": "zstd", "zstd_level": 1, "bigtiff": "if_safer"}
    with rasterio.Env(GDAL_CACHEMAX=128 * 2**20, GDAL_NUM_THREADS="1"):
        merge(scenes, dst_path=target / "plain.tif", dst_kwds=plain)
        rasterio.shutil.copy(target / "plain.tif", made, driver="COG", overview_resampling="average", **COG)


def _gdalwarp(scenes: list[str], made: Path, options: tuple[str, ...]) -> None:
    creation = [word for key, value in COG.items() for word in ("-co", f"{key.upper()}={value}")]
    limits = ["--config", "GDAL_CACHEMAX", "128", "--config", "GDAL_NUM_THREADS", "1", "-wm", "64"]
    command = ["gdalwarp", "-q", "-overwrite", "-of", "COG", *creation, *limits, *options]
    # It lays the last one on top.
    subprocess.run([*command, *reversed(scenes), str(made)], check=True, capture_output=True)


def _megapixels(path: Path) -> float:
    import rasterio

    with rasterio.open(path) as dataset:
        return float(dataset.width * dataset.height / 1e6)


def _cpu_s(work: Callable[[], object]) -> float:
    """Seconds of CPU that something takes, its children's with it."""
    before, started = os.times(), time.process_time()
    work()
    own, after = time.process_time() - started, os.times()
    children = after.children_user + after.children_system - before.children_user - before.children_system
    return own + children
