"""Where the logs of attempts lie below the site's logs root, for those who write them and those who read them.

<job>/<thousand of its tasks>/<attempt>.part/    while they are shipped: as far as they have come
<job>/<thousand of its tasks>/<attempt>/         complete, by one rename; a stream without a file is empty
"""

from __future__ import annotations

_TOGETHER = 1000  # tasks whose attempts share a directory: none grows with a job's size
PARTIAL = ".part"


def log_directory(job: str, task: int, attempt: str) -> str:
    """The directory of an attempt's complete logs, relative to the root."""
    return f"{job}/{task // _TOGETHER}/{attempt}"
