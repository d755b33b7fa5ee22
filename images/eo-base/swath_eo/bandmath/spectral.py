"""The spectral indices of the Awesome Spectral Indices list, by name, as the package spyndex carries them.

Their bands have the list's names (N, R, RE1, ...): `spellings_of` says what scenes call them.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

from swath_eo.bandmath.expressions import Expression, parse_expression
from swath_eo.errors import IndexUnknownError, ParameterError
from swath_eo.scenes.bands import canonical_name

# The list leaves the kernel of kNN, kNR, ... to the user: this is spyndex's default, the radial basis function.
_KERNEL = "exp((-1.0 * ({a} - {b}) ** 2.0) / (2.0 * sigma ** 2.0))"
_KERNEL_NAME = re.compile(r"k([NRGBL])([NRGBL])")


@dataclass(frozen=True, kw_only=True)
class SpectralIndex:
    """An index as the list describes it."""

    name: str  # NDVI
    title: str  # Normalized Difference Vegetation Index
    domain: str  # vegetation, water, burn, ...
    formula: str
    bands: tuple[str, ...]  # by the list's names; more than one for a kernel
    constants: Mapping[str, float | None]  # by their defaults; None: there is none
    reference: str  # where it was published


def index_names() -> list[str]:
    """All of them."""
    return sorted(_read_list().indices)


def get_index(name: str) -> SpectralIndex:
    """The index of that name, however it is capitalised where that is clear. Raises IndexUnknownError, which tells the
    nearest names."""
    known = _read_list()
    alike = [other for other in known.indices if other.lower() == name.lower()]
    if name not in known.indices and len(alike) == 1:
        name = alike[0]
    if name not in known.indices:
        raise IndexUnknownError(f"there is no index {name!r}{_nearest(name)}")
    entry = known.indices[name]
    formula = _without_kernels(entry["formula"].replace(" ", ""))
    names = tuple(dict.fromkeys(re.findall(r"[A-Za-z]\w*", formula)))
    return SpectralIndex(
        name=name,
        title=entry["long_name"],
        domain=entry["application_domain"],
        formula=formula,
        bands=tuple(n for n in names if n not in known.constants and n != "exp"),
        constants=MappingProxyType({n: known.constants[n] for n in names if n in known.constants}),
        reference=entry["reference"],
    )


def _nearest(name: str) -> str:
    by_lower = {known.lower(): known for known in index_names()}
    found = [by_lower[n] for n in difflib.get_close_matches(name.lower(), by_lower, n=5, cutoff=0.5)]
    return f": the nearest are {', '.join(found)}" if found else ": docs/processing.md says where the list is"


def _without_kernels(formula: str) -> str:
    return _KERNEL_NAME.sub(lambda found: f"({_KERNEL.format(a=found[1], b=found[2])})", formula)


def parse_index(index: SpectralIndex, constants: Mapping[str, float] = MappingProxyType({})) -> Expression:
    """The index as an expression over its bands; `constants` replace defaults, those that it does not have are
    passed over.

    Raises ParameterError for a constant that has no default and is not given.
    """
    values = {name: constants.get(name, default) for name, default in index.constants.items()}
    missing = [name for name, value in values.items() if value is None]
    if missing:
        raise ParameterError(f"{index.name} needs {', '.join(missing)}, without a default: give CONSTANTS")
    return parse_expression(index.formula, constants={n: v for n, v in values.items() if v is not None})


def wavelengths(platform: str = "sentinel2a") -> dict[str, float]:
    """The constants lambdaN, lambdaR, ... in nm, as the list knows them of a platform."""
    bands = _read_list().bands.items()
    known = {name: band["platforms"][platform] for name, band in bands if platform in band["platforms"]}
    return {f"lambda{name}": float(band["wavelength"]) for name, band in known.items()}


def spellings_of(name: str) -> tuple[str, ...]:
    """What a scene may call a band that an expression names, best first: "N" is B08, nir, or N.

    A name that is none of the list's is what it is.
    """
    band = _read_list().bands.get(name)
    if band is None:
        return (name,)
    sentinel2 = band["platforms"].get("sentinel2a")
    numbered = [canonical_name(sentinel2["band"])] if sentinel2 else []
    return tuple(dict.fromkeys([*numbered, band["common_name"], name]))


@dataclass(frozen=True, kw_only=True)
class _List:
    indices: Mapping[str, Any]  # as their documents say
    bands: Mapping[str, Any]
    constants: Mapping[str, float | None]  # by their defaults


@functools.cache
def _read_list() -> _List:
    # Without importing the package: it imports much that is not needed to read its files, for 0.3 s.
    spec = find_spec("spyndex")
    if spec is None or not spec.submodule_search_locations:
        raise IndexUnknownError("the package spyndex, which carries the list of indices, is not installed")
    folder = Path(spec.submodule_search_locations[0], "data")
    indices, bands, constants = (
        json.loads((folder / name).read_text(encoding="utf-8"))
        for name in ("spectral-indices-dict.json", "bands.json", "constants.json")
    )
    defaults = {name: entry["default"] for name, entry in constants.items()}
    return _List(
        indices=indices["SpectralIndices"],
        bands=bands,
        constants={name: None if default is None else float(default) for name, default in defaults.items()},
    )
