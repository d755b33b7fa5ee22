"""Options and arguments that several commands share, and how a client is opened."""

from __future__ import annotations

import os
import re
from typing import Annotated

import typer

from swath.cli.var import Var
from swath.client import Client
from swath.domain.errors import InternalError, InvalidInputError, NotFoundError
from swath.domain.schedules import SCHEDULE_LABEL

_NEWEST = 50  # jobs among which `last` looks for one of a person


def _or_above(ctx: typer.Context, wanted: bool) -> bool:
    """`swath --json agents list` and `swath agents --json list` mean the same as `swath agents list --json`."""
    above = ctx.parent
    while above is not None and not wanted:
        wanted, above = above.params.get("as_json") is True, above.parent
    return wanted


AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON on stdout and nothing else there.", callback=_or_above)
]
JobId = Annotated[
    str, typer.Argument(metavar="JOB", help="The job's id, or `last` for the newest that no schedule made.")
]
Index = Annotated[int, typer.Argument(metavar="[INDEX]", help="Index of the task in the job's array.", min=0)]
Limit = Annotated[int, typer.Option("--limit", "-n", help="Show at most so many.", min=1)]
Timeout = Annotated[
    float | None, typer.Option("--timeout", help="Stop waiting after so many seconds (exit code 9).", min=0)
]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def open_client() -> Client:
    """A client of the cluster in $SWATH_URL, $SWATH_VAR or ./var; raises InternalError where there is none."""
    if not os.environ.get("SWATH_URL"):
        _check_runs(Var.from_environment(os.environ))
    try:
        return Client()
    except (NotFoundError, OSError) as error:
        raise InternalError(str(error)) from error


def _check_runs(var: Var) -> None:
    """Raise InternalError unless the cluster's supervisor lives.

    Without it whoever has got the api's port since would be sent the token.
    """
    if not var.read_cluster() or var.find_supervisor():
        return
    if var.read_cluster().get("state") == "stopped":
        raise InternalError(f"the cluster in {var.root} is stopped: `swath up` starts it again")
    raise InternalError(f"the supervisor of the cluster in {var.root} is gone: `swath down; swath up` starts it anew")


def resolve_job(client: Client, job_id: str) -> str:
    """The id that is meant: `last` is the newest job that no schedule has submitted, if there is one among the newest."""
    if job_id != "last":
        return job_id
    newest = client.jobs(limit=_NEWEST)
    if not newest:
        raise NotFoundError("there is no job yet; `swath submit` makes one")
    return next((job for job in newest if SCHEDULE_LABEL not in job["labels"]), newest[0])["id"]


def parse_duration(text: str, option: str) -> float:
    """Seconds of "90", "90s", "5m", "2h" or "1d"; raises typer.BadParameter."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in _SECONDS else (text, "s")
    if not re.fullmatch(r"\d{1,9}(\.\d+)?", number, re.ASCII):
        raise typer.BadParameter(f"must look like 90, 5m or 1h, is {text!r}", param_hint=option)
    return float(number) * _SECONDS[unit]


def parse_pair(text: str, what: str) -> tuple[str, str]:
    """NAME=VALUE as two; raises InvalidInputError where the form is another."""
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise InvalidInputError.at(what, f"must look like NAME=VALUE, is {text!r}")
    return name, value
