"""Scenes of a whole Sentinel-2 tile to measure on: a real scene repeated to 10980 x 10980 pixels, as COGs and as JPEG2000.

`python -m benchmarks.large_scenes` makes both (some minutes, 1.5 GB) and prints where they are.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.io import MemoryFile
from swath_eo.scenes.sample import write_spyndex_sample

SIZE = 10_980  # pixels a side of a tile at 10 m
_PLACE = {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 600_000, 0, -10, 5_200_020)}
_ITEM = {
    "type": "Feature",
    "stac_version": "1.1.0",
    "id": "tiled",
    "properties": {"datetime": "2022-06-12T10:10:31Z", "platform": "sentinel-2a", "s2:processing_baseline": "03.01"},
}
_COG = {"driver": "COG", "COMPRESS": "DEFLATE", "PREDICTOR": "YES", "BLOCKSIZE": 512, "NUM_THREADS": "ALL_CPUS"}
# As ESA writes them: lossless, in tiles of 1024 pixels with all their overviews.
_JP2 = {
    "driver": "JP2OpenJPEG",
    "QUALITY": 100,
    "REVERSIBLE": "YES",
    "BLOCKXSIZE": 1024,
    "BLOCKYSIZE": 1024,
    "RESOLUTIONS": 6,
    "NUM_THREADS": "ALL_CPUS",
}


def cog_scene(size: int = SIZE) -> Path:
    """A directory with B02, B03, B04, B08 and SCL as COGs, and an item."""
    return _made(f"cog-{size}", lambda folder: _write(folder, size, ".tif", _COG))


def jp2_scene(size: int = SIZE) -> Path:
    """The same in JPEG2000."""
    return _made(f"jp2-{size}", lambda folder: _write(folder, size, ".jp2", _JP2))


def item_of_day(scene: Path, day: int) -> str:
    """The scene's item, of a day of June: composites take no moment twice."""
    item = json.loads((scene / "item.json").read_text())
    item["id"] = f"{item['id']}-{day}"
    item["properties"]["datetime"] = f"2022-06-{day:02}T10:10:31Z"
    return json.dumps(item)


def _made(name: str, make: Callable[[Path], None]) -> Path:
    """A folder of the cache ($SWATH_BENCH_CACHE, else ~/.cache/swath/scenes), made once: it has its name when it is
    complete."""
    cache = Path(os.environ.get("SWATH_BENCH_CACHE") or Path.home() / ".cache" / "swath" / "scenes")
    folder, partial = cache / name, cache / f".{name}.{os.getpid()}.partial"
    if not folder.is_dir():
        partial.mkdir(parents=True)
        try:
            make(partial)
            partial.rename(folder)
        except OSError:
            if not folder.is_dir():  # else somebody else was faster
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def _write(folder: Path, size: int, suffix: str, options: Mapping[str, Any]) -> None:
    for name, values in _sample(folder).items():
        _write_band(folder / f"{name}{suffix}", values, size, options)
    assets = {path.stem: {"href": f"./{path.name}"} for path in sorted(folder.glob(f"*{suffix}"))}
    (folder / "item.json").write_text(json.dumps({**_ITEM, "assets": assets, "links": [], "geometry": None}))


def _sample(folder: Path) -> dict[str, np.ndarray]:
    """The bands of the Bolzano scene, by name; where there is none, those of the sample that spyndex carries."""
    data = Path(os.environ.get("SWATH_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")
    scene = data / "s2-l2a-bolzano" / "S2_L2A_sample.tif"
    if not scene.is_file():
        scene = write_spyndex_sample(folder / ".sample.tif")
    with rasterio.open(scene) as dataset:
        names = [dataset.descriptions[i] or dataset.tags(i + 1)["DESCRIPTION"] for i in range(dataset.count)]
        found = dict(zip(names, dataset.read(), strict=True))
    (folder / ".sample.tif").unlink(missing_ok=True)
    return found


def _write_band(path: Path, values: np.ndarray, size: int, options: Mapping[str, Any]) -> None:
    repeats = (-(-size // values.shape[0]), -(-size // values.shape[1]))
    whole = np.tile(values, repeats)[:size, :size]
    profile = {"driver": "GTiff", "dtype": whole.dtype, "count": 1, "width": size, "height": size, **_PLACE}
    if path.suffix == ".tif":
        profile["nodata"] = 0  # JPEG2000 has no place for it
    with MemoryFile() as memory:
        with memory.open(**profile) as dataset:
            dataset.write(whole, 1)
        with memory.open() as dataset:
            rasterio.shutil.copy(dataset, path, **options)
    path.with_name(f"{path.name}.aux.xml").unlink(missing_ok=True)


if __name__ == "__main__":
    for made in (cog_scene(), jp2_scene()):
        sys.stdout.write(f"{made}\n")
