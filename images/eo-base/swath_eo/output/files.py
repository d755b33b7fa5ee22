"""Files that are there when they are complete, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from swath_eo.errors import OutputError


@contextmanager
def open_output(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which has its name when the block has ended; of a block that fails nothing is left, and what was there
    before stays. Raises OutputError."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error}") from error
    finally:
        with suppress(OSError):
            partial.unlink()
