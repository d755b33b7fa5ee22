"""As whom a container runs: never as root, unless the site allows that to images."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from typing import Any

NOBODY = "10001:10001"  # for an image without a user of its own
LEAST_UID = 1000  # below are the system's accounts: nobody's who submits jobs


def choose_user(image: Mapping[str, Any], submitter: str | None, *, allow_root: bool) -> str | None:
    """ "uid:gid", or None for the image's own user.

    An executor that is not root could not remove what somebody else's container has written, so all run as its own user. Else
    it is the submitter's account on this machine, where there is one; else the image's own user, unless that is root.
    """
    if os.geteuid() != 0:
        return f"{os.geteuid()}:{os.getegid()}"
    if submitter and (account := find_account(submitter)):
        return account
    user = str((image.get("Config") or {}).get("User") or "")
    is_root = user.partition(":")[0] in ("", "0", "root")
    return NOBODY if is_root and not allow_root else None


def find_account(name: str) -> str | None:
    """ "uid:gid" of a person's account on this machine."""
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError):  # the latter for a name with a NUL
        return None
    return f"{entry.pw_uid}:{entry.pw_gid}" if entry.pw_uid >= LEAST_UID and entry.pw_name != "nobody" else None
