"""The log: one line an event on stderr, ours and the libraries', for people or as JSON; and nothing secret in it."""

from __future__ import annotations

import logging
import sys
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from swath.domain.rights import TOKEN_TEXT

HIDDEN = "[token]"


class _Hider:
    """The last step before a line is written: whatever an exception quotes, no token is in it."""

    def __init__(self, render: Processor, secret: str) -> None:
        self._render = render
        self._secret = secret

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        line = str(self._render(logger, method, event)).replace(self._secret, HIDDEN)
        return TOKEN_TEXT.sub(HIDDEN, line)


def configure(log_format: Literal["json", "console"], *, secret: str, stream: TextIO | None = None) -> None:
    """Send our events, and of the libraries' only what went wrong, to `stream` (stderr); `secret` is the bearer token."""
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_make_renderers(log_format, secret),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("api").setLevel(logging.INFO)


def _make_renderers(log_format: Literal["json", "console"], secret: str) -> list[Processor]:
    """structlog's own choice for tracebacks shows the variables of every frame, and so the headers of the request."""
    if log_format == "json":
        return [structlog.processors.format_exc_info, _Hider(structlog.processors.JSONRenderer(), secret)]
    console = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    return [_Hider(console, secret)]
