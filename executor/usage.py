"""How much disk an attempt uses."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_MIB = 2**20


def disk_mib(directories: Iterable[Path]) -> float:
    """MiB that all below the directories takes on disk; nothing is followed, and what vanishes meanwhile counts nothing."""
    return sum(_blocks(str(directory)) for directory in directories) * 512 / _MIB


def _blocks(directory: str) -> int:
    """Blocks of 512 bytes, so that a sparse file counts for what it holds."""
    total = 0
    pending = [directory]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    total += entry.stat(follow_symlinks=False).st_blocks
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
        except OSError:
            continue
    return total
