"""The scenes to measure on are what they say: one real scene repeated, in two formats."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from benchmarks import large_scenes


def test_both_formats_hold_the_same_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JPEG2000 is lossless; made once; where there are no sample scenes, of spyndex's."""
    monkeypatch.setenv("SWATH_BENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("SWATH_TEST_DATA", str(tmp_path / "nothing"))
    cog, jp2 = large_scenes.cog_scene(700), large_scenes.jp2_scene(700)
    with rasterio.open(cog / "B04.tif") as one, rasterio.open(jp2 / "B04.jp2") as other:
        values = one.read(1)
        assert np.array_equal(values, other.read(1))
        assert np.array_equal(values[300:600, :300], values[:300, 300:600])
        assert (one.crs, one.transform, one.overviews(1)) == (other.crs, other.transform, [2])
    assert large_scenes.cog_scene(700) == cog
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cog-700", "jp2-700"]
