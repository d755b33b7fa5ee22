"""From the words of a command line to a job document. What the words name is looked up in the image's manifest."""

from __future__ import annotations

import glob
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.cli.options import parse_pair
from swath.domain.errors import InvalidInputError, NotFoundError
from swath.domain.strict_json import read_strictly

_AMOUNT = re.compile(r"-?(\d{1,18}(\.\d{0,9})?|\.\d{1,9})", re.ASCII)
_WHOLE = re.compile(r"\d{1,9}", re.ASCII)
_SIZES = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024 * 1024}


@dataclass(frozen=True, kw_only=True, slots=True)
class Interface:
    """What an image takes, out of its Seed manifest."""

    files: frozenset[str]  # names of file inputs
    parameters: Mapping[str, str]  # name of a JSON input -> its type
    multiple: frozenset[str]  # file inputs that take several files

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> Interface:
        """The interface of a manifest's document."""
        inputs = manifest["job"].get("interface", {}).get("inputs", {})
        files, parameters = inputs.get("files", []), inputs.get("json", [])
        return cls(
            files=frozenset(entry["name"] for entry in files),
            parameters={entry["name"]: entry.get("type", "string") for entry in parameters},
            multiple=frozenset(entry["name"] for entry in files if entry.get("multiple")),
        )

    def known(self) -> str:
        """All names, for a message."""
        return ", ".join([*sorted(self.files), *self.parameters]) or "none: it takes nothing"


def parse_words(words: Iterable[str], interface: Interface) -> tuple[dict[str, Any], dict[str, Any]]:
    """(inputs, parameters) of NAME=VALUE words; an input that takes several files may be named several times."""
    inputs: dict[str, list[str]] = {}
    parameters: dict[str, Any] = {}
    for word in words:
        name, value = parse_pair(word, "/parameters")
        if name in interface.files:
            inputs.setdefault(name, []).append(to_href(value))
        elif name in interface.parameters:
            parameters[name] = to_value(name, value, interface.parameters[name])
        else:
            raise InvalidInputError.at(
                f"/parameters/{name}", f"is no input of this image; it takes {interface.known()}"
            )
    return {name: _to_input(name, hrefs, interface) for name, hrefs in inputs.items()}, parameters


def _to_input(name: str, hrefs: Sequence[str], interface: Interface) -> dict[str, Any]:
    if name in interface.multiple:
        return {"hrefs": list(hrefs)}
    if len(hrefs) > 1:
        raise InvalidInputError.at(
            f"/inputs/{name}", f"takes one file, {len(hrefs)} are given; for a task each, say --over {name}=..."
        )
    return {"href": hrefs[0]}


def to_href(text: str) -> str:
    """A URL as it is; a path as an absolute file:// URL. Symbolic links stay: agents may see the file by the same one."""
    return text if "://" in text else Path(text).expanduser().absolute().as_uri()


def to_value(name: str, text: str, json_type: str) -> Any:
    """The text as the type that the manifest declares; raises InvalidInputError where it is none."""
    if json_type == "string":
        return text
    try:
        return read_strictly(text)
    except ValueError:
        raise InvalidInputError.at(f"/parameters/{name}", f"must be of type {json_type}, is {text!r}") from None


def over_files(words: Iterable[str]) -> dict[str, Any]:
    """The array of --over NAME=PATTERN words: one task for each file or directory that a pattern names, sorted by pattern.

    A directory is one item (a scene may be one); with a slash at its end, everything in it is. "@FILE" reads one path or
    URL a line.
    """
    pairs = [parse_pair(word, "/array") for word in words]
    names = sorted({name for name, _ in pairs})
    if len(names) != 1:
        raise InvalidInputError.at("/array", f"fans out over one input, not over {' and '.join(names)}")
    items = [{"href": to_href(path)} for _, pattern in pairs for path in _matches(pattern)]
    return {"over": names[0], "items": items}


def _matches(pattern: str) -> list[str]:
    if "://" in pattern:
        return [pattern]
    if pattern.startswith("@"):
        return [line.strip() for line in read_text(pattern[1:]).splitlines() if line.strip()]
    expanded = str(Path(pattern).expanduser())
    wanted = glob.escape(expanded) + "/*" if pattern.endswith("/") else expanded
    found = sorted(glob.glob(wanted, recursive=True))  # noqa: PTH207 - an absolute pattern is no pattern for Path.glob
    if not found:
        raise NotFoundError(f"nothing matches {pattern!r}")
    return found


def over_range(word: str) -> dict[str, Any]:
    """The array of --range NAME=FIRST:END or NAME=COUNT; END is not included."""
    name, text = parse_pair(word, "/array")
    first, colon, end = text.partition(":")
    try:
        return {"over": name, "range": [int(first), int(end)] if colon else [0, int(first)]}
    except ValueError:
        raise InvalidInputError.at("/array/range", f"must look like 0:1000 or 1000, is {text!r}") from None


def over_values(word: str) -> dict[str, Any]:
    """The array of --array NAME=FILE: a JSON list of the items; "-" reads stdin."""
    name, path = parse_pair(word, "/array")
    return {"over": name, "items": parse_json(read_text(path), path, list)}


def parse_json(text: str, source: str, *kinds: type) -> Any:
    """JSON of one of the kinds; raises InvalidInputError with the place of the mistake."""
    try:
        document = read_strictly(text)
    except ValueError as error:
        raise InvalidInputError.at("", f"{source} is no JSON: {error}") from None
    if not isinstance(document, kinds):
        names = " or a ".join("object" if kind is dict else "list" for kind in kinds)
        raise InvalidInputError.at("", f"{source} must hold a JSON {names}")
    return document


def read_text(path: str) -> str:
    """A text file, or stdin for "-"; raises OSError where there is none, InvalidInputError where it is no text."""
    try:
        return sys.stdin.read() if path == "-" else Path(path).expanduser().read_text()
    except UnicodeDecodeError as error:
        raise InvalidInputError.at("", f"{path} is no text: {error}") from None


def parse_size(text: str) -> float:
    """MiB of "2048", "2048M" or "2G"; raises InvalidInputError."""
    number, unit = text.upper().removesuffix("IB").removesuffix("B"), "M"
    if number and number[-1] in _SIZES:
        number, unit = number[:-1], number[-1]
    if not _AMOUNT.fullmatch(number):
        raise InvalidInputError.at("/resources", f"must look like 2048, 512M or 2G, is {text!r}")
    return float(number) * _SIZES[unit]


def parse_amount(word: str) -> tuple[str, float]:
    """NAME=AMOUNT as two; raises InvalidInputError where the amount is no number."""
    name, value = parse_pair(word, "/resources/custom")
    try:
        return name, to_number(value)
    except ValueError:
        raise InvalidInputError.at(f"/resources/custom/{name}", f"must be a number, is {value!r}") from None


def to_number(text: str) -> float:
    """The number that the text is; raises ValueError for what JSON cannot say (NaN, infinity) as well."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number")
    return number


_FORMS = "region=ispra, 'zone in a,b', 'hostname like n.*', 'rack unique', 'rack max_per 2' or 'zone group_by'"
_OPERATED = re.compile(r"([^\s=]+)\s+(in|like|unique|group_by|max_per)(?:\s+(.*))?", re.DOTALL)


def parse_constraint(word: str) -> dict[str, Any]:
    """ATTRIBUTE=VALUE, ATTRIBUTE=VALUE,VALUE for any of several, or ATTRIBUTE OPERATOR [VALUE]; soft with a `~` before it."""
    soft = {"hard": False} if word.startswith("~") else {}
    text = word.removeprefix("~").strip()
    if found := _OPERATED.fullmatch(text):
        name, operator, value = found.groups()
        return {"attribute": name, "operator": operator} | _to_operand(operator, value) | soft
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise InvalidInputError.at("/constraints", f"must look like {_FORMS}, is {word!r}")
    if "," in value:
        return {"attribute": name, "operator": "in", "value": value.split(",")} | soft
    return {"attribute": name, "operator": "equals", "value": value} | soft


def _to_operand(operator: str, text: str | None) -> dict[str, Any]:
    """The value of an operator, as a field of the document; none where there is no text. The API judges what it means."""
    if not text:
        return {}
    if operator == "in":
        return {"value": [part.strip() for part in text.split(",")]}
    return {"value": int(text) if operator in ("group_by", "max_per") and _WHOLE.fullmatch(text) else text}


def parse_preference(word: str) -> dict[str, Any]:
    """ATTRIBUTE=VALUE, with a weight after a blank: "region=ispra 2"."""
    name, value = parse_pair(word, "/prefer")
    value, blank, weight = value.strip().rpartition(" ")
    if not blank:
        return {"attribute": name, "value": weight}
    try:
        return {"attribute": name, "value": value.strip(), "weight": to_number(weight)}
    except ValueError:
        raise InvalidInputError.at("/prefer", f"must look like region=ispra or region=ispra 2, is {word!r}") from None
