"""The notebook of docs/: running it, and the jobs that it names."""

import os
import subprocess

import nbformat
from nbclient import NotebookClient

from tests.images.scenes import BOLZANO, DATES, ROOT

NOTEBOOK = ROOT / "docs" / "notebooks" / "processing.ipynb"
SERVICES = ("subset", "bands", "composite", "mosaic")  # each leaves its service's raster, and names a job


def read_notebook():
    """As it is committed."""
    return nbformat.read(NOTEBOOK, as_version=4)


def run_notebook(data_folder, folder, patch):
    """Runs it in `folder` over real scenes, which it finds by variables; `patch` takes them away afterwards."""
    notebook = read_notebook()
    for name, place in _places(data_folder).items():
        patch.setenv(name, place)
    client = NotebookClient(notebook, timeout=500, startup_timeout=500, resources={"metadata": {"path": str(folder)}})
    client.execute()


def job_of(service, data_folder):
    """The words of the job that the notebook names for a service, after `swath submit`, as a shell reads them."""
    lines = (line for cell in read_notebook().cells for line in cell.source.splitlines())
    (command,) = (line for line in lines if line.startswith(f"    swath submit {service} "))
    words = command.removeprefix("    swath submit ")
    done = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {words}"],
        env={**os.environ, **_places(data_folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.rstrip("\0").split("\0")


def _places(data_folder):
    return {"SCENE": str(data_folder / BOLZANO), "DATES": str(data_folder / DATES)}
