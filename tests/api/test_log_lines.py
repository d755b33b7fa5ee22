"""What the service writes into its log, and what never stands there."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Literal

import pytest
import structlog

from api.log_lines import HIDDEN, configure
from swath.domain.errors import StoreUnavailableError
from swath.domain.rights import to_token
from tests.api.serving import TOKEN, Api

Begin = Callable[[Literal["json", "console"]], io.StringIO]


@pytest.fixture
def begin() -> Iterator[Begin]:
    """A function that begins a log in a format; what was there before comes back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def begin(log_format: Literal["json", "console"]) -> io.StringIO:
        stream = io.StringIO()
        configure(log_format, secret=TOKEN, stream=stream)
        return stream

    yield begin
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("api").setLevel(logging.NOTSET)
    structlog.reset_defaults()


@pytest.mark.parametrize("log_format", ["console", "json"])
@pytest.mark.parametrize(("kind", "status"), [(ZeroDivisionError, 500), (StoreUnavailableError, 503)])
def test_a_fault_is_logged_without_secrets(
    api: Api,
    begin: Begin,
    monkeypatch: pytest.MonkeyPatch,
    log_format: Literal["json", "console"],
    kind: type[Exception],
    status: int,
) -> None:
    """Its traceback stands there, but no variable of any frame, and not the token even where the exception quotes it."""

    def fail(*_: object, **__: object) -> None:
        variable = "-".join(["a", "local", "variable"])
        quoted = f"broken by Bearer {TOKEN}"
        assert variable
        raise kind(quoted)

    monkeypatch.setattr("swath.store.api_store.jobs.list_jobs", fail)
    stream = begin(log_format)
    response = api.get("/v1/jobs")
    log = stream.getvalue()
    assert response.status_code == status
    assert f"broken by Bearer {HIDDEN}" in log
    assert "Traceback" in log
    for secret in (TOKEN, "a-local-variable", "authorization"):
        assert secret not in log
    if log_format == "json":
        assert [json.loads(line)["status"] for line in log.splitlines()] == [status]


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_the_libraries_log_in_the_same_form(begin: Begin, log_format: Literal["json", "console"]) -> None:
    """What went wrong in them, and the token is hidden there too; what went well is not written."""
    stream = begin(log_format)
    logging.getLogger("uvicorn.error").info("all is well")
    logging.getLogger("uvicorn.error").error("a broken header: %s", TOKEN)
    (line,) = stream.getvalue().splitlines()
    assert f"a broken header: {HIDDEN}" in line
    assert (log_format == "json") == line.startswith("{")


def test_a_start_is_logged(begin: Begin) -> None:
    """Our own news are written."""
    stream = begin("json")
    structlog.get_logger("api").info("serving", port=1)
    assert json.loads(stream.getvalue())["event"] == "serving"


def test_no_token_with_a_scope_stands_in_the_log(begin: Begin) -> None:
    """Whoever quotes it: such tokens are known by their form."""
    token = to_token("01JD0000000000000000000000", "s-e_c" * 8)
    stream = begin("json")
    structlog.get_logger("api").info("saw", header=f"Bearer {token}")
    assert "s-e_c" not in stream.getvalue()
    assert f"Bearer {HIDDEN}" in stream.getvalue()
