"""Images are built side by side out of one tree without taking anything away from each other."""

import os
import subprocess
from pathlib import Path

import pytest

BUILDING = Path(__file__).parents[2] / "images" / "base" / "building.sh"
# In the engine's place: it needs the bundle all the while, and reads it again and again.
ENGINE = """#!/usr/bin/env bash
for _ in {1..300}; do
    read -r line <"${!#}/build/ca-certificates.crt" && [ "$line" = trusted ] || { echo "the bundle is gone"; exit 3; }
done
case "$*" in *broken*) echo "it fails"; exit 4 ;; esac
"""


@pytest.fixture
def build(tmp_path):
    """Starts `docker_build` of one context, with a bundle to trust: `build("--tag", "x")`."""
    for folder in ("bin", "context"):
        (tmp_path / folder).mkdir()
    (tmp_path / "bin" / "docker").write_text(ENGINE)
    (tmp_path / "bin" / "docker").chmod(0o755)
    (tmp_path / "bundle.crt").write_text("trusted\n")
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    variables = {**os.environ, "PATH": path, "SSL_CERT_FILE": str(tmp_path / "bundle.crt")}
    script = f'set -euo pipefail; . "{BUILDING}"; docker_build "{tmp_path / "context"}" "$@"; echo built'

    def start(*arguments):
        command = ["bash", "-c", script, "build", *arguments]
        return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start


def test_builds_at_once_leave_each_other_the_bundle(build, tmp_path):
    """None ends while another still needs it; the last one leaves nothing behind."""
    running = [build("--tag", str(number)) for number in range(6)]
    assert [one.communicate() for one in running] == [("built\n", "")] * 6
    assert list((tmp_path / "context").iterdir()) == []


def test_a_build_that_fails_ends_the_script_and_lets_the_next_begin(build):
    """With what the engine said."""
    failed = build("--tag", "broken")
    assert failed.communicate() == ("", "it fails\n")
    assert failed.returncode == 4
    assert build("--tag", "next").communicate() == ("built\n", "")
