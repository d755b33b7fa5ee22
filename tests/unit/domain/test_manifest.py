"""The Seed manifest: the standard's examples pass, every error names its place, and a run sees what Seed promises."""

import json

import pytest

from swath.domain import run
from swath.domain.errors import InvalidInputError
from swath.domain.manifest import Manifest, SwathManifest
from swath.domain.resources import Resources


def a_document(**job):
    return {
        "seedVersion": "1.0.0",
        "job": {
            "name": "ndvi",
            "jobVersion": "1.0.0",
            "packageVersion": "1.0.0",
            "title": "NDVI",
            "description": "An index",
            "maintainer": {"name": "A", "email": "a@example.org"},
            "timeout": 60,
            **job,
        },
    }


def a_manifest(**interface):
    return Manifest.from_json(a_document(interface=interface))


def test_the_standards_examples_are_valid(seed_folder):
    """Both published examples read without a complaint."""
    for name in ("complete", "watermark"):
        text = (seed_folder / f"example-{name}.manifest.json").read_text().replace("SEED_VERSION", "1.0.0")
        assert Manifest.from_json(text).job.name


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"name": "a b"}, "/job/name"),
        ({"jobVersion": "1.0"}, "/job/jobVersion"),
        ({"timeout": "60"}, "/job/timeout"),
        ({"surprise": 1}, "/job/surprise"),
        ({"maintainer": {"name": "A"}}, "/job/maintainer/email"),
        ({"interface": {"inputs": {"files": [{"name": "a/b"}]}}}, "/job/interface/inputs/files/0/name"),
        ({"interface": {"inputs": {"json": [{"name": "a", "type": "date"}]}}}, "/job/interface/inputs/json/0/type"),
        ({"interface": {"mounts": [{"name": "a", "path": "/a", "mode": "x"}]}}, "/job/interface/mounts/0/mode"),
        ({"errors": [{"code": 1, "name": "a", "category": "user"}]}, "/job/errors/0/category"),
        ({"resources": {"scalar": [{"name": "mem", "value": float("nan")}]}}, "/job/resources/scalar/0/value"),
    ],
)
def test_every_error_names_its_place(change, path):
    """A JSON pointer leads to the field."""
    with pytest.raises(InvalidInputError) as caught:
        Manifest.from_json(a_document(**change))
    assert path in [problem.path for problem in caught.value.problems]


@pytest.mark.parametrize("text", ["", "[]", "nonsense", "null", '{"seedVersion": "2.0.0"}'])
def test_what_is_no_manifest_is_refused(text):
    """Whatever the bytes are, the error is ours."""
    with pytest.raises(InvalidInputError):
        Manifest.from_json(text)


def test_names_that_become_one_variable_are_refused():
    """`a-b` and `A_B` would overwrite each other."""
    inputs = {"files": [{"name": "a-b"}], "json": [{"name": "A_B", "type": "string"}]}
    with pytest.raises(InvalidInputError, match="A_B"):
        a_manifest(inputs=inputs)


def test_a_resource_of_another_name_is_a_custom_scalar():
    """Which some agent has to have: "a resource that the system does not know: the job is not run"."""
    scalar = [{"name": "fpgas", "value": 1.5, "inputMultiplier": 2.0}, {"name": "ports", "value": 2.0}]
    manifest = Manifest.from_json(a_document(resources={"scalar": scalar}))
    assert manifest.resources(10) == Resources(ports=2, custom=(("fpgas", 21_500),))


@pytest.mark.parametrize(("name", "value"), [("fpgas", -1.0), ("9lives", 1.0), ("gpus", 0.5), ("ports", 1.5)])
def test_an_amount_that_cannot_be_stops_the_job(name, value):
    """With the manifest's own path."""
    manifest = Manifest.from_json(a_document(resources={"scalar": [{"name": name, "value": value}]}))
    with pytest.raises(InvalidInputError, match=f"/job/resources/scalar.*{name}"):
        manifest.resources()


def test_a_multiplier_counts_the_inputs():
    """Total input MiB x multiplier + value."""
    scalar = [{"name": "disk", "value": 100.0, "inputMultiplier": 4.0}, {"name": "sharedMem", "value": 64.0}]
    manifest = Manifest.from_json(a_document(resources={"scalar": scalar}))
    assert manifest.resources(10) == Resources(disk=140)
    assert manifest.shared_mem == 64


def test_inputs_are_checked_by_name_number_and_type():
    """Unknown, missing, several where one is taken, and of the wrong type: each is said."""
    manifest = a_manifest(
        inputs={"files": [{"name": "SCENE"}, {"name": "DEM"}], "json": [{"name": "N", "type": "integer"}]}
    )
    problems = manifest.check_binding({"SCENE": ["a", "b"], "EXTRA": ["c"]}, {"N": True})
    assert [problem.path for problem in problems] == ["/inputs/EXTRA", "/inputs/DEM", "/inputs/SCENE", "/parameters/N"]


def test_a_run_sees_its_variables():
    """Upper-cased, dashes to underscores, JSON encoded; what is absent stays unset."""
    manifest = a_manifest(inputs={"files": [{"name": "in-file"}], "json": [{"name": "opts", "type": "object"}]})
    seen = run.environment(
        manifest,
        files={"in-file": "/in/a.tif"},
        parameters={"opts": {"a": 1}},
        settings={},
        resources=Resources(cpus_m=1500, mem=256, disk=10),
        output_dir="/out",
    )
    assert seen == {
        "IN_FILE": "/in/a.tif",
        "OPTS": '{"a": 1}',
        "OUTPUT_DIR": "/out",
        "ALLOCATED_CPUS": "1.5",
        "ALLOCATED_MEM": "256",
        "ALLOCATED_DISK": "10",
    }


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("run ${A}", ["run", "x y; rm -rf $HOME"]),
        ("run ${A/#/-d }", ["run", "-d", "x y; rm -rf $HOME"]),
        ("run ${A/#/--a=}", ["run", "--a=x y; rm -rf $HOME"]),
        ("run ${MISSING/#/-d } ${MISSING} end", ["run", "end"]),
        ("run 'two words' pre-${A}", ["run", "two words", "pre-x y; rm -rf $HOME"]),
        ("run $(id) `id` | tee", ["run", "$(id)", "`id`", "|", "tee"]),
    ],
)
def test_a_command_is_split_first_and_substituted_after(text, arguments):
    """No value adds an argument, and no shell ever sees the line."""
    assert run.command(a_manifest(command=text), {"A": "x y; rm -rf $HOME"}) == arguments


def test_outputs_are_matched_by_pattern():
    """One too many and one missing are problems; side-cars are no outputs."""
    manifest = a_manifest(
        outputs={"files": [{"name": "a", "pattern": "*.tif"}, {"name": "b", "pattern": "*.png"}]},
    )
    matched = run.match_outputs(manifest, {"1.tif": 1, "2.tif": 2, "1.tif.metadata.json": 3, "sub/x.png": 4})
    assert [problem.split(":")[0] for problem in matched.problems] == ["output a", "output b"]


def test_json_outputs_are_read_by_key_and_type():
    """A missing key and a wrong type are problems."""
    manifest = a_manifest(
        outputs={
            "json": [
                {"name": "mean", "type": "number"},
                {"name": "n", "key": "count", "type": "integer"},
                {"name": "absent", "type": "string", "required": False},
            ]
        }
    )
    assert run.read_json_outputs(manifest, json.dumps({"mean": 0.5, "count": 3})) == ({"mean": 0.5, "n": 3}, [])
    assert len(run.read_json_outputs(manifest, '{"mean": "high"}')[1]) == 2
    assert run.read_json_outputs(manifest, "{")[1]


def test_the_second_label_has_safe_defaults():
    """No network, not reusable; an unknown field is refused."""
    assert SwathManifest.from_json("{}").network == "none"
    with pytest.raises(InvalidInputError, match="/nettwork"):
        SwathManifest.from_json({"nettwork": "host"})
