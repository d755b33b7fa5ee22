"""Where secrets lie as files: in a directory that nobody else has made."""

from __future__ import annotations

from pathlib import Path

import pytest

from executor.secret_files import SecretFiles


def test_secrets_are_not_written_where_somebody_else_reads_along(tmp_path: Path) -> None:
    """A directory that is open to others, or a link to one, was made by somebody else: nothing is written there."""
    open_one, link = tmp_path / "open", tmp_path / "link"
    open_one.mkdir()
    open_one.chmod(0o777)
    link.symlink_to(open_one)
    for root in (open_one, link):
        with pytest.raises(PermissionError):
            SecretFiles(root=root).write("a1", {"TOKEN": "x"})
    assert list(open_one.iterdir()) == []
    assert SecretFiles(root=tmp_path / "own").write("a1", {"TOKEN": "x"})["TOKEN"].read_text() == "x"
