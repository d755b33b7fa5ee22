"""Secrets that a command wants as files: in memory, for as long as the attempt is there."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from executor.trees import remove_tree


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretFiles:
    """The files of one run of the executor, below a directory of a file system in memory."""

    root: Path  # this run's own

    def write(self, attempt: str, secrets: Mapping[str, str]) -> dict[str, Path]:
        """A file for each secret. Nobody else gets through the root; a container's user reads what is mounted from here."""
        if not secrets:
            return {}
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._check_own()
        directory = self.root / attempt
        directory.mkdir(mode=0o755)
        paths = {name: directory / name for name in secrets}
        for name, path in paths.items():
            path.touch(mode=0o600)
            path.write_text(secrets[name], encoding="utf-8")
            path.chmod(0o444)
        return paths

    def _check_own(self) -> None:
        """Everybody may make directories where it stands: raises OSError where somebody else has made it, to read along."""
        status = self.root.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise PermissionError(errno.EPERM, "somebody else has made the directory for secrets", str(self.root))

    def remove(self, attempt: str) -> None:
        """Those of an attempt that has ended, if it had any."""
        remove_tree(self.root / attempt)

    def remove_former(self, label: str) -> None:
        """Those that former runs of the executor `label` have left, where no guardian did."""
        for other in self.root.parent.glob(f"{prefix_of(label)}*"):
            if other != self.root:
                remove_tree(other)

    def close(self) -> None:
        """All of them."""
        remove_tree(self.root)


def prefix_of(label: str) -> str:
    """How the directories of an executor's runs begin."""
    return f"swath-{label}-"
