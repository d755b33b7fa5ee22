"""Faults planted in our own code: what the judge has to catch."""

from __future__ import annotations

from tests.simulation.world import World

SABOTAGES: dict[str, type[World]] = {"": World}
