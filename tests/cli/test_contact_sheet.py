"""The demo's pictures side by side."""

from __future__ import annotations

from pathlib import Path

from swath.cli.contact_sheet import write_contact_sheet
from tests.cli.conftest import require


def test_four_pictures_make_two_rows(tmp_path: Path) -> None:
    """Three beside each other, the fourth below; wide, high and transparent ones keep their proportions."""
    require("PIL")
    from PIL import Image

    pictures = []
    for name, shape in (("a", (900, 300)), ("b", (100, 800)), ("c", (50, 50)), ("d", (400, 400))):
        Image.new("RGBA", shape, (0, 128, 0, 200)).save(tmp_path / f"{name}.png")
        pictures.append((name, tmp_path / f"{name}.png"))
    sheet = write_contact_sheet(pictures, tmp_path / "overview.png")
    assert sheet is not None
    with Image.open(sheet) as made:
        width, height = made.size
    assert width > 3 * 360
    assert 2 * 360 < height < 3 * 360


def test_no_pictures_make_no_sheet(tmp_path: Path) -> None:
    """Nothing is written."""
    assert write_contact_sheet([], tmp_path / "overview.png") is None
    assert not (tmp_path / "overview.png").exists()
