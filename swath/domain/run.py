"""What a run of an image sees and leaves: its environment, its command, and which of its files are which output."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from swath.domain.attempts import OutputFile
from swath.domain.errors import InvalidInputError
from swath.domain.manifest import OUTPUT_DIR, Manifest, is_of_type, to_text, to_variable
from swath.domain.resources import Resources, to_digits
from swath.domain.strict_json import read_strictly

JSON_OUTPUTS = "seed.outputs.json"
SIDE_CAR = ".metadata.json"  # of a file: its GeoJSON feature, by Seed's metadata schema

# "${NAME}", and the one bash idiom that Seed relies on, "${NAME/#/PREFIX}": PREFIX and the value where NAME is set.
_REFERENCE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:/#/(?P<prefix>[^}]*))?\}")


def environment(
    manifest: Manifest,
    *,
    files: Mapping[str, str],
    parameters: Mapping[str, Any],
    settings: Mapping[str, str],
    resources: Resources,
    output_dir: str,
    ports: Sequence[int] = (),
) -> dict[str, str]:
    """The variables that Seed promises to a run.

    `files` maps an input's name to its path as the command sees it (with `multiple` a directory). An absent optional input
    leaves its variable unset. `ports` are in PORT0, PORT1 ... and PORTS, unless the image calls something else so.
    """
    given = _of_ports(ports)
    given |= {to_variable(name): path for name, path in files.items()}
    given |= {to_variable(name): to_text(value) for name, value in parameters.items() if value is not None}
    given |= {to_variable(name): value for name, value in settings.items()}
    given |= {
        f"ALLOCATED_{to_variable(name)}": to_digits(value) for name, value in _allocated(manifest, resources).items()
    }
    own = {"SWATH_PORTS": ",".join(map(str, ports))} if ports else {}
    return given | own | {OUTPUT_DIR: output_dir}


def _of_ports(ports: Sequence[int]) -> dict[str, str]:
    """As Marathon and others call them, so that programs need not know of Swath."""
    if not ports:
        return {}
    return {f"PORT{number}": str(port) for number, port in enumerate(ports)} | {"PORTS": ",".join(map(str, ports))}


def _allocated(manifest: Manifest, resources: Resources) -> dict[str, float]:
    """ "ALLOCATED_<RESOURCE> for each scalar": those that the manifest names, and what every run has."""
    amounts: dict[str, float] = {name: value / 1000 for name, value in resources.custom}
    amounts |= {"cpus": resources.cpus, "mem": resources.mem, "disk": resources.disk}
    if resources.gpus:
        amounts["gpus"] = resources.gpus
    if manifest.shared_mem:
        amounts["sharedMem"] = manifest.shared_mem
    return amounts


def command(manifest: Manifest, variables: Mapping[str, str]) -> list[str]:
    """The manifest's command as arguments: split first and substituted after, so that no value can add an argument.

    A reference that is a whole word and yields nothing drops the word; a prefix that ends in a blank becomes a word of its own,
    as a shell would have it.
    """
    arguments: list[str] = []
    for word in _words(manifest.job.interface.command):
        arguments += _substituted(word, variables)
    return arguments


def _words(text: str) -> list[str]:
    """The command's words; blanks inside of a reference do not split."""
    references: list[str] = []

    def hide(match: re.Match[str]) -> str:
        references.append(match.group(0))
        return f"\x00{len(references) - 1}\x00"

    try:
        words = shlex.split(_REFERENCE.sub(hide, text))
    except ValueError as error:
        raise InvalidInputError.at("/job/interface/command", f"cannot be split into words: {error}") from error
    return [re.sub(r"\x00(\d+)\x00", lambda match: references[int(match.group(1))], word) for word in words]


def _substituted(word: str, variables: Mapping[str, str]) -> list[str]:
    whole = _REFERENCE.fullmatch(word)
    if whole is None:
        return [_REFERENCE.sub(lambda match: _value(match, variables), word)]
    value, prefix = variables.get(whole["name"]), whole["prefix"]
    if value is None or (prefix is None and value == ""):
        return []
    if prefix and prefix.endswith(" "):
        return [*prefix.split(), value]
    return [(prefix or "") + value]


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    value = variables.get(match["name"])
    return "" if value is None else (match["prefix"] or "") + value


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputMatch:
    """What a run left, held against its manifest."""

    files: tuple[OutputFile, ...]
    problems: tuple[str, ...]  # why the run failed although its command did not


def match_outputs(manifest: Manifest, sizes: Mapping[str, int]) -> OutputMatch:
    """Which of the files (relative path -> bytes) in the output directory are which output.

    "more than one match without `multiple` fails the job, none with `required` too". A pattern without a slash names files
    directly in the directory; side-cars and seed.outputs.json are no outputs.
    """
    paths = sorted(path for path in sizes if not path.endswith(SIDE_CAR) and path != JSON_OUTPUTS)
    files: list[OutputFile] = []
    problems: list[str] = []
    for output in manifest.job.interface.outputs.files:
        found = [path for path in paths if _matches(path, output.pattern)]
        if not found and output.required:
            problems.append(f"output {output.name}: no file matches {output.pattern!r}")
        if len(found) > 1 and not output.multiple:
            problems.append(f"output {output.name}: {len(found)} files match {output.pattern!r}, one is allowed")
        files += [
            OutputFile(name=output.name, path=path, size=sizes[path], media_type=output.mediaType) for path in found
        ]
    return OutputMatch(files=tuple(files), problems=tuple(problems))


def _matches(path: str, pattern: str) -> bool:
    return path.count("/") == pattern.count("/") and fnmatchcase(path, pattern)


def read_json_outputs(manifest: Manifest, text: str | None) -> tuple[dict[str, Any], list[str]]:
    """The JSON outputs in the text of seed.outputs.json (None where there is no such file), and what is wrong with them."""
    declared = manifest.job.interface.outputs.json_
    if not declared:
        return {}, []
    try:
        document = read_strictly(text) if text is not None else {}
    except ValueError as error:
        return {}, [f"{JSON_OUTPUTS} is not JSON: {error}"]
    if not isinstance(document, dict):
        return {}, [f"{JSON_OUTPUTS} holds no object"]
    values: dict[str, Any] = {}
    problems: list[str] = []
    for output in declared:
        key = output.key or output.name
        if key not in document:
            problems += [f"output {output.name}: {JSON_OUTPUTS} has no {key!r}"] if output.required else []
        elif not is_of_type(document[key], output.type):
            problems.append(f"output {output.name}: {key!r} in {JSON_OUTPUTS} is no {output.type}")
        else:
            values[output.name] = document[key]
    return values, problems


def relative_problem(paths: Iterable[str]) -> str | None:
    """Why one of `paths` does not stay below its directory; None when all do."""
    for path in paths:
        parts = path.split("/")
        if path.startswith("/") or ".." in parts or "\x00" in path:
            return f"{path!r} leaves its directory"
    return None
