"""Images of this machine's own programs, for no registry is needed; and what the docker command says."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import sysconfig
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


def pack(programs: tuple[str, ...], *, python: bool = False) -> bytes:
    """These programs as an archive, and what of Python a small program needs."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, path in sorted(files_of(programs).items()):
            tar.add(path, arcname=name)
        if python:
            _add_python(tar)
    return archive.getvalue()


def _add_python(tar: tarfile.TarFile) -> None:
    """This interpreter in its place, which it finds its library by."""
    program, library = Path(sys.executable).resolve(), Path(sysconfig.get_paths()["stdlib"])
    for path in {program, *files_of((str(program),)).values()}:
        tar.add(path, arcname=str(path))
    for name in ("encodings", "collections", "json", "re", "importlib", "lib-dynload"):
        tar.add(library / name)
    for path in library.glob("*.py"):
        tar.add(path)
    link = tarfile.TarInfo("bin/python3")
    link.type, link.linkname = tarfile.SYMTYPE, str(program)
    tar.addfile(link)


def make_image(programs: tuple[str, ...], *changes: str, python: bool = False) -> str:
    """A new image with these programs and little else, changed by instructions of a Dockerfile; its id."""
    words = [word for change in changes for word in ("--change", change)]
    packed = pack(programs, python=python)
    imported = subprocess.run(["docker", "import", *words, "-"], input=packed, check=True, capture_output=True)
    return imported.stdout.decode().strip()
