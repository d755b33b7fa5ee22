"""Small SAFE products: a real product's metadata, scaled down, and images of real sizes for them."""

import re
import shutil
import zipfile
from pathlib import Path

import numpy as np

from tests.images.scenes import random_numbers, write

L2A = "S2B_MSIL2A_20230823T095559_N0509_R122_T34UCF_20230823T124759.SAFE"
L1C = "S2B_MSIL1C_20230823T095559_N0509_R122_T34UCF_20230823T120234.SAFE"


def real_products(data_folder):
    """By their name, those with images and those without."""
    found = (*data_folder.glob("safe/fake_*/*.SAFE"), *data_folder.glob("safe-metadata/*.SAFE"))
    return {path.name: path for path in found}


def a_safe(folder, data_folder, name=L2A, *, shrink=90, write_image=None):
    """Writes a complete product of 10980 / `shrink` pixels a side under `folder`, by default with random numbers from 1000
    up in lossless JPEG2000; `write_image(path, name, shape, size)` writes others."""
    source = real_products(data_folder)[name]
    target = folder / name
    for path in (*source.glob("MTD_*.xml"), *source.glob("GRANULE/*/MTD_TL.xml")):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shrunken = re.sub(r"(?<=<N(?:ROWS|COLS)>)\d+", lambda m: str(int(m[0]) // shrink), path.read_text())
        copy.write_text(shrunken)
    listed = re.findall(r"<IMAGE_FILE>(.*?)</IMAGE_FILE>", next(target.glob("MTD_MSIL*.xml")).read_text())
    for number, file in enumerate(listed):
        size = size_of(file)
        shape = (10980 // shrink * 10 // size,) * 2
        path = target / f"{file}.jp2"
        path.parent.mkdir(parents=True, exist_ok=True)
        (write_image or write_random)(path, number, shape, size)
    return target


def size_of(file):
    """Metres a pixel of an image, by its name."""
    if match := re.search(r"_(\d\d)m$", file):
        return int(match[1])
    return {"B01": 60, "B09": 60, "B10": 60, **dict.fromkeys(("B02", "B03", "B04", "B08", "TCI"), 10)}.get(
        file[-3:], 20
    )


def write_random(path, number, shape, size):
    """Lossless JPEG2000 in the place that the real product has."""
    values = random_numbers(number, shape, low=1000)
    if "_SCL_" in path.name:
        values = (values % 12).astype(np.uint8)
    write_jp2(path, values, size)


def write_jp2(path, values, size):
    """On the grid of tile 34UCF."""
    place = {"origin": (300_000, 6_100_020), "size": size, "crs": "EPSG:32634", "nodata": None}
    write(path, values, driver="JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES", **place)
    Path(f"{path}.aux.xml").unlink(missing_ok=True)


def zipped(folder, target, *, compression=zipfile.ZIP_DEFLATED):
    """A product's directory as archives deliver it."""
    with zipfile.ZipFile(target, "w", compression) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder.parent))
    return target


def without(folder, pattern):
    """The product, less the files of a pattern."""
    for path in folder.rglob(pattern):
        path.unlink() if path.is_file() else shutil.rmtree(path)
    return folder
