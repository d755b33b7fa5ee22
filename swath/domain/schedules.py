"""Jobs that recur: what is wanted, and what became of each fire time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from urllib.parse import quote


class Overlap(StrEnum):
    """What to do at a fire time while the run before has not ended."""

    SKIP = "skip"
    QUEUE = "queue"  # submit the job, to start once the one before has ended
    CANCEL = "cancel"  # the same, and cancel the one before


class CatchUp(StrEnum):
    """What to do about fire times at which nothing was there to fire."""

    LAST = "last"  # run the last of them
    ALL = "all"
    NONE = "none"


class Outcome(StrEnum):
    """What became of a fire time."""

    SUBMITTED = "SUBMITTED"
    SKIPPED = "SKIPPED"  # the run before had not ended
    MISSED = "MISSED"  # nobody was there, and it was not to be caught up
    REFUSED = "REFUSED"  # the job could not have run


@dataclass(frozen=True, kw_only=True, slots=True)
class Firing:
    """What is due of a schedule."""

    at: datetime  # the fire time, UTC
    missed: bool  # not to be run any more
    message: str | None  # about fire times before `at` that were missed
    next_at: datetime | None  # the fire time to look at next


SCHEDULE_LABEL = "schedule"  # of each job that a schedule submits, with the schedule's name
_SUBSTITUTED = ("name", "inputs", "parameters", "labels")


def fill_in(document: Mapping[str, Any], at: datetime, local: datetime) -> dict[str, Any]:
    """The job document for the fire time `at`: {date} is its date in the schedule's time zone (`local` is `at` there), {time}
    the whole time in UTC.

    Only in the texts of `name`, `inputs`, `parameters`, `labels` and the array's items, and nothing but these two words.
    """
    plain = {"{date}": f"{local:%Y-%m-%d}", "{time}": f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"}
    words = plain | {quote(word): text for word, text in plain.items()}  # as a URL of a local path has them
    filled = {name: _fill(value, words) if name in _SUBSTITUTED else value for name, value in document.items()}
    array = document.get("array")
    if isinstance(array, Mapping) and array.get("items") is not None:
        filled["array"] = {**array, "items": _fill(array["items"], words)}
    return filled


def _fill(value: Any, words: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for word, text in words.items():
            value = value.replace(word, text)
        return value
    if isinstance(value, Mapping):
        return {name: _fill(entry, words) for name, entry in value.items()}
    return [_fill(entry, words) for entry in value] if isinstance(value, list | tuple) else value
