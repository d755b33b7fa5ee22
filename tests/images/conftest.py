"""Fixtures of the images' tests."""

import pytest

from tests.images.scenes import Runner


@pytest.fixture
def run_ndvi(tmp_path, capsys):
    """Runs ndvi in this process: `run_ndvi(scene=...)`."""
    return Runner(tmp_path, capsys)


@pytest.fixture
def run_bands(tmp_path, capsys):
    """Runs bands in this process: `run_bands(scene=..., index="NDVI")`."""
    return Runner(tmp_path, capsys, "bands")


@pytest.fixture
def run_composite(tmp_path, capsys):
    """Runs composite in this process: `run_composite("--scenes", a, b, method="mean")`."""
    return Runner(tmp_path, capsys, "composite")


@pytest.fixture
def run_subset(tmp_path, capsys):
    """Runs subset in this process: `run_subset(scene=..., bbox=...)`."""
    return Runner(tmp_path, capsys, "subset")


@pytest.fixture
def run_mosaic(tmp_path, capsys):
    """Runs mosaic in this process: `run_mosaic(a, b, method="mean")`."""
    runner = Runner(tmp_path, capsys, "mosaic")
    return lambda *scenes, **options: runner("--scenes", *scenes, **options)
