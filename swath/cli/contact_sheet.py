"""The demo's pictures side by side in one."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_SIDE, _GAP, _CAPTION = 360, 12, 22  # pixels
_COLUMNS = 3
_COLOURS = 128  # the maps have a palette of few: a quarter of the bytes


def write_contact_sheet(pictures: Sequence[tuple[str, Path]], target: Path) -> Path | None:
    """Write (caption, PNG) pairs as one picture; None where there is none, or Pillow, which the images bring, is missing."""
    if not pictures:
        return None
    try:
        image, draw = importlib.import_module("PIL.Image"), importlib.import_module("PIL.ImageDraw")
    except ImportError:
        return None
    columns = min(_COLUMNS, len(pictures))
    rows = -(-len(pictures) // columns)
    step_x, step_y = _SIDE + _GAP, _SIDE + _CAPTION + _GAP
    sheet = image.new("RGB", (columns * step_x + _GAP, rows * step_y + _GAP), "white")
    pen = draw.Draw(sheet)
    for position, (caption, path) in enumerate(pictures):
        left = _GAP + position % columns * step_x
        top = _GAP + position // columns * step_y
        _paste(image, sheet, path, left, top)
        pen.text((left, top + _SIDE + 4), caption, fill="black")
    sheet.quantize(_COLOURS).save(target, optimize=True)
    return target


def _paste(image: Any, sheet: Any, path: Path, left: int, top: int) -> None:
    """One picture into its square, in its own proportions, transparent parts white."""
    with image.open(path) as opened:
        picture = opened.convert("RGBA")
    picture.thumbnail((_SIDE, _SIDE))
    sheet.paste(picture, (left + (_SIDE - picture.width) // 2, top + (_SIDE - picture.height) // 2), picture)
