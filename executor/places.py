"""Where an attempt's files are on this machine.

<sandbox>/attempts/<attempt>/          stdout and stderr, which stay; and tmp, inputs, output, which do not
<outputs_root>/<job>/<task>/.<attempt>.partial/   only where outputs are declared: `out`, what the command writes, and
                                       `publish`, what becomes ...
<outputs_root>/<job>/<task>/<attempt>/ ... by one rename, the published outputs
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from executor.events import Order
from swath.domain.ids import ALPHABET, ULID_LENGTH

_SCRATCH = re.compile(rf"\.(?P<attempt>[{ALPHABET}]{{{ULID_LENGTH}}})\.partial")


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """The directories of one attempt."""

    attempt_dir: Path
    output_dir: Path  # what the command knows as OUTPUT_DIR
    scratch: (
        Path | None
    )  # beside the target, on its file system, so that one rename publishes; None: nothing to publish
    target: Path  # of the published outputs

    @classmethod
    def of(cls, order: Order, sandbox: Path) -> Places:
        """The directories of an order's attempt."""
        spec, outputs = order.spec, order.manifest.job.interface.outputs
        attempt_dir = sandbox / "attempts" / spec.attempt
        task_dir = Path(spec.outputs_root) / spec.job / str(spec.task)
        scratch = task_dir / f".{spec.attempt}.partial" if outputs.files or outputs.json_ else None
        output_dir = scratch / "out" if scratch else attempt_dir / "output"
        return cls(attempt_dir=attempt_dir, output_dir=output_dir, scratch=scratch, target=task_dir / spec.attempt)

    @property
    def tmp(self) -> Path:
        """For the command's temporary files, so that they count against its disk."""
        return self.attempt_dir / "tmp"

    @property
    def inputs(self) -> Path:
        """For the directories that `multiple` inputs become."""
        return self.attempt_dir / "inputs"

    def make(self) -> None:
        """Make them all; raises OSError. A directory of this attempt that exists already is an error: ids are used once."""
        self.attempt_dir.mkdir(parents=True, mode=0o755)
        self.tmp.mkdir()
        if self.scratch:
            self.scratch.parent.mkdir(parents=True, exist_ok=True)
            self.scratch.mkdir(mode=0o700)
        self.output_dir.mkdir()

    def clean_empty(self) -> bool:
        """Remove what nobody needs once the attempt has ended, as far as it is empty; True when nothing is left to do."""
        done = True
        for path in self._passing():
            try:
                path.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                done = False
        return done

    def clean(self) -> None:
        """Remove what nobody needs once the attempt has ended; its logs stay until the agent collects the sandbox."""
        for path in self._passing():
            if path.exists():
                remove_tree(path)

    def _passing(self) -> list[Path]:
        paths = [self.tmp, self.inputs, self.attempt_dir / "output"]
        return [*paths, self.scratch] if self.scratch else paths


def remove_tree(path: Path) -> None:
    """Remove a directory and all below it, as far as that is allowed; links are removed, never followed."""
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():  # a command may take away its own permissions
        for directory in (path, *(entry for entry in path.rglob("*") if entry.is_dir() and not entry.is_symlink())):
            directory.chmod(0o700)
        shutil.rmtree(path, ignore_errors=True)


def is_scratch(path: Path, attempt: str) -> bool:
    """True for a directory that can only be the unpublished output of `attempt`."""
    match = _SCRATCH.fullmatch(path.name)
    return match is not None and match["attempt"] == attempt
