"""What the trial of an image version runs, and what its outputs mean."""

import json
from pathlib import Path

import pytest

from swath.domain.manifest import Manifest
from swath.domain.trial import find_command, find_missing, to_trial
from tests.executor.build import a_manifest, an_output

ROOT = Path(__file__).parents[3]
NDVI = json.loads((ROOT / "images/ndvi/seed.manifest.json").read_text())
TAKES_NOTHING = {"job": {"interface": {"command": "run"}}}
SMOKE = {"smoke_test": ["python", "-c", "print('$HOME; ok')"]}


def test_the_smoke_test_takes_the_place_of_command_and_inputs():
    """A manifest of Seed's own form, with the image's resources, errors and time-out; its words are quoted."""
    trial = Manifest.from_json(to_trial(NDVI, SMOKE))
    job, before = trial.job, Manifest.from_json(NDVI).job
    assert job.interface.command == """python -c 'print('"'"'$HOME; ok'"'"')'"""
    assert trial.check_binding({}, {}) == trial.check_settings({}) == []
    assert (job.resources, job.timeout, job.errors) == (before.resources, before.timeout, before.errors)
    assert {entry.name for entry in job.interface.outputs.files} == {
        entry.name for entry in before.interface.outputs.files
    }
    assert not any(entry.required for entry in (*job.interface.outputs.files, *job.interface.outputs.json_))


@pytest.mark.parametrize(
    ("manifest", "swath_manifest", "command"),
    [
        (TAKES_NOTHING, None, "run"),
        (TAKES_NOTHING, {"smoke_test": None}, "run"),
        (a_manifest("run"), None, None),
        (a_manifest("run"), {"smoke_test": ["a", "b c"]}, "a 'b c'"),
        (NDVI, None, None),
    ],
)
def test_an_image_without_a_smoke_test_runs_its_command_where_that_takes_nothing(manifest, swath_manifest, command):
    """Else there is nothing that could be tried."""
    assert find_command(manifest, swath_manifest) == command


def test_what_a_smoke_test_leaves_has_to_be_whole():
    """Nothing is fine, all that is required too; a part is not."""
    manifest = a_manifest(
        "run",
        outputs=[an_output(), {"name": "MORE", "pattern": "*", "required": False}, {"name": "MAP", "pattern": "*.tif"}],
    )
    assert find_missing(manifest, set()) == find_missing(manifest, {"RESULT", "MAP"}) == []
    assert find_missing(manifest, {"RESULT"}) == ["MAP"]
    assert find_missing(manifest, {"MORE"}) == ["RESULT", "MAP"]
