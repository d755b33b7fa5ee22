"""How an image describes itself: the Seed 1.0.0 manifest, complete, and what follows from it for a run.

Seed is the standard of ngageoint/seed for containerised geospatial algorithms. Its manifest is the JSON in the image label
`com.ngageoint.seed.manifest`; what Seed lacks stands in a second label, `swath.manifest` (`SwathManifest`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from swath.domain.complaints import to_complaint
from swath.domain.errors import InvalidInputError, Problem
from swath.domain.resources import Resources, is_custom_name
from swath.domain.strict_json import read_strictly

LABEL = "com.ngageoint.seed.manifest"
SWATH_LABEL = "swath.manifest"
FILE, SWATH_FILE = "seed.manifest.json", "swath.manifest.json"  # what becomes the labels, beside a Dockerfile
OUTPUT_DIR = "OUTPUT_DIR"

_NUMBER = r"(0|[1-9]\d*)"
_IDENTIFIER = r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_SEMVER = rf"^{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_IDENTIFIER}(\.{_IDENTIFIER})*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$"
# Seed's schema bounds none of these; a manifest comes from outside, and a database and an environment have to hold it.
Name = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]+$", max_length=255)]
JobName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9-]+$", max_length=128)]
Version = Annotated[str, StringConstraints(pattern=_SEMVER, max_length=64)]
JsonType = Literal["array", "boolean", "integer", "number", "object", "string"]

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "array": (list, tuple),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "object": (dict,),
    "string": (str,),
}


class _Closed(BaseModel):
    """Seed forbids additional properties everywhere."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


T = TypeVar("T", bound=_Closed)


class Maintainer(_Closed):
    """Who answers for the image."""

    name: str
    email: str
    organization: str | None = None
    url: str | None = None
    phone: str | None = None


class Scalar(_Closed):
    """One resource: `value`, plus `inputMultiplier` times the size of all inputs in MiB."""

    name: Name
    value: float
    inputMultiplier: float | None = None


class ResourceList(_Closed):
    """The resources of a run."""

    scalar: list[Scalar] = []


class FileInput(_Closed):
    """A file, a directory (`multiple`: one that holds every file) given to the command as a path."""

    name: Name
    required: bool = True
    mediaTypes: list[str] = []
    multiple: bool = False
    partial: bool = False


class JsonInput(_Closed):
    """A parameter."""

    name: Name
    type: JsonType
    required: bool = True


class Inputs(_Closed):
    """What a run is given."""

    files: list[FileInput] = []
    json_: list[JsonInput] = Field(default=[], alias="json")


class FileOutput(_Closed):
    """Files that a run leaves in OUTPUT_DIR, by a glob pattern."""

    name: Name
    pattern: str
    mediaType: str | None = None
    multiple: bool = False
    required: bool = True


class JsonOutput(_Closed):
    """A value that a run leaves in seed.outputs.json, under `key` or its own name."""

    name: Name
    type: JsonType
    key: str | None = None
    required: bool = True


class Outputs(_Closed):
    """What a run leaves."""

    files: list[FileOutput] = []
    json_: list[JsonOutput] = Field(default=[], alias="json")


class Mount(_Closed):
    """A path of the site that a run needs."""

    name: Name
    path: str
    mode: Literal["ro", "rw"] = "ro"


class Setting(_Closed):
    """A value that the site gives."""

    name: Name
    secret: bool = False


class Interface(_Closed):
    """How the image is called."""

    command: str = ""
    inputs: Inputs = Inputs()
    outputs: Outputs = Outputs()
    mounts: list[Mount] = []
    settings: list[Setting] = []


class SeedError(_Closed):
    """What one exit code means."""

    code: int
    name: Name
    title: str = ""
    description: str = ""
    category: Literal["job", "data"] = "job"


class Job(_Closed):
    """The algorithm."""

    name: JobName
    jobVersion: Version
    packageVersion: Version
    title: str
    description: str
    maintainer: Maintainer
    timeout: int = Field(gt=0)  # seconds
    tags: list[str] = []
    resources: ResourceList = ResourceList()
    interface: Interface = Interface()
    errors: list[SeedError] = []


class Manifest(_Closed):
    """A Seed 1.0.0 manifest."""

    seedVersion: Literal["1.0.0"]
    job: Job

    @classmethod
    def from_json(cls, source: str | bytes | Mapping[str, Any]) -> Self:
        """The manifest in a label's text or in a document; raises InvalidInputError with the path of every problem."""
        return _validated(cls, source)

    @model_validator(mode="after")
    def _names_do_not_collide(self) -> Self:
        """ "Names must not collide": they all become variables of one environment."""
        taken: dict[str, str] = {OUTPUT_DIR: OUTPUT_DIR}
        for name in self._variables():
            variable = to_variable(name)
            if variable in taken:
                raise ValueError(f"the names {taken[variable]!r} and {name!r} become the same variable {variable}")
            taken[variable] = name
        return self

    def _variables(self) -> Iterator[str]:
        interface = self.job.interface
        groups: tuple[Iterable[Any], ...] = (
            interface.inputs.files,
            interface.inputs.json_,
            interface.settings,
        )
        for group in groups:
            yield from (entry.name for entry in group)
        yield from (f"ALLOCATED_{scalar.name}" for scalar in self.job.resources.scalar)

    @property
    def file_inputs(self) -> frozenset[str]:
        """The names of the inputs that are files."""
        return frozenset(entry.name for entry in self.job.interface.inputs.files)

    @property
    def shared_mem(self) -> int:
        """MiB for the container's /dev/shm; 0 for the engine's default."""
        return next((int(entry.value) for entry in self.job.resources.scalar if entry.name == "sharedMem"), 0)

    def resources(self, input_mib: float = 0.0) -> Resources:
        """What a run needs whose inputs are `input_mib` MiB in all: total input x multiplier + value.

        A name that is none of the usual ones is a custom scalar: where no agent has it, "the job is not run". Raises
        InvalidInputError for an amount that cannot be.
        """
        amounts = {
            scalar.name: scalar.value + (scalar.inputMultiplier or 0.0) * input_mib
            for scalar in self.job.resources.scalar
            if scalar.name != "sharedMem"
        }
        custom = {name: value for name, value in amounts.items() if is_custom_name(name)}
        plain = {name: value for name, value in amounts.items() if name not in custom}
        return Resources.from_document({**plain, "custom": custom}, "/job/resources/scalar")

    def error_for(self, exit_code: int) -> SeedError | None:
        """What the manifest says of an exit code."""
        return next((error for error in self.job.errors if error.code == exit_code), None)

    def check_binding(self, files: Mapping[str, Iterable[str]], parameters: Mapping[str, Any]) -> list[Problem]:
        """What is missing, unknown or of the wrong type among a task's inputs."""
        inputs = self.job.interface.inputs
        return [
            *_check_names("inputs", files, inputs.files),
            *_check_names("parameters", parameters, inputs.json_),
            *(
                Problem(f"/inputs/{entry.name}", "takes one file, not several")
                for entry in inputs.files
                if not entry.multiple and len(list(files.get(entry.name, ()))) > 1
            ),
            *(
                Problem(f"/parameters/{entry.name}", f"must be of type {entry.type}")
                for entry in inputs.json_
                if entry.name in parameters and not is_of_type(parameters[entry.name], entry.type)
            ),
        ]

    def check_settings(self, settings: Mapping[str, str], secrets: Iterable[str] = ()) -> list[Problem]:
        """Settings that the manifest does not know, or that it asks for and nobody gives, `secrets` among them."""
        declared = {entry.name for entry in self.job.interface.settings}
        given = [*settings, *secrets]
        unknown = [Problem(f"/settings/{name}", _unknown(declared)) for name in given if name not in declared]
        missing = [Problem(f"/settings/{name}", "is missing") for name in sorted(declared - set(given))]
        return unknown + missing


class HealthCheck(_Closed):
    """A command that is run in the container again and again while it runs: an attempt that fails it is ended."""

    command: list[str] = Field(min_length=1)
    interval_s: float = Field(default=30, ge=1, le=86400)
    timeout_s: float = Field(default=10, ge=1, le=86400)
    retries: int = Field(default=3, ge=1, le=100)  # failures in a row
    start_s: float = Field(default=0, ge=0, le=86400)  # in which failures do not count


class SwathManifest(_Closed):
    """What Seed lacks: the label `swath.manifest`."""

    network: Literal["none", "bridge", "host"] = "none"  # which of these a site allows is its affair
    health: HealthCheck | None = None
    reusable: bool = False  # several attempts may run in one container, one after another
    smoke_test: list[str] | None = None  # a command that proves that the image starts
    secret_files: list[Name] = []  # secret settings whose variable is to name a file with the value

    @field_validator("smoke_test")
    @classmethod
    def _says_something(cls, command: list[str] | None) -> list[str] | None:
        if command == []:
            raise ValueError("must not be empty")
        return command

    @classmethod
    def from_json(cls, source: str | bytes | Mapping[str, Any]) -> Self:
        """The manifest in a label's text or in a document; raises InvalidInputError with the path of every problem."""
        return _validated(cls, source)


def to_variable(name: str) -> str:
    """The environment variable of a name: "upper-cased, dashes to underscores"."""
    return name.upper().replace("-", "_").replace(".", "_")


def to_text(value: Any) -> str:
    """The value of a variable: strings as they are, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def is_of_type(value: Any, json_type: str) -> bool:
    """True when `value` is of the JSON type; a boolean is no number, and neither is what JSON cannot say (NaN, infinity)."""
    if isinstance(value, bool):
        return json_type == "boolean"
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return isinstance(value, _PYTHON_TYPES[json_type])


def _check_names(group: str, given: Mapping[str, Any], declared: Iterable[FileInput | JsonInput]) -> list[Problem]:
    entries = {entry.name: entry for entry in declared}
    unknown = [Problem(f"/{group}/{name}", _unknown(entries)) for name in given if name not in entries]
    missing = [
        Problem(f"/{group}/{name}", "is required by the image and missing")
        for name, entry in entries.items()
        if entry.required and name not in given
    ]
    return unknown + missing


def _unknown(declared: Iterable[str]) -> str:
    known = ", ".join(sorted(declared))
    return f"is unknown to the image; it knows {known}" if known else "is unknown to the image, which takes none"


def _validated(model: type[T], source: str | bytes | Mapping[str, Any]) -> T:
    try:
        document = read_strictly(source) if isinstance(source, str | bytes) else dict(source)
    except ValueError as error:
        raise InvalidInputError.at("", f"is not JSON: {error}") from error
    try:
        return model.model_validate_json(json.dumps(document))
    except ValidationError as error:
        raise InvalidInputError(_to_problem(entry) for entry in error.errors()) from error


def _to_problem(entry: Any) -> Problem:
    foreign = entry["type"] == "extra_forbidden"
    message = "is not part of the Seed 1.0.0 manifest" if foreign else to_complaint(entry)
    return Problem("".join(f"/{part}" for part in entry["loc"]), message)
