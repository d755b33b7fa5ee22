"""The notebook of docs/ runs, and what it makes is what the images' programs make."""

import pytest

from tests.images.notebooks import SERVICES, job_of, read_notebook, run_notebook
from tests.images.scenes import Runner

pytestmark = [pytest.mark.data, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def made(data_folder, tmp_path_factory):
    """A directory with the files that the notebook makes."""
    folder = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        run_notebook(data_folder, folder, patch)
    return folder


def to_arguments(words):
    """What a program is told by the words of a job (`NAME=VALUE`), several values of a name behind it."""
    given = {}
    for word in words:
        name, _, value = word.partition("=")
        given.setdefault(f"--{name.lower().replace('_', '-')}", []).append(value)
    return [word for name, values in given.items() for word in (name, *values)]


def test_the_notebook_that_is_committed_holds_no_outputs():
    """Whoever reads it on a forge sees the code alone, and no diff is of pictures."""
    assert not any(cell.get("outputs") for cell in read_notebook().cells)


@pytest.mark.parametrize("service", SERVICES)
def test_a_notebook_and_a_program_make_the_same_file(made, data_folder, tmp_path, capsys, service):
    """To the byte, by the parameters of the job that the notebook names."""
    image, *words, last = job_of(service, data_folder)
    assert (image, last) == (service, "--wait")
    job = Runner(tmp_path, capsys, service)(*to_arguments(words))
    assert job.exit_code == 0, job.errors
    assert (made / f"{service}.tif").read_bytes() == (job.output / f"{service}.tif").read_bytes()
