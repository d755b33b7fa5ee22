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
    it is the submitter's account on this machine, where there is one; else the image's own user, by number and as nobody
    but itself: what a name means, and which groups it has, is said by files of the image's.
    """
    if os.geteuid() != 0:
        return f"{os.geteuid()}:{os.getegid()}"
    if submitter and (account := find_account(submitter)):
        return account
    if allow_root:
        return None
    user, _, group = str((image.get("Config") or {}).get("User") or "").partition(":")
    if not _is_plain(user):
        return NOBODY
    return f"{int(user)}:{int(group if _is_plain(group) else user)}"


def _is_plain(number: str) -> bool:
    """True for the number of a user or a group that is not root's."""
    return number.isascii() and number.isdecimal() and int(number) > 0


def find_account(name: str) -> str | None:
    """ "uid:gid" of a person's account on this machine."""
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError):  # the latter for a name with a NUL
        return None
    return f"{entry.pw_uid}:{entry.pw_gid}" if entry.pw_uid >= LEAST_UID and entry.pw_name != "nobody" else None
