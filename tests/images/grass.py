"""GRASS as an oracle: one script of its commands, in a location that is gone afterwards."""

import subprocess
from pathlib import Path

import numpy as np


def put_map(folder: Path, name: str, values: np.ndarray) -> str:
    """The command that makes a map of an array: float32, or uint16 as whole numbers."""
    path = folder / f"{name}.bin"
    values.tofile(path)
    rows, columns = values.shape
    kind = "-f bytes=4" if values.dtype.kind == "f" else "bytes=2"
    edges = f"north={rows} south=0 east={columns} west=0 rows={rows} cols={columns}"
    return f"r.in.bin {kind} input={path} output={name} {edges}; g.region raster={name}"


def get_map(folder: Path, name: str) -> str:
    """The command that writes a map where `read_map` finds it."""
    return f"r.out.bin -f input={name} output={folder}/{name}.out bytes=8"


def read_map(folder: Path, name: str, rows: int) -> np.ndarray:
    return np.fromfile(folder / f"{name}.out", np.float64).reshape(rows, -1)


def run_grass(folder: Path, commands: list[str]) -> None:
    script = folder / "script.sh"
    script.write_text("\n".join(["set -e", *commands]))
    done = subprocess.run(["grass", "--tmp-location", "XY", "--exec", "bash", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
