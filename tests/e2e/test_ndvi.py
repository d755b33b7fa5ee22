"""The first processing job, end to end: REST api -> database -> framework -> executor -> command -> official outputs."""

import json
from datetime import datetime

import pytest
import rasterio

from swath.domain.errors import CannotRunError, InvalidInputError
from tests.e2e.jobs import (
    all_scenes,
    assert_undisturbed,
    bolzano,
    direct_mean_ndvi,
    direct_means,
    ended,
    killed_once,
    submitted,
)

pytestmark = pytest.mark.data


def test_the_bolzano_scene_becomes_the_ndvi_that_numpy_computes(laptop, data_folder, tmp_path):
    """The mean in the statistics equals the direct computation, and the map that users download has it too."""
    expected = direct_mean_ndvi(bolzano(data_folder))
    job = ended(laptop, submitted(laptop, [bolzano(data_folder)]))
    assert job["state"] == "SUCCEEDED", job
    outputs = list(laptop.client.outputs(job["id"]))
    statistics = next(entry for entry in outputs if entry["path"] == "statistics.json")
    laptop.client.download(statistics, tmp_path / "statistics.json")
    assert json.loads((tmp_path / "statistics.json").read_text())["mean"] == pytest.approx(expected, abs=1e-6)
    cog = next(entry for entry in outputs if entry["path"].endswith(".tif"))
    laptop.client.download(cog, tmp_path / "ndvi.tif")
    with rasterio.open(tmp_path / "ndvi.tif") as written:
        ndvi = written.read(1, masked=True)
        assert written.crs.to_epsg() == 32632
        assert written.overviews(1)
    assert float(ndvi.mean()) == pytest.approx(expected, abs=1e-5)


def test_logs_attempts_and_events_tell_the_story(laptop, data_folder):
    """Stdout can be read afterwards, the attempt is listed, and the history ends with the job's success."""
    job_id = submitted(laptop, [bolzano(data_folder)])
    ended(laptop, job_id)
    assert "progress" in "".join(laptop.client.log(job_id, 0, "stdout"))
    (attempt,) = laptop.client.attempts(job_id, 0)
    assert (attempt["state"], attempt["runtime"], attempt["exit_code"]) == ("SUCCEEDED", "process", 0)
    shown = laptop.swath("show", job_id, "--json")
    assert json.loads(shown.stdout)["state"] == "SUCCEEDED"


def test_a_scene_without_the_bands_fails_with_the_manifests_own_error(laptop, data_folder):
    """Exit code, error name and cause DATA; no second attempt, for another run would end the same way."""
    blue = next(data_folder.glob("s2-l2a-33TWM-5-dates/*/B02.tif"))
    job = ended(laptop, submitted(laptop, [blue]))
    assert job["state"] == "FAILED"
    (task,) = laptop.client.tasks(job["id"])
    (attempt,) = laptop.client.attempts(job["id"], 0)
    assert task["cause"] == attempt["cause"] == "DATA"
    assert attempt["error"]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"image": "nothing:9.9.9"}, "/image"),
        ({"parameters": {"COLOUR": "red"}}, "/parameters/COLOUR"),
        ({"resources": {"mem": 900_000}}, "/resources"),
        ({"array": {"over": "SCENE", "items": [{"href": "file:///no/such/scene.tif"}]}}, "/array/items/0"),
    ],
)
def test_a_job_that_can_never_run_is_refused_at_once(laptop, data_folder, change, path):
    """The reason names the field; nothing is stored."""
    document = {"image": "ndvi", "array": {"over": "SCENE", "items": [{"href": bolzano(data_folder).as_uri()}]}}
    with pytest.raises((CannotRunError, InvalidInputError)) as caught:
        laptop.client.submit({**document, **change})
    assert any(problem.path.startswith(path) for problem in caught.value.problems), caught.value.problems


@pytest.mark.parametrize("moment", ["running", "succeeded"])
@pytest.mark.parametrize("victim", ["api", "scheduler", "executor", "local"])
def test_kill_minus_9_while_the_job_runs_changes_nothing_about_its_results(laptop, data_folder, victim, moment):
    """Six scenes, one victim, as the first task starts and as others are at work: every mean is the direct computation's."""
    job_id = submitted(laptop, all_scenes(data_folder), max_running=2)
    killed, job = killed_once(laptop, job_id, victim, moment)
    assert datetime.fromisoformat(job["ended_at"]) > killed
    assert_undisturbed(laptop, job, direct_means(data_folder))
    if victim == "api":  # which no task needs
        assert all(len(laptop.client.attempts(job_id, index)) == 1 for index in range(6))
