"""Memory of the programs that combine bands, dates and tables: less than their manifests ask for, however large the scene is.

Those of ndvi, subset and mosaic stand with the other tests of theirs.
"""

from swath.domain.manifest import Manifest
from tests.images.scenes import ROOT, measured, write_large

BANDS = ("B02", "B03", "B04", "B08")


def most_mb(program):
    """450 MB, so that 600 hold for any number of bands, and no more than the manifest asks for."""
    manifest = Manifest.from_json((ROOT / "images" / program / "seed.manifest.json").read_text())
    return min(manifest.resources().mem * 1.048576, 450)


def test_indices_and_a_picture_take_no_more_for_a_large_scene(tmp_path):
    """Four bands of 6,000 x 6,000 pixels are 288 MB as they are read, and three results as many again."""
    scene = write_large(tmp_path / "x.tif", BANDS)
    options = ["--index=NDVI,EVI", "--view=natural", "--output", tmp_path]
    summary, peak_mb = measured("bands", "--scene", scene, *options)
    assert summary["files"] == ["bands.tif", "view.tif"]
    assert peak_mb < most_mb("bands")


def test_a_composite_takes_no_more_for_large_scenes_nor_for_many(tmp_path):
    """Twelve dates of 3,000 x 3,000 pixels in two bands are 432 MB as they are read."""
    dates = [
        write_large(tmp_path / f"S2A_33TWM_202308{day:02}_0_L2A.tif", ("B04", "B08"), 3000) for day in range(1, 13)
    ]
    summary, peak_mb = measured("composite", "--scenes", *dates, "--output", tmp_path)
    assert summary["status"] == "done"
    assert peak_mb < most_mb("composite")


def test_a_correction_takes_no_more_for_a_large_scene(tmp_path):
    """Four bands of 6,000 x 6,000 pixels, and a table for each."""
    scene = write_large(tmp_path / "x.tif", BANDS)
    seen = ["--sensor=sentinel-2a", "--sun-zenith=40", "--aerosol=0.1", "--elevation=0"]
    summary, peak_mb = measured("atmcor", "--scene", scene, *seen, "--output", tmp_path)
    assert summary["status"] == "done"
    assert peak_mb < most_mb("atmcor")
