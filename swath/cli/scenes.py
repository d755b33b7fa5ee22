"""Which scenes the demo processes: real ones, in the order input given, sample data, sample that a Python package carries."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from swath.domain.errors import ConflictError, NotFoundError

ATTRIBUTION = "Contains modified Copernicus Sentinel data 2015-2024"
_DATES, _SITE = "s2-l2a-33TWM-5-dates", "s2-l2a-bolzano/S2_L2A_sample.tif"
_SAMPLE = "spyndex-sample-location-unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenes:
    """What the demo runs over."""

    paths: tuple[Path, ...]  # files, or directories with a file a band
    source: str  # for people: where they come from


def find_scenes(given: Sequence[Path], environ: Mapping[str, str], checkout: Path, scratch: Path) -> Scenes:
    """The scenes: those given; else the sample data; else the package's sample, written below `scratch`.

    Raises NotFoundError for a path that is not there, ConflictError where not even the package is.
    """
    if given:
        return _given(given)
    for root in _data_roots(environ, checkout):
        if paths := sample_scenes(root):
            return Scenes(paths=paths, source=f"sample data in {root}")
    return _package_sample(scratch)


def _given(paths: Sequence[Path]) -> Scenes:
    for path in paths:
        if not path.exists():
            raise NotFoundError(f"there is no {path}")
    return Scenes(paths=tuple(path.absolute() for path in paths), source="--input")


def _data_roots(environ: Mapping[str, str], checkout: Path) -> list[Path]:
    """$SWATH_TEST_DATA where it is set, else ../shared/data beside the checkout (DESIGN.md 4.12)."""
    named = environ.get("SWATH_TEST_DATA")
    return [Path(named)] if named else [checkout.parent / "shared" / "data"]


def sample_scenes(root: Path) -> tuple[Path, ...]:
    """Every date of tile 33TWM and the scene of Bolzano, as far as they are there."""
    dates = sorted(path for path in (root / _DATES).glob("*_33TWM_*") if path.is_dir())
    site = root / _SITE
    return (*dates, *([site] if site.is_file() else []))


def _package_sample(scratch: Path) -> Scenes:
    """The bare sample that spyndex carries, as a GeoTIFF; the image library writes it, and is no dependency of ours."""
    try:
        write = importlib.import_module("swath_eo.scenes.sample").write_spyndex_sample
    except ImportError as error:
        raise ConflictError(
            f"no scenes: name one with --input, or set SWATH_TEST_DATA, or install the sample ({error}): make install"
        ) from None
    scratch.mkdir(parents=True, exist_ok=True)
    path = scratch / f"{_SAMPLE}.tif"
    write(path)
    return Scenes(paths=(path,), source="the sample in the package spyndex (its location is unknown)")


def scene_names(paths: Sequence[Path]) -> list[str]:
    """A short name for each scene, unique among them."""
    names = [path.stem if path.is_file() else path.name for path in paths]
    return [name if names.count(name) == 1 else f"{index}-{name}" for index, name in enumerate(names)]
