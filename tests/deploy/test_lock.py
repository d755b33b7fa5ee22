"""The application image installs what the project's lock names, and nothing else."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def packages(path):
    """Each package's version with its hashes."""
    found = re.findall(r"^([a-z0-9-]+==[^ ]+)[^\n]*((?:\n +--hash=[^\n]+)+)", path.read_text(), re.MULTILINE)
    return {version: frozenset(re.findall(r"sha256:\w+", hashes)) for version, hashes in found}


def test_the_images_locks_are_parts_of_the_projects():
    """Hashes too: where this fails, run deploy/lock.sh and images/eo-base/lock.sh."""
    project = packages(ROOT / "requirements.lock")
    for lock in ("deploy", "images/eo-base"):
        own = packages(ROOT / lock / "requirements.lock")
        assert own, lock
        assert {name: hashes for name, hashes in own.items() if project.get(name) != hashes} == {}, lock
    assert {"http-parser==0.9.0+swath", "pymesos==0.3.15"} <= packages(ROOT / "deploy" / "requirements.lock").keys()


def test_the_images_lock_has_a_hash_for_every_package():
    """And no address."""
    text = (ROOT / "deploy" / "requirements.lock").read_text()
    assert len(re.findall(r"^[a-z0-9-]+==.*\\\n +--hash=sha256:", text, re.MULTILINE)) == len(
        re.findall(r"^[a-z0-9-]+==", text, re.MULTILINE)
    )
    assert "://" not in text
