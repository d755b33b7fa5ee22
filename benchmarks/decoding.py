"""What bands and composite add to decoding a whole tile, from COGs and from JPEG2000: CPU seconds a band that is read.

Each in a process of its own, on one core and one thread, files to files. A composite reads each band of each date once.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.bands import WINDOW, measure_command
from benchmarks.cluster import ROOT
from benchmarks.large_scenes import cog_scene, item_of_day, jp2_scene

NAMES = ("B04", "B08")
DATES = 2


def run() -> dict[str, object]:
    """A row a way; `by_decoding` is decoding's time by its own."""
    return {"ways": [row for scene in (cog_scene(), jp2_scene()) for row in _compare(scene)]}


def _compare(scene: Path) -> list[dict[str, object]]:
    kind = scene.name.partition("-")[0]
    with tempfile.TemporaryDirectory() as folder:
        dates = [_make_date(Path(folder, f"date{day}"), scene, day) for day in range(1, DATES + 1)]
        output = f"--output={folder}"
        names = f"--bands={','.join(NAMES)}"
        ways = {
            "decoding": (len(NAMES), [sys.executable, "-m", "benchmarks.decoding", str(scene)]),
            "bands": (len(NAMES), [*_program("bands"), "--scene", str(scene), "--index=NDVI", output]),
            "composite": (
                len(NAMES) * DATES,
                [*_program("composite"), "--scenes", *map(str, dates), names, output],
            ),
        }
        rows: list[dict[str, object]] = []
        alone = 0.0
        for name, (count, command) in ways.items():
            measured = measure_command(command)
            a_band = measured["cpu_s"] / count
            alone = alone or a_band
            ratio = {"by_decoding": round(alone / a_band, 2)}
            rows.append({"": f"{name}, {kind}", "cpu_s_a_band": round(a_band, 2), **ratio, **measured})
        return rows


def _make_date(folder: Path, scene: Path, day: int) -> Path:
    folder.mkdir()
    for file in scene.iterdir():
        if file.name != "item.json":
            (folder / file.name).symlink_to(file)
    (folder / "item.json").write_text(item_of_day(scene, day))
    return folder


def _program(name: str) -> list[str]:
    return [sys.executable, str(ROOT / "images" / name / f"{name}.py")]


def main(scene: Path) -> None:
    """A child's part: reads the bands in windows, and leaves them."""
    import rasterio
    from swath_eo.scenes.product import open_product
    from swath_eo.scenes.stacks import CACHE_BYTES

    product = open_product(scene)
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES, GDAL_NUM_THREADS="1"):
        for name in NAMES:
            band = product.find(name)
            with rasterio.open(band.path) as dataset:
                for window in band.grid.windows(WINDOW):
                    dataset.read(band.index, window=window)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
