"""Atmospheric correction with maps of elevation and aerosol on one core, then of water vapour and ozone too, and GRASS
`i.atcorr` beside the first in the same run.

Both make surface reflectance of the same kind: 6S with another elevation and another aerosol in each pixel. A pixel here is
one number of one band.
"""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np

from benchmarks.children import absent, measure
from benchmarks.machine import peak_resident_mb

BANDS = ("B02", "B03", "B04", "B08")
SIZE = 1024  # pixels a side
PART = 16  # pixels a side for i.atcorr, which is slower
ROUNDS = 7
_BAND_CODE = 167  # i.atcorr's for B02


def run() -> dict[str, object]:
    """Millions of pixels a second by CPU time, the best of some rounds."""
    return measure("benchmarks.atmosphere", bands=BANDS, size=SIZE, part=PART, rounds=ROUNDS)


def main(order: dict[str, Any]) -> dict[str, object]:
    """The child's part."""
    from swath_eo.atmosphere.correction import BLOCK, correct, prepare
    from swath_eo.atmosphere.sixs import load_table

    size, bands = order["size"], tuple(order["bands"])
    draw = np.random.default_rng(0)
    toa = draw.uniform(0.05, 0.5, (len(bands), size, size)).astype(np.float32)
    aerosol = draw.uniform(0.05, 1, (size, size)).astype(np.float32)
    elevation = draw.uniform(0, 3000, (size, size)).astype(np.float32)
    water = draw.uniform(0.5, 5, (size, size)).astype(np.float32)
    ozone = draw.uniform(0.2, 0.45, (size, size)).astype(np.float32)
    table = load_table("sentinel-2a").of(bands)
    blocks = (size + BLOCK - 1) // BLOCK
    sun, view = np.full((blocks, blocks), 40.0), np.full((len(bands), blocks, blocks), 6.0)

    def ours(water: Any, ozone: Any) -> None:
        air = prepare(table, sun=sun, view=view)
        correct(toa, air, aerosol=aerosol, elevation=elevation, water=water, ozone=ozone)

    def rate_with(water: Any, ozone: Any) -> float:
        return max(toa.size / _cpu_s(lambda: ours(water, ozone)) / 1e6 for _ in range(order["rounds"]))

    rate = rate_with(2.0, 0.3)
    theirs = _by_atcorr(order["part"])
    return {
        "goal_m_pixels_per_s": 20,
        "m_pixels_per_s": round(rate, 1),
        "with_water_map": round(rate_with(water, 0.3), 1),
        "with_all_four_maps": round(rate_with(water, ozone), 1),
        "atcorr_m_pixels_per_s": absent("grass-core") if theirs is None else round(theirs, 6),
        **({} if theirs is None else {"by_atcorrs": round(rate / theirs)}),
        "peak_rss_mb": round(peak_resident_mb(os.getpid())),
    }


def _cpu_s(work: Any) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _by_atcorr(size: int) -> float | None:
    """None where GRASS is not installed."""
    if which("grass") is None:
        return None
    draw = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        maps = {"toa": (0.05, 0.5), "elevation": (0, 3000), "visibility": (6, 60)}
        commands = [f"g.region rows={size} cols={size} n={size} s=0 e={size} w=0"]
        for map_name, (low, high) in maps.items():
            path = folder / map_name
            draw.uniform(low, high, (size, size)).astype(np.float32).tofile(path)
            edges = f"north={size} south=0 east={size} west=0 rows={size} cols={size}"
            commands.append(f"r.in.bin -f input={path} output={map_name} bytes=4 {edges}")
        (folder / "conditions.txt").write_text(f"0\n40 0 6 0 6 15\n8\n2.0 0.3\n1\n20\n0\n-1000\n{_BAND_CODE}\n")
        correct = "i.atcorr -r input=toa elevation=elevation visibility=visibility range=0,1 rescale=0,1 output=surface"
        made, alone = (
            _children_s(folder, [*commands, *more]) for more in ([f"{correct} parameters={folder}/conditions.txt"], [])
        )
        return size * size / (made - alone) / 1e6


def _children_s(folder: Path, commands: list[str]) -> float:
    """CPU seconds of a script of GRASS commands."""
    (folder / "script.sh").write_text("\n".join(["set -e", *commands]))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        ["grass", "--tmp-location", "XY", "--exec", "bash", folder / "script.sh"], check=True, capture_output=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
