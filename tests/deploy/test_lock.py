"""The application image installs what the project's lock names, and nothing else."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def versions(path):
    return set(re.findall(r"^([a-z0-9-]+==[^ ]+)", path.read_text(), re.MULTILINE))


def test_the_images_lock_is_part_of_the_projects():
    """Made anew by deploy/lock.sh whenever that one changes."""
    own = versions(ROOT / "deploy" / "requirements.lock")
    assert {"http-parser==0.9.0+swath", "pymesos==0.3.15"} <= own
    assert own <= versions(ROOT / "requirements.lock")


def test_the_images_lock_has_a_hash_for_every_package():
    """And no address."""
    text = (ROOT / "deploy" / "requirements.lock").read_text()
    assert len(re.findall(r"^[a-z0-9-]+==.*\\\n +--hash=sha256:", text, re.MULTILINE)) == len(
        re.findall(r"^[a-z0-9-]+==", text, re.MULTILINE)
    )
    assert "://" not in text
