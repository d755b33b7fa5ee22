"""A damaged checkpoint: what can be read of it counts, and the agent starts."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from local.agent_checkpoint import replay
from local.journal import Journal

from .conftest import LocalProcess
from .scheduler_client import make_executor

AGENT = {"k": "agent", "id": "M-S0"}
FRAMEWORK = {"k": "framework", "info": {"id": {"value": "F"}, "checkpoint": True}}
EXECUTOR = {"k": "executor", "info": make_executor() | {"framework_id": {"value": "F"}}, "container": "C"}
FORKED = {"k": "forked", "container": "C", "pid": 4711, "mark": "m"}


def write(path: Path, *records: Any) -> Journal:
    """A journal of records; bytes stand for themselves."""
    lines = (r if isinstance(r, bytes) else json.dumps(r).encode() for r in records)
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return Journal(path)


@pytest.mark.parametrize(
    "damage",
    [b"\x00" * 100, b'{"k":"upd', b"\xff\xfe", b"[1, 2]", b"null", b"7", b'{"id": "x"}', b'{"k": 5}', b"[" * 100_000],
)
def test_a_damaged_line_is_skipped_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes) -> None:
    """Those around it count; the whole file is put aside for who wants to look."""
    journal = write(tmp_path / "journal.jsonl", AGENT, damage, FRAMEWORK)
    with caplog.at_level(logging.WARNING):
        assert journal.read() == [AGENT, FRAMEWORK]
    assert "1 line of" in caplog.text
    assert (tmp_path / "journal.damaged").read_bytes() == (tmp_path / "journal.jsonl").read_bytes()


def test_a_last_line_that_was_cut_is_no_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A kill may come within a write."""
    journal = write(tmp_path / "journal.jsonl", AGENT)
    with (tmp_path / "journal.jsonl").open("ab") as file:
        file.write(b'{"k":"fr')
    assert journal.read() == [AGENT]
    assert not caplog.records


@pytest.mark.parametrize(
    "record",
    [
        {"k": "framework"},
        {"k": "framework", "info": "x"},
        {"k": "executor", "info": {}, "container": "D"},
        {"k": "executor", "info": [], "container": "D"},
        {"k": "forked", "container": "gone", "pid": 1, "mark": "m"},
        {"k": "forked", "container": "C", "pid": "4711", "mark": "m"},
        {"k": "forked", "container": "C", "pid": -1, "mark": "m"},
        {"k": "forked", "container": "C", "pid": True, "mark": "m"},
        {"k": "task", "framework": "F", "info": {}, "container": "C"},
        {"k": "update", "framework": "F", "task": ["t"], "status": {}},
        {"k": "removed"},
    ],
)
def test_a_record_that_lacks_something_changes_nothing(record: dict[str, Any]) -> None:
    """The state is that of the others."""
    without = replay([AGENT, FRAMEWORK, EXECUTOR, FORKED])
    assert replay([AGENT, FRAMEWORK, EXECUTOR, record, FORKED]) == without
    assert without is not None
    assert without.executors["C"].pid == 4711


def test_local_starts_on_a_damaged_journal(local: LocalProcess) -> None:
    """And its agent keeps its id."""
    path = local.work_dir / "agent-0" / "meta" / "journal.jsonl"
    local.stop()
    before = json.loads(path.read_text().splitlines()[0])
    with path.open("ab") as file:
        file.write(b'\x00\xff\n{"k": 1}\n{"k":"forked","container":"x","pid":"?"}\n')
    local.start()
    assert json.loads(path.read_text().splitlines()[0]) == before
