"""Where the logs of attempts lie below the site's logs root, for those who write them and those who read them.

In a directory:

<job>/<thousand of its tasks>/<attempt>.part/    while they are shipped: as far as they have come
<job>/<thousand of its tasks>/<attempt>/         complete, by one rename; a stream without a file is empty

In an object store, which knows neither renames nor appending:

<job>/<thousand of its tasks>/<attempt>.part/<stream>.<offset>   while they are shipped: a piece, and where it begins
<job>/<thousand of its tasks>/<attempt>/<stream>                 complete, once the LAST of them is there
"""

from __future__ import annotations

_TOGETHER = 1000  # tasks whose attempts share a directory: none grows with a job's size
_DIGITS = 20  # of an offset, so that names have the order of what they name
PARTIAL = ".part"
LAST = "stdout"


def log_directory(job: str, task: int, attempt: str) -> str:
    """The directory of an attempt's complete logs, relative to the root."""
    return f"{job}/{task // _TOGETHER}/{attempt}"


def piece_name(stream: str, offset: int) -> str:
    """The piece of a log that begins there."""
    return f"{stream}.{offset:0{_DIGITS}}"


def read_piece_name(name: str) -> tuple[str, int] | None:
    """(stream, offset) of a piece; None for the name of anything else."""
    stream, _, offset = name.partition(".")
    return (stream, int(offset)) if len(offset) == _DIGITS and offset.isdecimal() and offset.isascii() else None
