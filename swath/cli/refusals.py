"""What is said when a command could not do what it was told: a message for people, or a problem document for programs.

A problem document has the fields of the API's (RFC 9457), and the exit code. It is one line on stderr, the last one: stdout
holds what was asked for, or nothing.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

from swath.answers import PROBLEM_TYPE
from swath.cli.console import err, say
from swath.cli.exits import Exit, exit_for
from swath.domain.complaints import to_complaint
from swath.domain.errors import InvalidInputError, Problem, SwathError

# What the API says of its own refusals in `type`, `title` and `status`, for those of the command line.
_KINDS = MappingProxyType(
    {
        Exit.USAGE: ("usage", "The command line is wrong", 400),
        Exit.NOT_FOUND: ("not-found", "Not found", 404),
        Exit.REFUSED: ("refused", "Refused", 400),
        Exit.UNREACHABLE: ("unreachable", "The cluster does not answer", 503),
        Exit.SICK: ("not-ready", "The cluster is not ready", 503),
        Exit.FAULT: ("internal", "A fault in swath", 500),
        Exit.BUILD_FAILED: ("build-failed", "The image was not built or pushed", 500),
        Exit.TIMED_OUT: ("timed-out", "It has not ended in time", 504),
    }
)


def is_usage_error(error: Exception) -> bool:
    """True for what typer itself shows; its class has moved between versions, its attribute has not."""
    return hasattr(error, "exit_code") and hasattr(error, "format_message")


def put_in_our_words(error: Any) -> None:
    """Typer lets pydantic look at values, and shows what that says."""
    entries = getattr(error.__cause__, "errors", None)
    if callable(entries):
        error.message = " or ".join(to_complaint(entry) for entry in entries())


def report(error: Exception, *, as_json: bool, instance: str = "swath") -> int:
    """Say what went wrong and return the exit code; `instance` is the command."""
    code = Exit.USAGE if is_usage_error(error) else exit_for(error)
    if code is Exit.FAULT and os.environ.get("SWATH_DEBUG"):
        raise error
    if as_json:
        sys.stderr.write(json.dumps(to_document(error, code, instance)) + "\n")
    elif isinstance(error, InvalidInputError) and error.problems:
        _say_error("the command line is wrong" if error.document is None else "the request was refused")
        for problem in error.problems:
            say(f"  {problem.path or 'request'}: {problem.message}")
    else:
        _say_error(_detail(error, code))
    return int(code)


def to_document(error: Exception, code: Exit, instance: str) -> dict[str, Any]:
    """The problem document: the service's own where it was the service that refused."""
    if isinstance(error, SwathError) and error.document:
        return {**error.document, "exit_code": int(code)}
    kind, title, status = _KINDS[code]
    document = {"type": PROBLEM_TYPE + kind, "title": title, "status": status}
    document |= {"detail": _detail(error, code), "instance": instance}
    found = [{"path": problem.path, "message": problem.message} for problem in _problems(error)]
    return {**document, **({"errors": found} if found else {}), "exit_code": int(code)}


def _problems(error: Any) -> Iterator[Problem]:
    """What is wrong where; nothing where it is no matter of places."""
    if isinstance(error, InvalidInputError):
        yield from error.problems
    elif hint := getattr(error, "param_hint", None):
        yield Problem(str(hint), error.message)
    elif parameter := getattr(error, "param", None):
        yield Problem(max(parameter.opts, key=len), error.message or "is required")


def _detail(error: Any, code: Exit) -> str:
    if code is Exit.FAULT:
        return f"{type(error).__name__}: {error} (a fault in swath; SWATH_DEBUG=1 shows where)"
    if is_usage_error(error):
        return str(error.format_message())
    if isinstance(error, UnicodeEncodeError):
        return f"a word holds what is no UTF-8 text: {error.object[error.start : error.end]!r}"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {(error.strerror or str(error)).lower()}"
    return str(error)


def _say_error(text: str) -> None:
    err().print("[red]error:[/] ", end="")
    say(text)
