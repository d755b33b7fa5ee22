"""Exit codes that scripts can use: one table, shown by `swath --help` and in docs/cli.md."""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType

from swath.cli.engine import EngineError
from swath.domain import errors


class Exit(IntEnum):
    """How a command ends."""

    OK = 0
    JOB_FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    UNREACHABLE = 5
    JOB_CANCELLED = 6
    SICK = 7
    FAULT = 8
    TIMED_OUT = 9
    REJECTED = 10
    BUILD_FAILED = 11
    INTERRUPTED = 130


MEANINGS = MappingProxyType(
    {
        Exit.OK: "done; a job that was waited for has succeeded",
        Exit.JOB_FAILED: "the job that was waited for has failed",
        Exit.USAGE: "the command line, or a document that it names, is wrong; the cluster was not asked to do anything",
        Exit.NOT_FOUND: "no such job, task, image, agent, output or file",
        Exit.REFUSED: "the request was refused, by the cluster or by you; saying it again changes nothing",
        Exit.UNREACHABLE: "the cluster does not answer or cannot serve now; trying again may help",
        Exit.JOB_CANCELLED: "the job that was waited for was cancelled",
        Exit.SICK: "`swath doctor` found something sick, or `swath up` did not become ready",
        Exit.FAULT: "a fault in swath itself; SWATH_DEBUG=1 shows where",
        Exit.TIMED_OUT: "what was waited for has not ended within --timeout",
        Exit.REJECTED: "the image version that was pushed did not pass its verification",
        Exit.BUILD_FAILED: "an image could not be built or pushed; Docker's own words stand above",
        Exit.INTERRUPTED: "interrupted by Ctrl-C; what was waited for goes on",
    }
)

JOB_EXITS = MappingProxyType(
    {"SUCCEEDED": Exit.OK, "FAILED": Exit.JOB_FAILED, "CANCELLED": Exit.JOB_CANCELLED},
)


class NotReadyError(errors.InternalError):
    """A cluster that was started did not become ready."""


def exit_for(error: Exception) -> Exit:
    """The exit code of an error that was expected; FAULT for any other."""
    if isinstance(error, errors.NotFoundError):
        return Exit.NOT_FOUND
    if isinstance(error, errors.InvalidInputError) and error.document is None:  # nobody was asked
        return Exit.USAGE
    if isinstance(error, errors.UserError):
        return Exit.REFUSED
    if isinstance(error, errors.RegistryError):
        return Exit.UNREACHABLE if error.passing else Exit.REFUSED
    if isinstance(error, NotReadyError):
        return Exit.SICK
    if isinstance(error, EngineError):
        return Exit.BUILD_FAILED
    if isinstance(error, errors.InternalError):
        return Exit.UNREACHABLE
    if isinstance(error, UnicodeEncodeError):  # a word in bytes that are no UTF-8, which no document can hold
        return Exit.USAGE
    if isinstance(error, TimeoutError):
        return Exit.TIMED_OUT
    # A file of the user's: there is no such directory, or it may not be written.
    return Exit.NOT_FOUND if isinstance(error, OSError) and error.filename else Exit.FAULT


def table() -> str:
    """The table as text for a terminal."""
    return "\n".join(f"{code.value:>4}  {meaning}" for code, meaning in MEANINGS.items())
