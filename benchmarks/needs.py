"""What a run of each processing image needs of a whole tile: memory, memory with files' pages, and disk, in its own container.

The container has the memory that the image's manifest asks for, and no swap: it ends the run where that is too little.
Disk is the largest sum of what lies in the output directory at one time, temporary files with it; it is held against the
size of the bands as JPEG2000, the smallest form that they come in.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.cluster import ROOT
from benchmarks.large_scenes import cog_scene, item_of_day, jp2_scene

NAMES = ("B02", "B03", "B04", "B08")
_POLL_S = 0.1
_TOP = ("--sensor=sentinel-2a", "--sun-zenith=40", "--aerosol=0.15", "--elevation=0")
WORK: Mapping[str, Sequence[str]] = {  # image -> a run that asks for much of a tile
    "ndvi": ("--scene", "/in/0"),
    "bands": ("--scene", "/in/0", "--index=NDVI,EVI", "--view=natural"),
    "subset": ("--scene", "/in/0", f"--bands={','.join(NAMES)}"),
    "composite": ("--scenes", "/in/0", "/in/1", f"--bands={','.join(NAMES)}"),
    "mosaic": ("--scenes", "/in/0", "/in/1", f"--bands={','.join(NAMES)}", "--harmonize=linear"),
    "atmcor": ("--scene", "/in/0", *_TOP),
}
# What of the tile is the input that a result of that size has at least: scenes of a mosaic may lie side by side.
READ: Mapping[str, Sequence[str]] = {**dict.fromkeys(WORK, NAMES), "ndvi": ("B04", "B08"), "composite": 2 * NAMES}
# Runs the program, and tells its memory and that of its group as the kernel counted them.
_INSIDE = """
import glob, json, re, runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    own = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
    of_group = [*glob.glob("/sys/fs/cgroup/memory.peak"), *glob.glob("/sys/fs/cgroup/memory/memory.max_usage_in_bytes")]
    print(json.dumps({"own": own, "group": int(open(of_group[0]).read()) if of_group else None}))
"""


def run() -> dict[str, object]:
    """MiB, as manifests have them, a row an image; what it asks for beside what it needed."""
    if missing := [name for name in WORK if not _has_image(name)]:
        return {"skipped": f"no image of {', '.join(missing)}: images/build.sh {' '.join(missing)}"}
    scene = cog_scene()
    return {"images": [{"": name, **_measure(name, WORK[name], scene)} for name in WORK]}


def manifest_of(name: str) -> dict[str, Any]:
    """An image's manifest, the part below `job`."""
    return dict(json.loads((ROOT / "images" / name / "seed.manifest.json").read_text())["job"])


def _tag(name: str) -> str:
    return f"swath/{name}:{manifest_of(name)['jobVersion']}"


def _has_image(name: str) -> bool:
    try:
        return not subprocess.run(["docker", "image", "inspect", _tag(name)], capture_output=True).returncode
    except FileNotFoundError:
        return False


def _measure(name: str, arguments: Sequence[str], scene: Path) -> dict[str, object]:
    asked = {entry["name"]: entry for entry in manifest_of(name)["resources"]["scalar"]}
    mem = round(asked["mem"]["value"])
    places = [argument for argument in arguments if argument.startswith("/in/")]
    input_mib = sum((jp2_scene() / f"{band}.jp2").stat().st_size for band in READ[name]) / 2**20
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "out")
        output.mkdir()
        mounts = []
        for day, place in enumerate(places, 1):
            item = Path(folder, f"{day}.json")
            item.write_text(item_of_day(scene, day))
            mounts += ["--volume", f"{scene}:{place}:ro", "--volume", f"{item}:{place}/item.json:ro"]
        closed = ["--network=none", "--read-only", f"--memory={mem}m", f"--memory-swap={mem}m"]
        closed += ["--user", f"{os.getuid()}:{os.getgid()}", "--env", f"ALLOCATED_MEM={mem}"]
        command = ["docker", "run", "--rm", *closed, *mounts, "--volume", f"{output}:/out", _tag(name)]
        command += ["python", "-c", _INSIDE, f"{name}.py", *arguments, "--output", "/out"]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        disk = 0
        while child.poll() is None:
            disk = max(disk, _size(output))
            time.sleep(_POLL_S)
        told = child.stdout.read().splitlines() if child.stdout else []
        if child.returncode:
            raise RuntimeError(f"{command} failed")
        memory = json.loads(told[-1])
        return {
            "own_memory_mib": round(memory["own"] / 2**20),
            "with_files_mib": round(memory["group"] / 2**20) if memory["group"] else "unknown",
            "asked_mem_mib": mem,
            "disk_mib": round(disk / 2**20),
            "output_mib": round(_size(output) / 2**20),
            "jpeg2000_mib": round(input_mib),
            "disk_by_jpeg2000": round(disk / 2**20 / input_mib, 1),
            "asked_disk_mib": round(asked["disk"]["value"] + asked["disk"].get("inputMultiplier", 0) * input_mib),
        }


def _size(folder: Path) -> int:
    """Of all files; one that goes away meanwhile counts nothing."""
    total = 0
    for path in folder.iterdir():
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total
