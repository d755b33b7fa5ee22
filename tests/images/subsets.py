"""What is cut out of a scene, and what gdalwarp makes of it."""

import subprocess
from pathlib import Path

import rasterio
from swath_eo.scenes.rasters import list_bands
from swath_eo.scenes.stacks import kernel_scale

BOX = "11.3,46.47,11.35,46.5"


def read(result, name="subset.tif"):
    with rasterio.open(result.output / name) as dataset:
        return dataset.read()


def gdalwarp(source, like, target, kernel, *options):
    """What gdalwarp makes of a scene on the grid of the raster `like`, each band by itself, its kernels as wide as ours."""
    with rasterio.open(like) as dataset:
        edges, size, crs = map(repr, dataset.bounds), map(str, (dataset.width, dataset.height)), dataset.crs.to_string()
    scales = kernel_scale(list_bands(Path(source))[0].grid, list_bands(like)[0].grid)
    scaling = [word for name, value in scales.items() for word in ("-wo", f"{name}={value}")]
    grid = ["-t_srs", crs, "-te", *edges, "-ts", *size, "-r", {"nearest": "near"}.get(kernel, kernel)]
    exact = ["-et", "0", "-ovr", "NONE", "-wo", "UNIFIED_SRC_NODATA=NO", "-overwrite", "-q"]
    command = ["gdalwarp", *exact, *scaling, *grid, *options, str(source), str(target)]
    subprocess.run(command, check=True, capture_output=True)
    with rasterio.open(target) as dataset:
        return dataset.read()
