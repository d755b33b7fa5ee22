"""6S by tables: what GRASS `i.atcorr` makes of any conditions, interpolated between those it was run for (pure).

6S takes a band's surface for uniform and gives four numbers for it: reflectance of the path, transmittance of scattering
and of gases, and the albedo of the sky seen from below. Scattering knows no gas, and gases know of the geometry only the
air mass, so a small table for each holds all conditions; images/atmcor/tables/README.md says how they are made and how
closely they follow i.atcorr.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from swath_eo.errors import AnglesError, BandMissingError, ParameterError, SensorError

Float64 = NDArray[np.float64]

SENSORS = ("sentinel-2a", "sentinel-2b", "landsat-8")
_HALF = 0.5  # of the water vapour lies above the aerosol, by 6S


@dataclass(frozen=True, kw_only=True)
class Table:
    """A sensor's tables over nodes between which a polynomial runs through all of them."""

    sensor: str
    bands: tuple[str, ...]
    sun: Float64  # zenith, degrees
    view: Float64  # zenith, degrees
    aerosol: Float64  # optical depth at 550 nm, continental
    elevation: Float64  # km
    air_mass: Float64  # 1 / cos(sun) + 1 / cos(view)
    water: Float64  # g/cm2
    ozone: Float64  # cm-atm
    path: Float64  # (bands, sun, view, aerosol, elevation)
    transmittance: Float64  # (bands, sun, view, aerosol, elevation), of scattering, down and up
    albedo: Float64  # (bands, aerosol, elevation)
    water_transmittance: Float64  # (bands, air mass, water, elevation), with the gases that are always there
    ozone_transmittance: Float64  # (bands, air mass, ozone, elevation)

    def of(self, bands: tuple[str, ...]) -> Table:
        """The table of some bands, in that order. Raises BandMissingError."""
        missing = [band for band in bands if band not in self.bands]
        if missing:
            told = ", ".join(self.bands)
            raise BandMissingError(f"{self.sensor} has no table for {missing[0]}, only for {told}")
        rows = [self.bands.index(band) for band in bands]
        quantities = ("path", "transmittance", "albedo", "water_transmittance", "ozone_transmittance")
        return Table(**{**vars(self), "bands": bands, **{name: getattr(self, name)[rows] for name in quantities}})


@cache
def load_table(sensor: str) -> Table:
    """The table of one of SENSORS. Raises SensorError."""
    if sensor not in SENSORS:
        raise SensorError(f"there is no table for {sensor}, only for {', '.join(SENSORS)}")
    with (
        (resources.files("swath_eo.atmosphere") / "tables" / f"{sensor}.npz").open("rb") as file,
        np.load(file) as arrays,
    ):
        numbers = {name: arrays[name].astype(np.float64) for name in arrays.files if name != "bands"}
        return Table(sensor=sensor, bands=tuple(arrays["bands"].tolist()), **numbers)


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """What 6S says for places of known geometry, at the table's nodes of aerosol and elevation.

    surface = y / (1 + albedo y) with y = gain toa - bias. All are (places, bands, aerosol, elevation).
    """

    gain: Float64
    bias: Float64
    albedo: Float64


def interpolate(table: Table, *, sun: Float64, view: Float64, water: float, ozone: float) -> Nodes:
    """For places with a zenith of the sun (places) and of the view (places, bands), degrees, under one amount of water
    vapour (g/cm2) and ozone (cm-atm).

    Each place's numbers depend on that place alone, to the bit. Raises AnglesError and ParameterError beyond the tables.
    """
    _check_within("the zenith of the sun", sun, table.sun)
    _check_within("the zenith of the view", view, table.view)
    for name, value, nodes in (("WATER", water, table.water), ("OZONE", ozone, table.ozone)):
        if not nodes[0] <= value <= nodes[-1]:
            raise ParameterError(f"{name} is {value:g}, not within {nodes[0]:g}..{nodes[-1]:g}")
    where = np.einsum("ps,pbv->pbsv", weights(table.sun, sun), weights(table.view, view))
    path = np.einsum("pbsv,bsvae->pbae", where, table.path)
    scattering = np.exp(np.einsum("pbsv,bsvae->pbae", where, np.log(table.transmittance)))

    mass = weights(table.air_mass, 1 / np.cos(np.radians(sun))[:, None] + 1 / np.cos(np.radians(view)))
    ozone_layer = np.einsum("pbm,bmoe,o->pbe", mass, table.ozone_transmittance, weights(table.ozone, ozone))

    def gases(amount: float) -> Float64:
        by_root = weights(np.sqrt(table.water), np.sqrt(amount))
        vapour = np.einsum("pbm,bmwe,w->pbe", mass, table.water_transmittance, by_root)
        both: Float64 = vapour * ozone_layer
        return both[:, :, None, :]

    molecules = path[:, :, :1]  # of air without aerosol: above the water vapour; aerosol has half of it above
    seen = molecules * gases(0.0) + (path - molecules) * gases(_HALF * water)
    gain = 1 / (scattering * gases(water))
    return Nodes(gain=gain, bias=gain * seen, albedo=np.broadcast_to(table.albedo, gain.shape))


def _check_within(what: str, angles: Float64, nodes: Float64) -> None:
    if not np.isfinite(angles).all():
        raise AnglesError(f"{what} is not known everywhere")
    if angles.size and not nodes[0] <= angles.min() <= angles.max() <= nodes[-1]:
        told = f"{angles.min():.1f} to {angles.max():.1f} degrees"
        raise AnglesError(f"{what} is {told}, and the tables hold {nodes[0]:g} to {nodes[-1]:g}")


def weights(nodes: Float64, where: Float64 | float) -> Float64:
    """(..., nodes): how much each node counts at `where`, for the polynomial that runs through all (Lagrange)."""
    x = np.asarray(where, dtype=np.float64)[..., None]
    found = np.ones((*x.shape[:-1], len(nodes)))
    for i, node in enumerate(nodes):
        for other in np.delete(nodes, i):
            found[..., i] *= (x[..., 0] - other) / (node - other)
    return found
