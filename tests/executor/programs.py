"""Images of this machine's own programs, for no registry is needed; and what the docker command says."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

PROGRAMS = ("sh", "cat", "head", "tail", "sleep", "ls", "id", "touch", "ln", "rm", "mkdir", "dd", "env")


def docker(*arguments: str) -> str:
    """What the docker command says."""
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def files_of(programs: tuple[str, ...]) -> dict[str, Path]:
    """Programs and the libraries that they load: path in the image -> path here."""
    files: dict[str, Path] = {}
    for name in programs:
        program = Path(shutil.which(name) or f"/bin/{name}")
        files[f"bin/{name}"] = program.resolve()
        loaded = subprocess.run(["ldd", str(program)], check=True, capture_output=True, text=True).stdout
        for library in re.findall(r"(/\S+) \(", loaded):
            files[library.lstrip("/")] = Path(library).resolve()
    return files


def pack(programs: tuple[str, ...]) -> bytes:
    """These programs as an archive."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, path in sorted(files_of(programs).items()):
            tar.add(path, arcname=name)
    return archive.getvalue()


def make_image(programs: tuple[str, ...]) -> str:
    """A new image with these programs and little else; its id."""
    imported = subprocess.run(["docker", "import", "-"], input=pack(programs), check=True, capture_output=True)
    return imported.stdout.decode().strip()
