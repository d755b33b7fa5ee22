"""6S by tables: what GRASS `i.atcorr` makes of any conditions, interpolated between those it was run for (pure).

6S takes a band's surface for uniform and gives four numbers for it: reflectance of the path, transmittance of scattering
and of gases, and the albedo of the sky seen from below. Scattering knows no gas, and gases know of the geometry only the
air mass, so a small table for each holds all conditions; images/atmcor/tables/README.md says how they are made and how
closely they follow i.atcorr.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from swath_eo.errors import AnglesError, BandMissingError, SensorError

Float64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """A sensor that i.atcorr 8.2 does not know, under the table of one that is like it."""

    table: str
    error: float  # of reflectance that this makes at most, as far as is known (images/atmcor/tables/README.md)


STAND_INS = {
    "sentinel-2c": StandIn(table="sentinel-2a", error=0.01),
    "landsat-9": StandIn(table="landsat-8", error=0.002),
}
SENSORS = ("sentinel-2a", "sentinel-2b", "sentinel-2c", "landsat-8", "landsat-9")
_BY_BAND = (
    *("path", "transmittance", "albedo", "water_transmittance", "ozone_transmittance"),
    *("ozone_before_molecules", "ozone_before_aerosol"),
)
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
    ozone_before_molecules: Float64  # (bands, air mass, ozone, elevation), what it leaves of the path by them
    ozone_before_aerosol: Float64  # (bands, air mass, ozone, elevation)

    def of(self, bands: tuple[str, ...]) -> Table:
        """The table of some bands, in that order. Raises BandMissingError."""
        missing = [band for band in bands if band not in self.bands]
        if missing:
            told = ", ".join(self.bands)
            raise BandMissingError(f"{self.sensor} has no table for {missing[0]}, only for {told}")
        rows = [self.bands.index(band) for band in bands]
        return Table(**{**vars(self), "bands": bands, **{name: getattr(self, name)[rows] for name in _BY_BAND}})


@cache
def load_table(sensor: str) -> Table:
    """The table of one of SENSORS, for some of which another's stands in. Raises SensorError."""
    if sensor not in SENSORS:
        raise SensorError(f"there is no table for {sensor}, only for {', '.join(SENSORS)}")
    if sensor in STAND_INS:
        return replace(load_table(STAND_INS[sensor].table), sensor=sensor)
    with (
        (resources.files("swath_eo.atmosphere") / "tables" / f"{sensor}.npz").open("rb") as file,
        np.load(file) as arrays,
    ):
        numbers = {name: arrays[name].astype(np.float64) for name in arrays.files if name != "bands"}
        return Table(sensor=sensor, bands=tuple(arrays["bands"].tolist()), **numbers)


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """What 6S says for places of known geometry, at the table's nodes. All begin with (places, bands).

    seen = molecules * ozone_before_molecules + haze * vapour_before_haze * ozone_before_haze
    light = scattering * vapour * ozone
    surface = (toa - seen) / (light + albedo * (toa - seen))
    """

    scattering: Float64  # (..., aerosol, elevation), transmittance down and up
    albedo: Float64  # (..., aerosol, elevation), of the sky seen from below
    molecules: Float64  # (..., 1, elevation), reflectance of the path by air without aerosol
    haze: Float64  # (..., aerosol, elevation), what aerosol adds to that
    vapour: Float64  # (..., water, elevation), transmittance down and up
    vapour_before_haze: Float64  # (..., water, elevation), of half of it; none lies above the molecules
    ozone: Float64  # (..., ozone, elevation), transmittance down and up
    ozone_before_molecules: Float64  # (..., ozone, elevation)
    ozone_before_haze: Float64  # (..., ozone, elevation)

    def with_water(self, here: Float64) -> Nodes:
        """Under one amount everywhere, by its weights."""
        vapour, before_haze = (_at(values, here) for values in (self.vapour, self.vapour_before_haze))
        return replace(self, scattering=self.scattering * vapour, haze=self.haze * before_haze)

    def with_ozone(self, here: Float64) -> Nodes:
        """Under one amount everywhere, by its weights."""
        ozone, before_molecules, before_haze = (
            _at(values, here) for values in (self.ozone, self.ozone_before_molecules, self.ozone_before_haze)
        )
        return replace(
            self,
            scattering=self.scattering * ozone,
            molecules=self.molecules * before_molecules,
            haze=self.haze * before_haze,
        )


def _at(values: Float64, here: Float64) -> Float64:
    """(places, bands, 1, elevation)."""
    found: Float64 = np.einsum("pbne,n->pbe", values, here)
    return found[:, :, None]


def interpolate(table: Table, *, sun: Float64, view: Float64) -> Nodes:
    """For places with a zenith of the sun (places) and of the view (places, bands), degrees.

    Each place's numbers depend on that place alone, to the bit. Raises AnglesError beyond the tables.
    """
    _check_within("the zenith of the sun", sun, table.sun)
    _check_within("the zenith of the view", view, table.view)
    where = np.einsum("ps,pbv->pbsv", weights(table.sun, sun), weights(table.view, view))
    path = np.einsum("pbsv,bsvae->pbae", where, table.path)
    scattering = np.exp(np.einsum("pbsv,bsvae->pbae", where, np.log(table.transmittance)))

    mass = weights(table.air_mass, 1 / np.cos(np.radians(sun))[:, None] + 1 / np.cos(np.radians(view)))
    ozone, before_molecules, before_haze = (
        np.einsum("pbm,bmoe->pboe", mass, values)
        for values in (table.ozone_transmittance, table.ozone_before_molecules, table.ozone_before_aerosol)
    )
    vapour = np.einsum("pbm,bmwe->pbwe", mass, table.water_transmittance)
    half = water_weights(table, _HALF * table.water)
    return Nodes(
        scattering=scattering,
        albedo=np.broadcast_to(table.albedo, scattering.shape),
        molecules=path[:, :, :1] * vapour[:, :, :1],
        haze=path - path[:, :, :1],
        vapour=vapour,
        vapour_before_haze=np.einsum("pbwe,hw->pbhe", vapour, half),
        ozone=ozone,
        ozone_before_molecules=before_molecules,
        ozone_before_haze=before_haze,
    )


def water_weights(table: Table, amount: Float64 | float) -> Float64:
    """How much each node of water vapour counts at an amount (g/cm2): absorption goes by its root."""
    return weights(np.sqrt(table.water), np.sqrt(amount))


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
