"""What a run may leave in seed.outputs.json."""

import pytest

from swath.domain.manifest import Manifest
from swath.domain.resources import Resources
from swath.domain.run import environment, read_json_outputs

MANIFEST = Manifest.from_json(
    {
        "seedVersion": "1.0.0",
        "job": {
            "name": "statistics",
            "jobVersion": "1.0.0",
            "packageVersion": "1.0.0",
            "title": "Statistics",
            "description": "Numbers",
            "maintainer": {"name": "Ada", "email": "ada@example.org"},
            "timeout": 60,
            "interface": {"outputs": {"json": [{"name": "mean", "type": "number"}, {"name": "all", "type": "array"}]}},
        },
    }
)


def test_numbers_are_read():
    """Values of the declared types come by their names."""
    assert read_json_outputs(MANIFEST, '{"mean": 0.5, "all": [1, 2e3]}') == ({"mean": 0.5, "all": [1, 2000.0]}, [])


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400"])
@pytest.mark.parametrize("document", ['{"mean": %s, "all": []}', '{"mean": 1, "all": [%s]}'])
def test_what_is_no_number_is_a_problem_of_the_run(document, number):
    """The mean of nothing is NaN in Python and no JSON: the run has not kept its promise, and nothing of it is stored."""
    values, problems = read_json_outputs(MANIFEST, document % number)

    assert values == {}
    assert number in problems[0]


def test_absurd_nesting_is_a_problem_of_the_run():
    """A hundred thousand brackets end the reading with a sentence, not with the executor."""
    values, problems = read_json_outputs(MANIFEST, '{"mean": 1, "all": ' + "[" * 100_000 + "]" * 100_000 + "}")

    assert values == {}
    assert "levels" in problems[0]


def variables(ports=(), custom=(), parameters=None, mem=0):
    given = {"files": {}, "settings": {}, "output_dir": "/out", "parameters": parameters or {}}
    return environment(MANIFEST, **given, resources=Resources(mem=mem, custom=custom), ports=ports)


def test_a_run_sees_its_ports():
    """One by one, as other systems call them, and all together; without any there is no such variable."""
    seen = variables(ports=(31007, 31002))
    assert (seen["PORT0"], seen["PORT1"], seen["PORTS"], seen["SWATH_PORTS"]) == (
        "31007",
        "31002",
        *["31007,31002"] * 2,
    )
    assert not [name for name in variables() if "PORT" in name]


def test_what_the_image_calls_by_the_name_of_a_port_stays_what_it_is():
    """An input PORTS is the image's own; SWATH_PORTS tells the ports all the same."""
    seen = variables(ports=(31007,), parameters={"ports": "left"})
    assert (seen["PORTS"], seen["SWATH_PORTS"]) == ("left", "31007")


def test_a_run_sees_what_it_was_given_of_custom_scalars():
    """ "ALLOCATED_<RESOURCE> for each scalar"."""
    seen = variables(custom=(("tape-drives", 1500), ("x.y", 1000)))
    assert (seen["ALLOCATED_TAPE_DRIVES"], seen["ALLOCATED_X_Y"]) == ("1.5", "1")


def test_a_run_reads_terabytes_as_a_whole_number():
    """Not as 1.04858e+06, which few programs take for one."""
    assert variables(mem=1_048_576)["ALLOCATED_MEM"] == "1048576"
