"""How programs are asked for clouds: the same words in all of them."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swath_eo.clouds.masking import QA_CLOUDS, SCL_CLOUDS, Clearing, parse_bits, parse_classes


def add_arguments(parser: ArgumentParser) -> None:
    """Of `to_clearing`, and the masks."""
    add = parser.add_argument
    add("--masks", type=Path, nargs="+", default=[], help="a mask (0: clear) for all, or one named after each scene")
    add("--classes", default=_listed(SCL_CLOUDS), help="of the scene classification: cloud; or none")
    add("--qa-bits", default=_listed(QA_CLOUDS), help="of Landsat's QA_PIXEL: cloud where one of them is set; or none")
    add("--probability", type=float, default=100.0, help="of cloud in percent; what is above is cloud")
    add("--dilation", type=float, default=0.0, help="metres by which clouds grow")


def to_clearing(given: Mapping[str, Any]) -> Clearing:
    """What is to count as cloud. Raises ParameterError."""
    return Clearing(
        classes=parse_classes(given["classes"]),
        bits=parse_bits(given["qa_bits"]),
        most_probability=given["probability"],
        dilation=given["dilation"],
    )


def _listed(numbers: frozenset[int]) -> str:
    return ",".join(map(str, sorted(numbers)))
