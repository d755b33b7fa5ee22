"""What a run may leave in seed.outputs.json."""

import pytest

from swath.domain.manifest import Manifest
from swath.domain.run import read_json_outputs

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
