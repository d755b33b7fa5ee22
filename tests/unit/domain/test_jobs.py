"""Job documents, and how an element of the array becomes a task's inputs."""

import pytest

from swath.domain.errors import InvalidInputError
from swath.domain.jobs import JobSpec, bind_item, item_at, total_request
from swath.domain.resources import Resources
from swath.domain.retries import Cause, End

FILES = frozenset({"SCENE", "RED", "NIR"})


def a_job(**fields):
    return JobSpec.from_document({"image": "ndvi:1.0.0", **fields})


def test_the_document_comes_back_as_it_was():
    """What a user submitted is what a user is shown."""
    document = {"image": "ndvi:1.0.0", "array": {"over": "N", "range": [0, 3]}, "retry": {"on": {"DATA": "fail"}}}
    assert JobSpec.from_document(document).to_document() == document


def test_defaults_are_filled_in():
    """The image's name names the job; one task; the default project."""
    job = a_job()
    assert (job.name, job.size, job.project, job.retry.max_attempts) == ("ndvi", 1, "default", 3)


def test_a_range_gives_its_numbers_to_the_parameter():
    """Task i of [10, 20) gets 10 + i."""
    job = a_job(array={"over": "INDEX", "range": [10, 20]})
    assert bind_item(job, FILES, item_at(job, 3)).parameters == {"INDEX": 13}


def test_an_item_with_a_href_goes_to_the_input_that_the_array_is_over():
    """The scene reaches SCENE, with or without `{"item": true}`."""
    array = {"over": "SCENE", "items": [{"href": "file:///a"}]}
    for job in (a_job(array=array), a_job(array=array, inputs={"SCENE": {"item": True}})):
        assert bind_item(job, FILES, {"href": "file:///a"}).files == {"SCENE": ("file:///a",)}


def test_an_item_may_name_several_inputs():
    """Two files of one scene travel together."""
    item = {"RED": {"href": "file:///r"}, "NIR": {"href": "file:///n"}}
    job = a_job(array={"over": "RED", "items": [item]})
    assert bind_item(job, FILES, item).files == {"RED": ("file:///r",), "NIR": ("file:///n",)}


@pytest.mark.parametrize("item", ["file:///a", {"path": "a"}, {"href": 3}, None])
def test_an_item_of_another_form_is_refused(item):
    """The message shows the form that is wanted."""
    job = a_job(array={"over": "SCENE", "items": [item]})
    with pytest.raises(InvalidInputError, match="href"):
        bind_item(job, FILES, item)


@pytest.mark.parametrize("array", [{"over": "N"}, {"over": "N", "range": [3, 3]}, {"over": "N", "range": [0, 10**9]}])
def test_an_array_that_is_empty_or_absurd_is_refused(array):
    """Neither nothing nor a thousand million tasks."""
    with pytest.raises(InvalidInputError, match="/array"):
        a_job(array=array)


def test_an_unknown_cause_in_the_policy_is_refused():
    """The message lists the causes."""
    with pytest.raises(InvalidInputError, match="OOM"):
        a_job(retry={"on": {"BORED": "fail"}})


def test_the_jobs_figures_go_before_the_manifests():
    """What the job asks for replaces what the image suggests, resource by resource."""
    asked = total_request(Resources(cpus_m=1000, mem=100), {"mem": 200})
    assert asked == Resources(cpus_m=1000, mem=200)
    declared = Resources(ports=1, custom=(("licences", 1000), ("tape", 1000)))
    asked = total_request(declared, {"ports": 2, "custom": {"tape": 0, "fpgas": 0.5}})
    assert asked == Resources(ports=2, custom=(("fpgas", 500), ("licences", 1000)))


def test_a_policy_reads_reactions():
    """`grow_mem` and `cap` arrive."""
    job = a_job(retry={"on": {"OOM": {"grow_mem": 2, "cap": 16384}}})
    reaction = job.retry.reaction(End(cause=Cause.OOM))
    assert (reaction.grow_mem, reaction.cap) == (2, 16384)
