"""JSON, as everything that passes between two processes: written and read each time, so that nobody shares an object."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

# No object holds itself: that is looked for nowhere, which halves the time.
to_text: Callable[[Any], str] = json.JSONEncoder(check_circular=False, separators=(",", ":")).encode
