"""`python -m api`: serve the REST API until SIGTERM or SIGINT."""

from __future__ import annotations

import sys

USAGE_ERROR = 2

# httpx and structlog import these where they are installed, to colour terminals: 9 MB that a service has no use for.
for decoration in ("rich", "pygments"):
    sys.modules.setdefault(decoration, None)  # type: ignore[arg-type]  # "import of rich halted", an ImportError

import structlog  # noqa: E402
from pydantic import ValidationError  # noqa: E402

from api.app import create_app  # noqa: E402
from api.log_lines import configure  # noqa: E402
from api.server import Server  # noqa: E402
from api.settings import Settings  # noqa: E402
from swath.domain.complaints import to_settings  # noqa: E402
from swath.domain.errors import SwathError  # noqa: E402

log = structlog.get_logger("api")


def main() -> int:
    """Read the settings and serve; returns the exit code."""
    try:
        settings = Settings()  # type: ignore[call-arg]  # the environment gives the arguments
        configure(settings.log_format, secret=settings.read_token())
        app = create_app(settings)
    except ValidationError as error:
        print("\n".join(to_settings(error.errors(), "api")), file=sys.stderr)  # noqa: T201
        return USAGE_ERROR
    except (ValueError, SwathError) as error:
        print(f"api: {error}", file=sys.stderr)  # noqa: T201
        return USAGE_ERROR
    log.info("serving", host=settings.api_host, port=settings.api_port)
    Server(app, host=settings.api_host, port=settings.api_port).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
