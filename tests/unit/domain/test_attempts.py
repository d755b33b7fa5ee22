"""What executor and scheduler say to each other, also when one of them is newer, and when a task has lied to its executor."""

import json
from dataclasses import fields
from datetime import UTC, datetime

import pytest

from swath.domain.attempts import AttemptReport, AttemptSpec, ImageSource, OutputFile
from swath.domain.errors import InvalidInputError
from swath.domain.retries import Cause

REPORT = AttemptReport(
    sandbox="/agent/sandbox",
    runtime="docker",
    warnings=["memory limit is not enforced"],
    cause=Cause.APP,
    exit_code=3,
    error="NO_CRS",
    message="no CRS",
    output_dir="/outputs/x",
    outputs=[OutputFile(name="ndvi", path="ndvi.tif", size=12, media_type="image/tiff", sha256="0" * 64)],
    json_outputs={"mean": 0.5, "cells": [1, None, "x"]},
    usage={"wall_s": 1.5, "max_mem": 12},
    started_at=datetime(2026, 1, 1, tzinfo=UTC).isoformat(),
    ended_at="2026-01-01T00:00:01.5Z",
)


def a_spec(**image) -> str:
    """The document of an attempt's specification."""
    spec = AttemptSpec(
        attempt="a",
        job="j",
        task=0,
        number=1,
        name="n",
        image=ImageSource(name="ndvi", version="1.0.0"),
        manifest={},
        timeout_s=60,
        outputs_root="/outputs",
    )
    document = json.loads(spec.to_json())
    return json.dumps({**document, "image": {**document["image"], **image}, "later": 1})


def test_a_report_comes_back_as_it_was_said():
    """Every field has its value, and every field is checked."""
    assert {entry.name for entry in fields(REPORT) if not getattr(REPORT, entry.name)} == set()
    assert AttemptReport.from_json(REPORT.to_json()) == REPORT


def test_an_empty_report_says_nothing():
    """Without a field, or with null in it, its default stands."""
    assert AttemptReport.from_json("{}") == AttemptReport()
    assert AttemptReport.from_json(json.dumps({entry.name: None for entry in fields(REPORT)})) == AttemptReport()


def test_a_newer_executors_report_is_read():
    """Unknown fields are ignored at every level and an unknown cause is none: the outputs are not lost by an update."""
    newer = {"cause": "COSMIC_RAY", "later": 1, "outputs": [{"name": "x", "path": "x.tif", "size": 1, "blake3": "0"}]}

    report = AttemptReport.from_json(json.dumps(newer))

    assert report == AttemptReport(outputs=[OutputFile(name="x", path="x.tif", size=1)])


def test_a_newer_schedulers_order_is_read():
    """Unknown fields of the image are ignored as well."""
    spec = AttemptSpec.from_json(a_spec(signature="x"))

    assert spec.image == ImageSource(name="ndvi", version="1.0.0")


@pytest.mark.parametrize(
    "said",
    [
        '{"outputs": [{"name": "x", "path": "x.tif", "size": 1, "sha256": "0"}]}',
        '{"exit_code": 2147483648}',
        '{"exit_code": "1"}',
        '{"exit_code": true}',
        '{"message": 5}',
        '{"sandbox": ["x"]}',
        '{"cause": {}}',
        '{"warnings": "x"}',
        '{"warnings": [1]}',
        '{"outputs": {"a": 1}}',
        '{"outputs": [{"name": "x", "path": "x"}]}',
        '{"outputs": [{"name": "x", "path": "x", "size": -1}]}',
        '{"outputs": [{"name": "x", "path": 3, "size": 1}]}',
        '{"json_outputs": []}',
        '{"json_outputs": {"mean": NaN}}',
        '{"json_outputs": {"mean": 1e400}}',
        '{"usage": {"wall_s": "long"}}',
        '{"usage": {"wall_s": -Infinity}}',
        '{"json_outputs": ' + '{"a":' * 200 + "1" + "}" * 201,
        '{"json_outputs": {"a": ' + "[" * 100_000 + "]" * 100_000 + "}}",
        "[]",
        "null",
        "{",
        b"\xff\xfe\xff",
    ],
    ids=lambda said: str(said)[:50],
)
def test_what_no_database_could_hold_is_no_report(said):
    """A report with an impossible value is refused as a whole, before it gets near a transaction."""
    with pytest.raises(InvalidInputError, match="is no AttemptReport"):
        AttemptReport.from_json(said)


@pytest.mark.parametrize("said", ["yesterday", "2026-01-01T00:00:00", "0001-01-01T00:00:00+14:00", ""])
def test_a_time_that_makes_no_sense_is_left_out(said):
    """An executor's broken clock costs the time, not the report."""
    report = AttemptReport.from_json(json.dumps({"started_at": said, "message": "fine"}))

    assert (report.started_at, report.message) == (None, "fine")
