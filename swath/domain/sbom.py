"""Which packages an image holds, as its bill of materials says: SPDX 2 and CycloneDX, both as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swath.domain.errors import InvalidInputError

MOST_PACKAGES = 20_000
_LONGEST = 255


def read_packages(document: Mapping[str, Any]) -> dict[str, str]:
    """Version by package name, in the order of names; of a package in several versions all of them, "1.2, 1.3".

    Raises InvalidInputError for what is neither SPDX nor CycloneDX.
    """
    if "spdxVersion" in document:
        entries, version = document.get("packages", []), "versionInfo"
    elif document.get("bomFormat") == "CycloneDX":
        entries, version = document.get("components", []), "version"
    else:
        raise InvalidInputError.at("", "is neither an SPDX document nor one of CycloneDX")
    if not isinstance(entries, list) or len(entries) > MOST_PACKAGES:
        raise InvalidInputError.at("", f"must hold a list of at most {MOST_PACKAGES:,} packages")
    found: dict[str, set[str]] = {}
    for entry in entries:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
            raise InvalidInputError.at("", "holds a package without a name")
        found.setdefault(entry["name"][:_LONGEST], set()).add(str(entry.get(version) or "")[:_LONGEST])
    return {name: ", ".join(sorted(filter(None, found[name]))) for name in sorted(found)}
