"""Makes the tables of `swath_eo.atmosphere.correction` with GRASS `i.atcorr` (6S); README.md tells how, and what they hold.

    grass --tmp-location XY --exec python make_tables.py WORK_DIRECTORY TABLES_DIRECTORY

A band takes about 25 s of a core and is kept in WORK_DIRECTORY: a run that was broken off goes on where it ended.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SENSORS = {  # the number that i.atcorr gives a band (section F of its manual)
    "sentinel-2a": {
        **{"B01": 166, "B02": 167, "B03": 168, "B04": 169, "B05": 170, "B06": 171, "B07": 172, "B08": 173},
        **{"B8A": 174, "B11": 177, "B12": 178},
    },
    "landsat-8": {"coastal": 115, "blue": 116, "green": 117, "red": 118, "nir": 120, "swir16": 122, "swir22": 123},
    "sentinel-2b": {
        **{"B01": 179, "B02": 180, "B03": 181, "B04": 182, "B05": 183, "B06": 184, "B07": 185, "B08": 186},
        **{"B8A": 187, "B11": 190, "B12": 191},
    },
}


def lobatto(count: int, first: float, last: float) -> NDArray[np.float64]:
    """The nodes between which a polynomial strays least, the ends exactly among them."""
    found = (first + last) / 2 - (last - first) / 2 * np.cos(np.pi * np.arange(count) / (count - 1))
    found[[0, -1]] = first, last
    return found


SUN = lobatto(9, 15, 75)  # zenith in degrees; at half past ten the sun stands no higher
VIEW = np.array([0.0, 6.25, 12.5])  # zenith in degrees
AEROSOL = lobatto(5, 0, 1.2)  # optical depth at 550 nm
ELEVATION = lobatto(3, 0, 5)  # km
COURSE = lobatto(17, 0, 5)  # km; over elevation 6S goes in steps, through which a smooth course is laid
COURSE_SUN = lobatto(4, 15, 75)
GAS_ELEVATION = lobatto(5, 0, 5)  # km; absorption falls with pressure, and in steps
AIR_MASS = lobatto(4, 2, 5)  # 1 / cos(sun zenith) + 1 / cos(view zenith)
WATER = np.round(lobatto(6, 0, 6**0.5) ** 2, 12)  # g/cm2; absorption goes by its root
OZONE = lobatto(3, 0.15, 0.5)  # cm-atm

_REFLECTANCES = (np.arange(1024) + 0.5) / 1024  # at the top of the atmosphere, as i.atcorr is asked to correct them
_CONTINENTAL = 1
_TRANSPARENT = 0.9999
_HAZE = 0.6  # aerosol by which the path through it is told from that through molecules


class Corrector:
    """i.atcorr on a map with a row an elevation and a column a reflectance."""

    def __init__(self, work: Path, elevation: NDArray[np.float64]) -> None:
        self._work = work
        self._rows = len(elevation)
        shape = (self._rows, len(_REFLECTANCES))
        self._put("toa", np.broadcast_to(_REFLECTANCES, shape))
        self._put("elevation", np.broadcast_to(1000 * elevation[:, None], shape))

    def _put(self, name: str, values: NDArray[np.float64]) -> None:
        rows, columns = values.shape
        path = self._work / f"{name}.bin"
        values.astype("<f4").tofile(path)
        edges = (f"north={rows}", "south=0", f"east={columns}", "west=0", f"rows={rows}", f"cols={columns}")
        _grass("g.region", "n=1", "s=0", "e=1", "w=0", "rows=1", "cols=1")
        _grass("r.in.bin", "-f", f"input={path}", f"output={name}", "bytes=4", *edges, "--overwrite")
        _grass("g.region", f"raster={name}")

    def coefficients(self, *, sun: float, view: float, aerosol: float, gases: str, band: int) -> NDArray[np.float64]:
        """(3, elevations): what `solve` finds at each elevation. `gases` are the lines of the atmospheric model."""
        conditions = self._work / "conditions.txt"
        geometry = f"0\n{sun!r} 0 {view!r} 0 6 15"
        conditions.write_text(f"{geometry}\n{gases}\n{_CONTINENTAL}\n0\n{aerosol!r}\n0\n-1000\n{band}\n")
        maps = ("input=toa", "elevation=elevation", "output=surface", "--overwrite")
        _grass("i.atcorr", "-r", "range=0,1", "rescale=0,1", f"parameters={conditions}", *maps)
        _grass("r.out.bin", "-f", "input=surface", f"output={self._work / 'surface.bin'}", "bytes=4", "--overwrite")
        surface = np.fromfile(self._work / "surface.bin", "<f4").reshape(self._rows, -1)
        return np.stack([solve(_REFLECTANCES, row.astype(np.float64)) for row in surface], axis=1)


def _grass(*command: str) -> None:
    subprocess.run([*command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def solve(toa: NDArray[np.float64], surface: NDArray[np.float64]) -> tuple[float, float, float]:
    """Path reflectance p, transmittance t and spherical albedo s, of which 6S makes `surface`: y / (1 + s y) with
    y = (toa - p) / t.

    As surface = (a toa + b) / (1 + c toa) it is linear in a, b and c. i.atcorr cuts surface at 1; toa below the path
    reflectance it corrects with less of that, so that surface rises in teeth up to there.
    """
    first = int(np.flatnonzero(np.diff(surface) < 0).max(initial=-1)) + 1
    used = (np.arange(len(toa)) >= first) & (surface > 0.02) & (surface < 0.98)
    x, rho = toa[used], surface[used]
    a, b, c = np.linalg.lstsq(np.stack([x, np.ones_like(x), -rho * x], axis=1), rho, rcond=None)[0]
    path, albedo = -b / a, c / a
    transmittance = (1 - albedo * b) / a
    y = (x - path) / transmittance
    worst = float(np.abs(y / (1 + albedo * y) - rho).max())
    if not worst < 1e-6:
        raise ValueError(f"i.atcorr does not do what this script believes: {worst}")
    return path, transmittance, albedo


def scattering(corrector: Corrector, band: int) -> dict[str, NDArray[np.float64]]:
    """Without gases: path and transmittance (sun, view, aerosol, elevation)."""
    found = np.empty((3, len(SUN), len(VIEW), len(AEROSOL), len(ELEVATION)))
    for (i, sun), (j, view), (k, aerosol) in _nodes(SUN, VIEW, AEROSOL):
        found[:, i, j, k] = corrector.coefficients(sun=sun, view=view, aerosol=aerosol, gases="0", band=band)
    return {"path": found[0], "transmittance": found[1]}


def course(corrector: Corrector, band: int) -> dict[str, NDArray[np.float64]]:
    """The same for one view at many elevations: path and transmittance (sun, aerosol, elevation), and the albedo, which
    knows of no geometry (aerosol, elevation)."""
    found = np.empty((3, len(COURSE_SUN), len(AEROSOL), len(COURSE)))
    for (i, sun), (k, aerosol) in _nodes(COURSE_SUN, AEROSOL):
        found[:, i, k] = corrector.coefficients(sun=sun, view=float(VIEW[1]), aerosol=aerosol, gases="0", band=band)
    return {"path_course": found[0], "transmittance_course": found[1], "albedo_course": found[2, 0]}


def gases(corrector: Corrector, band: int) -> dict[str, NDArray[np.float64]]:
    """Transmittance of water vapour with the gases that are always there (air mass, water, elevation), and of ozone
    (air mass, ozone, elevation)."""
    clear = np.stack([_under_air_mass(corrector, band, mass)[1] for mass in AIR_MASS])
    water, ozone = (np.empty((len(AIR_MASS), len(nodes), len(GAS_ELEVATION))) for nodes in (WATER, OZONE))
    for (i, mass), (j, amount) in _nodes(AIR_MASS, WATER):
        water[i, j] = _under_air_mass(corrector, band, mass, gases=f"8\n{amount!r} 0")[1] / clear[i]
    for (i, mass), (j, amount) in _nodes(AIR_MASS, OZONE):
        ozone[i, j] = _under_air_mass(corrector, band, mass, gases=f"8\n0 {amount!r}")[1] / clear[i] / water[i, 0]
    return {"water_transmittance": water, "ozone_transmittance": ozone}


def ozone_before(
    corrector: Corrector, band: int, without: NDArray[np.float64], ozone: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """What ozone leaves of the path's reflectance by molecules and by aerosol (air mass, ozone, elevation).

    Within a band it absorbs most at one end and the path reflects most at another, so it is not ozone's transmittance,
    unless it absorbs nothing there. `without`: the transmittance of the gases that are always there (air mass,
    elevation); `ozone`: ozone's own (air mass, ozone, elevation).
    """

    def paths(air_mass: float, model: str) -> NDArray[np.float64]:
        clean, hazy = (
            _under_air_mass(corrector, band, air_mass, gases=model, aerosol=haze)[0] for haze in (0.0, _HAZE)
        )
        return np.stack([clean, hazy - clean])

    found = np.stack([ozone, ozone])
    if ozone.min() < _TRANSPARENT:
        for i, mass in enumerate(AIR_MASS.tolist()):
            clear = paths(mass, "0") * without[i]
            for j, amount in enumerate(OZONE.tolist()):
                found[:, i, j] = paths(mass, f"8\n0 {amount!r}") / clear
    return {"ozone_before_molecules": found[0], "ozone_before_aerosol": found[1]}


def _under_air_mass(
    corrector: Corrector, band: int, air_mass: float, *, gases: str = "0", aerosol: float = 0.0
) -> NDArray[np.float64]:
    sun = float(np.degrees(np.arccos(1 / (air_mass - 1))))
    return corrector.coefficients(sun=sun, view=0.0, aerosol=aerosol, gases=gases, band=band)


def _nodes(*axes: NDArray[np.float64]) -> Iterable[Sequence[tuple[int, float]]]:
    return product(*[list(enumerate(axis.tolist())) for axis in axes])


def main(work: Path, tables: Path) -> None:
    for sensor, bands in SENSORS.items():
        for band in bands.values():
            kept = work / f"band-{band}.npz"
            if not kept.exists():
                partial = work / "partial.npz"
                arrays: dict[str, Any] = scattering(Corrector(work, ELEVATION), band)
                arrays |= course(Corrector(work, COURSE), band)
                corrector = Corrector(work, GAS_ELEVATION)
                arrays |= gases(corrector, band)
                arrays |= ozone_before(
                    corrector, band, arrays["water_transmittance"][:, 0], arrays["ozone_transmittance"]
                )
                np.savez(partial, **arrays)
                partial.rename(kept)
                print(f"{sensor}: band {band}", flush=True)
        _pack(sensor, bands, work, tables)


def _fit(elevation: NDArray[np.float64]) -> NDArray[np.float64]:
    """(GAS_ELEVATION, elevation): from values at some elevations to those of the polynomial that fits them best, of as
    many terms as can be told."""
    terms = min(len(elevation), len(GAS_ELEVATION))
    found: NDArray[np.float64] = np.vander(GAS_ELEVATION, terms) @ np.linalg.pinv(np.vander(elevation, terms))
    return found


def _smooth(values: NDArray[np.float64], along: NDArray[np.float64]) -> NDArray[np.float64]:
    """(bands, sun, view, aerosol, GAS_ELEVATION): `values` at ELEVATION, freed of the steps on which these happen to lie.
    How far off they are for that hardly depends on the view, and smoothly on the sun: `along`, at COURSE_SUN and COURSE."""
    middle = len(COURSE) // 2
    off = along @ _fit(COURSE).T - along[..., [0, middle, -1]] @ _fit(ELEVATION).T
    by_sun = np.vander(SUN, len(COURSE_SUN)) @ np.linalg.inv(np.vander(COURSE_SUN))
    found: NDArray[np.float64] = values @ _fit(ELEVATION).T + np.einsum("sf,bfae->bsae", by_sun, off)[:, :, None]
    return found


def _pack(sensor: str, bands: dict[str, int], work: Path, tables: Path) -> None:
    """Writes the table of a sensor: the nodes, and each quantity with the bands first, at the gases' elevations."""
    found = [np.load(work / f"band-{band}.npz") for band in bands.values()]
    arrays: dict[str, Any] = {name: np.stack([band[name] for band in found]) for name in found[0].files}
    albedo, *along = (arrays.pop(f"{name}_course") for name in ("albedo", "path", "transmittance"))
    arrays["path"] = _smooth(arrays["path"], along[0])
    arrays["transmittance"] = np.exp(_smooth(np.log(arrays["transmittance"]), np.log(along[1])))
    arrays["albedo"] = albedo @ _fit(COURSE).T
    arrays = {name: values.astype("<f4") for name, values in arrays.items()}
    arrays |= {"sun": SUN, "view": VIEW, "aerosol": AEROSOL, "elevation": GAS_ELEVATION}
    arrays |= {"bands": np.array(list(bands)), "air_mass": AIR_MASS, "water": WATER, "ozone": OZONE}
    np.savez_compressed(tables / f"{sensor}.npz", **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
