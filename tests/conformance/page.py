"""The page docs/mesos-conformance.md, made of the items and of the tests whose names carry their numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.conformance.items import CHAPTERS, Item

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "mesos-conformance.md"
_TEST = re.compile(r"^def (test_m(\d\d)_\w+)\(", re.MULTILINE)
STAND_IN = "tests/local/"  # what is tested there is that `local` does as the recorded Mesos does, not the framework

HEAD = """# Conformance to Mesos

What a production Mesos framework must do, item by item (M1 to M40), where Swath does it, the tests that prove it, and the
recordings of a real Mesos master, agent and executor that the item was checked against. `python -m tests.conformance` makes
this page from `tests/conformance/items.py` and from the names of the tests, which carry the numbers; a test compares.
"""


def find_tests(root: Path = ROOT) -> dict[int, list[tuple[str, str]]]:
    """Number of an item -> (file, name of the test), of all tests of the checkout."""
    found: dict[int, list[tuple[str, str]]] = {}
    for path in sorted((root / "tests").rglob("test_*.py")):
        for name, number in _TEST.findall(path.read_text(encoding="utf-8")):
            found.setdefault(int(number), []).append((path.relative_to(root).as_posix(), name))
    return found


def render(tests: Mapping[int, list[tuple[str, str]]]) -> str:
    """The page."""
    parts = [HEAD]
    for chapter in CHAPTERS:
        parts.append(f"\n## {chapter.title}\n")
        parts += [_render_item(item, tests.get(item.number, [])) for item in chapter.items]
    return "".join(parts)


def _render_item(item: Item, tests: Iterable[tuple[str, str]]) -> str:
    lines = [f"\n### M{item.number}: {item.demand}\n", f"- In {', '.join(map(_link, item.places))}"]
    if item.transcripts:
        lines.append(f"- Recordings: {', '.join(name.rstrip('-') for name in item.transcripts)}")
    by_file: dict[str, list[str]] = {}
    for path, name in tests:
        by_file.setdefault(path, []).append(name)
    for path, names in sorted(by_file.items(), key=lambda entry: entry[0].startswith(STAND_IN)):
        side = "`local` stands in truly: " if path.startswith(STAND_IN) else ""
        lines.append(f"- {side}{_link(path)}: {', '.join(_say(name) for name in names)}")
    return "\n".join(lines) + "\n"


def _link(path: str) -> str:
    return f"[{path}](../{path})"


def _say(name: str) -> str:
    """The sentence in a test's name."""
    return name.split("_", 2)[2].replace("_", " ")
