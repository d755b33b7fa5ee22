"""Which settings of a job come from secrets. A secret has a name, belongs to a project, and stands in no document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SHORTEST = 4  # characters: less cannot be masked in a log without spoiling it
LONGEST = 32 * 1024  # a variable takes no more than 128 KiB
MASK = b"********"


def split_settings(manifest: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """(settings with their values, settings with the names of their secrets).

    A setting that the manifest declares as secret takes the project's secret of its own name, unless the job names another one,
    {"secret": "NAME"}, as it may for any setting.
    """
    declared = ((manifest.get("job") or {}).get("interface") or {}).get("settings") or ()
    secrets = {entry["name"]: entry["name"] for entry in declared if entry.get("secret")}
    secrets |= {name: value["secret"] for name, value in given.items() if isinstance(value, Mapping)}
    plain = {name: value for name, value in given.items() if not isinstance(value, Mapping)}
    return plain, {name: secret for name, secret in secrets.items() if name not in plain}
