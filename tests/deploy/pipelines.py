"""deploy/ci as a forge runs it: the commands of its files, in a shell, with the variables that they ask for."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
GITHUB, GITLAB = "github-actions.yml", "gitlab-ci.yml"


def read_pipeline(name: str) -> dict[str, Any]:
    """The file; YAML 1.1 takes GitHub's `on` for a truth value."""
    document: dict[Any, Any] = yaml.safe_load((ROOT / "deploy/ci" / name).read_text())
    return {"on" if key is True else key: value for key, value in document.items()}


def commands(name: str) -> list[str]:
    """What the pipeline runs, in order, installations left out: that needs a package index."""
    document = read_pipeline(name)
    if name == GITHUB:
        found = [step["run"] for step in document["jobs"]["push"]["steps"] if "run" in step]
    else:
        found = [*document["processing-image"]["before_script"], *document["processing-image"]["script"]]
    return [command for command in found if not re.search(r"\b(pip|apk|venv)\b|^export PATH", command)]


def run(name: str, variables: Mapping[str, str], cwd: Path) -> tuple[int, str]:
    """(exit code, what was said) of the pipeline's commands, one after the other until one fails, as a forge does."""
    said = ""
    for command in commands(name):
        done = subprocess.run(
            ["sh", "-euc", command], env=dict(variables), cwd=cwd, capture_output=True, text=True, check=False
        )
        said += done.stdout + done.stderr
        if done.returncode:
            return done.returncode, said
    return 0, said
