"""Where an attempt's files are on this machine.

<sandbox>/attempts/<attempt>/          stdout and stderr, which stay; and tmp, inputs, output, which do not
<outputs_root>/<job>/<task>/.<attempt>.partial/   only where outputs are declared: `out`, what the command writes, and
                                       `publish`, what becomes ...
<outputs_root>/<job>/<task>/<attempt>/ ... by one rename, the published outputs

Where the outputs root is an object store, `published` in the attempt's directory stands for the task's until its files are
there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from executor.events import Order
from executor.logs import STREAMS
from executor.trees import DIRECTORY, remove_tree


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """The directories of one attempt."""

    attempt_dir: Path
    output_dir: Path  # what the command knows as OUTPUT_DIR
    tmp: Path  # for the command's temporary files, so that they count against its disk
    scratch: (
        Path | None
    )  # beside the target, on its file system, so that one rename publishes; None: nothing to publish
    target: Path  # of the published outputs

    @classmethod
    def of(cls, order: Order, sandbox: Path) -> Places:
        """The directories of an order's attempt."""
        spec = order.spec
        attempt_dir = sandbox / "attempts" / spec.attempt
        remote = order.has_remote_outputs
        task_dir = attempt_dir / "published" if remote else Path(spec.outputs_root, spec.job, str(spec.task))
        scratch = task_dir / f".{spec.attempt}.partial" if order.has_outputs else None
        if order.is_light:  # the fewer directories, the more tasks a second
            output_dir = tmp = attempt_dir
        else:
            output_dir, tmp = scratch / "out" if scratch else attempt_dir / "output", attempt_dir / "tmp"
        target = task_dir / spec.attempt
        return cls(attempt_dir=attempt_dir, output_dir=output_dir, tmp=tmp, scratch=scratch, target=target)

    @property
    def inputs(self) -> Path:
        """For the directories that `multiple` inputs become."""
        return self.attempt_dir / "inputs"

    @property
    def written(self) -> list[Path]:
        """The directories that the command fills, none below another."""
        apart = self.scratch is not None and not self.scratch.is_relative_to(self.attempt_dir)
        return [self.attempt_dir, self.scratch] if apart and self.scratch else [self.attempt_dir]

    def make(self) -> None:
        """Make them all; raises OSError. A directory of this attempt that exists already is an error: ids are used once."""
        try:
            self.attempt_dir.mkdir()
        except FileNotFoundError:
            self.attempt_dir.parent.mkdir(parents=True, exist_ok=True)
            self.attempt_dir.mkdir()
        if self.tmp != self.attempt_dir:
            self.tmp.mkdir()
        if self.scratch:
            self.scratch.parent.mkdir(parents=True, exist_ok=True)
            self.scratch.mkdir(mode=0o700)
        if self.output_dir != self.attempt_dir:
            self.output_dir.mkdir()

    def is_clean(self) -> bool:
        """True when nothing is there but logs."""
        return self.scratch is None and not self._leftovers()

    def clean(self) -> bool:
        """Remove what nobody needs once the attempt has ended; its logs stay. True when nothing is left."""
        gone = [remove_tree(path) for path in self._leftovers()]
        return all(gone) and (self.scratch is None or remove_tree(self.scratch))

    def _leftovers(self) -> list[Path]:
        """What is not a log. A command can put a link in its directory's place: that is left, and not what it leads to."""
        try:
            directory = os.open(self.attempt_dir, DIRECTORY)
        except FileNotFoundError:  # it was never made
            return []
        except OSError:
            return [self.attempt_dir]
        try:
            with os.scandir(directory) as entries:
                return [self.attempt_dir / entry.name for entry in entries if entry.name not in STREAMS]
        finally:
            os.close(directory)
