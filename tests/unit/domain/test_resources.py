"""Resources: exact sums, and a clear no to what cannot be an amount."""

import pytest

from swath.domain.errors import InvalidInputError
from swath.domain.resources import Resources


def test_a_tenth_of_a_cpu_ten_times_is_one_cpu():
    """Fixed point: no crumbs of floating point remain."""
    tenth = Resources.from_document({"cpus": 0.1})
    assert tenth.scaled(10) == Resources(cpus_m=1000)
    assert tenth.count_in(Resources(cpus_m=1000)) == 10


def test_the_shortfall_names_each_resource_with_its_numbers():
    """A person reads what is missing and how much there is."""
    need, have = Resources(cpus_m=500, mem=64000), Resources(cpus_m=4000, mem=48000)
    assert need.shortfall(have) == "needs 64000 MiB memory, there is 48000"
    assert have.shortfall(have) is None


@pytest.mark.parametrize(
    ("document", "path", "message"),
    [
        ({"cpus": -1}, "/resources/cpus", "negative"),
        ({"mem": 1e300}, "/resources/mem", "absurdly"),
        ({"mem": 10**400}, "/resources/mem", "absurdly"),
        ({"mem": float("nan")}, "/resources/mem", "number"),
        ({"disk": "4"}, "/resources/disk", "number"),
        ({"disk": True}, "/resources/disk", "number"),
        ({"gpus": 0.5}, "/resources/gpus", "whole"),
        ({"cpus": 0.0001}, "/resources/cpus", "smallest"),
        ({"fpgas": 1}, "/resources/fpgas", "not a resource"),
    ],
)
def test_what_is_no_amount_is_refused_with_its_path(document, path, message):
    """The problem names the field and says what is wrong."""
    with pytest.raises(InvalidInputError) as caught:
        Resources.from_document(document)
    assert caught.value.problems[0].path == path
    assert message in caught.value.problems[0].message


def test_terabytes_are_taken_and_told_in_whole_figures():
    """1.5 TiB is an amount; what is beyond the bound is refused with it, and large figures are written out."""
    large = Resources.from_document({"mem": 1_572_864, "disk": 1_000_000_000})
    assert large.shortfall(Resources(mem=1_048_576, disk=1_000_000_000)) == (
        "needs 1572864 MiB memory, there is 1048576"
    )
    with pytest.raises(InvalidInputError, match="at most 1,000,000,000 MiB"):
        Resources.from_document({"disk": 1_000_000_001})


def test_memory_is_rounded_up_and_documents_come_back():
    """A part of a MiB costs a whole one; what is whole survives the round trip."""
    assert Resources.from_document({"mem": 10.2}).mem == 11
    amount = Resources(cpus_m=1250, mem=10, disk=7, gpus=1)
    assert Resources.from_document(amount.to_document()) == amount


def test_ports_and_custom_scalars_count_like_the_rest():
    """Sums, differences and fits see them; what comes to nothing is gone."""
    need = Resources.from_document({"cpus": 1, "ports": 2, "custom": {"licences": 1.5}})
    assert need.amounts() == {"cpus": 1000, "ports": 2, "licences": 1500}
    assert need + need - need == need
    assert (need - need) == Resources()
    assert need.count_in(need.scaled(3)) == 3
    assert not need.fits_in(Resources(cpus_m=9000, ports=9))
    assert need.shortfall(Resources(cpus_m=9000)) == "needs 2 ports, there is 0; needs 1.5 licences, there is 0"
    assert Resources.from_document(need.to_document()) == need == Resources.from_amounts(need.amounts())


def test_nothing_fits_where_a_custom_scalar_is_overdrawn():
    """An amount below zero has room for nothing, whatever is asked for."""
    assert not Resources().fits_in(Resources(custom=(("licences", -1),)))


@pytest.mark.parametrize(
    ("custom", "path"),
    [
        ({"cpus": 1}, "/resources/custom/cpus"),
        ({"no spaces": 1}, "/resources/custom/no spaces"),
        ({"x": -1}, "/resources/custom/x"),
        (["x"], "/resources/custom"),
        ({f"x{number}": 1 for number in range(21)}, "/resources/custom"),
    ],
)
def test_what_is_no_custom_scalar_is_refused_with_its_path(custom, path):
    """Names of the plain resources, strange names and strange amounts are not taken."""
    with pytest.raises(InvalidInputError) as caught:
        Resources.from_document({"custom": custom})
    assert caught.value.problems[0].path == path
