"""Small scenes made for a test: `a_band(path)`, `a_stack(path)`, and running programs on them."""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import rasterio
from rasterio.transform import Affine
from swath_eo.scenes.product import open_product

ROOT = Path(__file__).parents[2]
NDVI = ROOT / "images" / "ndvi"
BOLZANO = Path("s2-l2a-bolzano", "S2_L2A_sample.tif")
DATES = Path("s2-l2a-33TWM-5-dates")


def load_program(name):
    """An image's program as a module, from its folder."""
    module_name = f"swath_image_{name}"
    if module_name not in sys.modules:
        spec = importlib.util.spec_from_file_location(module_name, ROOT / "images" / name / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    return sys.modules[module_name]


def load_ndvi():
    """The program of the image ndvi."""
    return load_program("ndvi")


def find_scene(source, *, red="red", nir="nir"):
    """The two bands of an index, out of whatever form of scene."""
    product = open_product(source)
    return SimpleNamespace(red=product.find(red), nir=product.find(nir), directory=product.directory)


def random_numbers(seed, shape=(120, 160), low=200, high=4000):
    """Digital numbers without a nodata value among them."""
    return np.random.default_rng(seed).integers(low, high, size=shape).astype(np.uint16)


def write(
    path,
    bands,
    *,
    origin=(500_000, 5_200_000),
    size=10.0,
    crs="EPSG:32633",
    transform=None,
    nodata=0,
    names=(),
    **profile,
):
    """Writes a raster; `bands` is one array or a list of them."""
    values = np.stack(bands) if isinstance(bands, list) else np.asarray(bands)[np.newaxis]
    transform = Affine(size, 0, origin[0], 0, -size, origin[1]) if transform is None else transform
    settings = {
        "driver": "GTiff",
        "dtype": values.dtype,
        "count": len(values),
        "nodata": nodata,
        "transform": transform,
    }
    settings |= {"height": values.shape[1], "width": values.shape[2]}
    if crs is not None:
        settings["crs"] = crs
    with rasterio.open(path, "w", **(settings | profile)) as dataset:
        dataset.write(values)
        for index, name in enumerate(names, 1):
            dataset.set_band_description(index, name)
    return path


def write_large(path, names, side=6000):
    """Bands of as many pixels a side, of numbers that hardly need any space on the disk."""
    profile = {"driver": "GTiff", "dtype": "uint16", "count": len(names), "width": side, "height": side, "nodata": 0}
    profile |= {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -10, 5_200_000)}
    profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "zlevel": 1}
    numbers = np.arange(side, dtype=np.uint16) // 16 % 3000 + 1
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.descriptions = tuple(names)
        for index in dataset.indexes:
            dataset.write(np.broadcast_to(numbers[:, np.newaxis] + np.uint16(100 * index), (side, side)), index)
    return path


@dataclass
class Result:
    """What a run of a program left."""

    exit_code: int
    summary: dict
    errors: str
    output: Path
    lines: list[str] = field(default_factory=list)

    @property
    def values(self):
        with rasterio.open(self.output / "ndvi.tif") as dataset:
            return dataset.read(1)

    @property
    def statistics(self):
        return json.loads((self.output / "statistics.json").read_text())


class Runner:
    """Runs a program in this process, each time into a directory of its own."""

    def __init__(self, folder, capsys, program="ndvi"):
        self._program = program
        self._folder = folder
        self._capsys = capsys
        self._runs = 0

    def __call__(self, *arguments, environ=None, **options):
        self._runs += 1
        output = self._folder / f"{self._program}-out{self._runs}"
        output.mkdir()
        given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        code = load_program(self._program).main([*map(str, arguments), *given, "--output", str(output)], environ or {})
        told = self._capsys.readouterr()
        lines = told.out.splitlines()
        return Result(code, json.loads(lines[-1]), told.err, output, lines)


def measured(program, *arguments, environ=None):
    """Runs an image's program in a process of its own: its summary, and the most memory that it had, in MB.

    Not by ru_maxrss, which remembers the size of the process that this one was forked from.
    """
    code = "import re, runpy, sys; sys.argv = sys.argv[1:]\n"
    code += "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
    code += "finally: print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    path = ROOT / "images" / program / f"{program}.py"
    command = [sys.executable, "-c", code, str(path), *map(str, arguments)]
    variables = {**os.environ, "PYTHONPATH": str(ROOT / "images" / "eo-base"), **(environ or {})}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    *_, summary, peak_kib = done.stdout.splitlines()
    return json.loads(summary), int(peak_kib) * 1024 / 1e6
