"""Fails when requirements.lock does not answer pyproject.toml: resolves again, keeping the lock's versions, and compares."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def requirement_lines(text: str) -> list[str]:
    """The lock without comments, so that only names, versions and hashes count."""
    return [line.split("#")[0].strip() for line in text.splitlines() if line.split("#")[0].strip()]


def main() -> int:
    """Exit code 0: fresh; 1: stale."""
    lock = ROOT / "requirements.lock"
    # uv reads the paths in a lock from the lock's own folder, so the copy lies beside it.
    with tempfile.NamedTemporaryFile(dir=ROOT, prefix=".check-", suffix=".lock") as again:
        shutil.copy(lock, again.name)
        subprocess.run([ROOT / "vendor" / "lock.sh"], env={**os.environ, "SWATH_LOCK": again.name}, check=True)
        fresh = requirement_lines(Path(again.name).read_text()) == requirement_lines(lock.read_text())
    sys.stdout.write("the lock is fresh\n" if fresh else "requirements.lock is stale: run `make lock` and commit it\n")
    return 0 if fresh else 1


if __name__ == "__main__":
    sys.exit(main())
