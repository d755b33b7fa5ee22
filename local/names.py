"""What Mesos accepts as an id, a role, a FrameworkInfo; each check returns the text of the refusal or None."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from local.statuses import has_capability

Json = dict[str, Any]
_LONGEST_DURATION_S = 2**63 / 1e9  # a Duration is a signed 64 bit number of nanoseconds


def find_id_problem(identifier: str) -> str | None:
    """Ids: 1 to 255 characters, no '/', no control characters, not '.' or '..' (surprise 42)."""
    if not identifier:
        return "ID must not be empty"
    if len(identifier.encode()) > 255:
        return "ID must not be greater than 255 characters"
    if identifier in (".", ".."):
        return f"'{identifier}' is disallowed"
    if any(char in "/\\" or ord(char) < 32 or ord(char) == 127 for char in identifier):
        return f"'{identifier}' contains invalid characters"
    return None


def find_role_problem(role: str) -> str | None:
    if role == "*":
        return None
    if not role:
        return "Empty role name is invalid"
    for part in role.split("/"):
        if part in (".", ".."):
            return f"Role '{role}' cannot include '{part}' as a component"
        if part.startswith("-"):
            return f"Role component '{part}' is invalid because it starts with a dash"
        if any(char in "\t\n\r\v\f\b " for char in part):
            return f"Role component '{part}' is invalid because it contains backspace or whitespace"
        if not part or part == "*":
            return f"Role '{role}' is invalid"
    return None


def find_framework_problem(info: Json) -> str | None:
    """FrameworkInfo of a SUBSCRIBE: refusals are 200 + ERROR event, not 4xx (surprise 33)."""
    roles: Sequence[str] = info.get("roles", ())
    if has_capability(info, "MULTI_ROLE"):
        if "role" in info:
            return "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable"
    elif roles:
        return "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable"
    twice = list(dict.fromkeys(role for role in roles if roles.count(role) > 1))
    if twice:
        return f"'FrameworkInfo.roles' contains duplicate items: {{ {', '.join(twice)} }}"
    for role in roles:
        problem = find_role_problem(role)
        if problem:
            return f"'FrameworkInfo.roles' contains invalid role: {problem}"
    if "id" in info:
        problem = find_id_problem(info["id"]["value"])
        if problem:
            return problem
    timeout = info.get("failover_timeout", 0.0)
    if abs(timeout) > _LONGEST_DURATION_S:
        return f"The framework failover_timeout ({timeout:g}) is invalid"
    return None


def find_suppressed_problem(roles: Sequence[str], suppressed: Sequence[str]) -> str | None:
    unknown = [role for role in suppressed if role not in roles]
    if unknown:
        return f"Suppressed roles {{ {', '.join(unknown)} }} are not contained in the set of roles"
    return None


def find_framework_change_problem(old: Json, new: Json) -> str | None:
    """UPDATE_FRAMEWORK may not change these (SUBSCRIBE ignores such changes in silence, surprise 34)."""
    for name in ("user", "checkpoint"):
        before, after = _show(old.get(name, False)), _show(new.get(name, False))
        if before != after:
            change = f"attempted to update from '{before}' to '{after}'"
            return f"Updating 'FrameworkInfo.{name}' is unsupported; {change}"
    if old.get("principal") != new.get("principal"):
        return "Changing framework's principal is not allowed."
    return find_framework_problem(new)


def _show(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
