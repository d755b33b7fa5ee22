"""The notebook of docs/ runs, and what it makes is what the image makes."""

import nbformat
import pytest
from nbclient import NotebookClient

from tests.images.scenes import BOLZANO, ROOT

NOTEBOOK = ROOT / "docs" / "notebooks" / "processing.ipynb"
AS_A_JOB = {"bands": "B04,B03,B02,B08", "bbox": "11.30,46.47,11.35,46.50"}


@pytest.mark.data
@pytest.mark.timeout(900)
def test_a_notebook_and_a_job_make_the_same_file(data_folder, tmp_path, monkeypatch, run_subset):
    """To the byte; and the notebook that is committed holds no outputs."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    monkeypatch.setenv("SCENE", str(data_folder / BOLZANO))
    client = NotebookClient(notebook, timeout=500, startup_timeout=500, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    job = run_subset(scene=data_folder / BOLZANO, **AS_A_JOB, crs="EPSG:3035", resolution=10, resampling="cubic")
    assert (tmp_path / "subset.tif").read_bytes() == (job.output / "subset.tif").read_bytes()
    assert 0 < float(notebook.cells[-1].outputs[-1].data["text/plain"]) < 1
