"""`swath submit` and `swath wait`."""

from __future__ import annotations

import math
import sys
from typing import Annotated, Any

import typer

from swath.cli.batch import find_batch, submit_batch
from swath.cli.console import print_json, say, tell
from swath.cli.jobdoc import (
    Interface,
    over_files,
    over_range,
    over_values,
    parse_amount,
    parse_constraint,
    parse_json,
    parse_preference,
    parse_size,
    parse_words,
    read_text,
)
from swath.cli.links import to_after
from swath.cli.options import AsJson, JobId, Timeout, open_client, parse_duration, parse_pair, resolve_job
from swath.cli.waiting import finish, wait
from swath.cli.why import to_lines
from swath.client import Client
from swath.domain.errors import InvalidInputError

_ONE_A_HOST = {"attribute": "hostname", "operator": "unique"}
_RESOURCES, _RULES = "Resources of each task", "Placement and retries"


def add_commands(app: typer.Typer) -> None:
    """Add `submit`, `rerun` and `wait`."""
    app.command(rich_help_panel="Jobs")(submit)
    app.command(rich_help_panel="Jobs")(rerun)
    app.command("wait", rich_help_panel="Jobs")(wait_for)


def submit(
    image: Annotated[str | None, typer.Argument(help="Image: `ndvi` (newest version) or `ndvi:1.0.0`.")] = None,
    words: Annotated[list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="Inputs and parameters.")] = None,
    over: Annotated[list[str] | None, typer.Option(help="INPUT=PATTERN: a task for each file that matches.")] = None,
    range_: Annotated[str | None, typer.Option("--range", help="NAME=0:1000: a task for each number.")] = None,
    array: Annotated[str | None, typer.Option(help="NAME=FILE: a task for each element of a JSON list.")] = None,
    file: Annotated[str | None, typer.Option("--file", "-f", help="A whole job document; `-` is stdin.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the job (default: the image's).")] = None,
    project: Annotated[str | None, typer.Option(help="Project that the job belongs to.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="KEY=VALUE; can be repeated.")] = None,
    setting: Annotated[list[str] | None, typer.Option(help="NAME=VALUE of the manifest's settings.")] = None,
    cpus: Annotated[float | None, typer.Option(help="Processors.", rich_help_panel=_RESOURCES)] = None,
    mem: Annotated[str | None, typer.Option(help="Memory: 2048 (MiB), 2G.", rich_help_panel=_RESOURCES)] = None,
    disk: Annotated[str | None, typer.Option(help="Disk: 4096 (MiB), 4G.", rich_help_panel=_RESOURCES)] = None,
    gpus: Annotated[int | None, typer.Option(help="Whole GPUs.", rich_help_panel=_RESOURCES)] = None,
    ports: Annotated[int | None, typer.Option(help="Ports of the agent.", rich_help_panel=_RESOURCES)] = None,
    resource: Annotated[
        list[str] | None, typer.Option(help="NAME=AMOUNT of another kind, `licences=1`.", rich_help_panel=_RESOURCES)
    ] = None,
    priority: Annotated[int | None, typer.Option(help="0 to 100, larger first.", rich_help_panel=_RULES)] = None,
    max_running: Annotated[int | None, typer.Option(help="So many tasks at a time.", rich_help_panel=_RULES)] = None,
    max_attempts: Annotated[int | None, typer.Option(help="Attempts of a task.", rich_help_panel=_RULES)] = None,
    retry_on: Annotated[
        list[str] | None, typer.Option(help="`APP:2=fail`, `DATA=retry`: what follows an end.", rich_help_panel=_RULES)
    ] = None,
    task_timeout: Annotated[
        str | None, typer.Option(help="How long an attempt may run: 90, 5m, 1h.", rich_help_panel=_RULES)
    ] = None,
    unreachable_wait: Annotated[
        float | None,
        typer.Option(
            help="Seconds until an attempt whose agent is silent is replaced (300).",
            min=0,
            max=604_800,
            rich_help_panel=_RULES,
        ),
    ] = None,
    constraint: Annotated[
        list[str] | None,
        typer.Option(
            help="`region=a,b`, `host like n.*`, `rack unique`, `rack max_per 2`; ~ soft.", rich_help_panel=_RULES
        ),
    ] = None,
    prefer: Annotated[
        list[str] | None, typer.Option(help="ATTRIBUTE=VALUE [WEIGHT] of agents to use first.", rich_help_panel=_RULES)
    ] = None,
    spread_hosts: Annotated[
        bool, typer.Option("--spread-hosts", help="One task of the job on a host at most.", rich_help_panel=_RULES)
    ] = False,
    class_: Annotated[str | None, typer.Option("--class", help="batch, interactive.", rich_help_panel=_RULES)] = None,
    preemptible: Annotated[
        bool | None, typer.Option(help="May be ended for others' sake (batch: yes).", rich_help_panel=_RULES)
    ] = None,
    expected: Annotated[str | None, typer.Option(help="How long a task runs: 90, 5m.", rich_help_panel=_RULES)] = None,
    short: Annotated[
        bool | None,
        typer.Option(help="Its tasks take seconds at most (unless said: once seen).", rich_help_panel=_RULES),
    ] = None,
    after: Annotated[
        list[str] | None, typer.Option(help="JOB that has to succeed first.", rich_help_panel=_RULES)
    ] = None,
    after_end: Annotated[
        list[str] | None, typer.Option(help="JOB that has to end first, however it does.", rich_help_panel=_RULES)
    ] = None,
    after_each: Annotated[
        list[str] | None, typer.Option(help="JOB as long: task 3 waits for task 3 there.", rich_help_panel=_RULES)
    ] = None,
    not_before: Annotated[str | None, typer.Option(help="RFC 3339 time.", rich_help_panel=_RULES)] = None,
    deadline: Annotated[
        str | None, typer.Option(help="RFC 3339 time; what has not started then fails.", rich_help_panel=_RULES)
    ] = None,
    may_wait: Annotated[
        bool, typer.Option("--may-wait", help="Accept it though no agent is large enough now.", rich_help_panel=_RULES)
    ] = False,
    key: Annotated[str | None, typer.Option("--idempotency-key", help="Said twice, the job is made once.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Submit nothing; say what would become of it, and when.")
    ] = False,
    wait_too: Annotated[bool, typer.Option("--wait", "-w", help="Wait; the exit code tells how it ended.")] = False,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> None:
    """Submit a job and print its id.

    NAME=VALUE words are the image's inputs (paths or URLs) and parameters; `swath images show IMAGE` lists them.

    \b
      swath submit ndvi SCENE=scene.tif --wait
      swath submit ndvi --over 'SCENE=/eos/2023/*_L2A' --cpus 1 --mem 2G
      swath submit true --range INDEX=0:1000
      swath submit --file job.json --wait --json
      swath submit ndvi --over 'SCENE=/eos/*' --after-each last
    """
    if key is not None and not (key.isascii() and key.isprintable()):
        raise typer.BadParameter("takes printable ASCII", param_hint="--idempotency-key")
    options = _options(
        name=name,
        project=project,
        labels=_pairs(label, "/labels"),
        settings=_pairs(setting, "/settings"),
        resources=_resources(cpus, mem, disk, gpus, ports, resource),
        priority=priority,
        max_running=max_running,
        timeout_s=None if task_timeout is None else math.ceil(parse_duration(task_timeout, "--task-timeout")),
        retry=_options(max_attempts=max_attempts, unreachable_s=unreachable_wait, on=_reactions(retry_on)),
        constraints=[parse_constraint(word) for word in constraint or ()] + [_ONE_A_HOST] * spread_hosts,
        prefer=[parse_preference(word) for word in prefer or ()],
        preemptible=preemptible,
        expected_s=None if expected is None else parse_duration(expected, "--expected"),
        short=short,
        **{"class": class_},
        not_before=not_before,
        deadline=deadline,
        may_wait=may_wait or None,
    )
    with open_client() as client:
        given = image, words or [], over, range_, array
        options |= _options(after=to_after(client, after, after_end, after_each))
        document = _from_words(client, *given) if file is None else _from_file(file, *given)
        batch = find_batch(document)
        if dry_run:
            if batch is not None:
                raise InvalidInputError.at(
                    "/jobs", "several jobs cannot be tried out together: try one document at a time"
                )
            _try_out(client, {**document, **options}, as_json)
            return
        if batch is not None:
            submit_batch(client, batch, options, key, wait_too=wait_too, timeout_s=timeout, as_json=as_json)
            return
        _submit(client, {**document, **options}, key, wait_too=wait_too, timeout_s=timeout, as_json=as_json)


def _reactions(words: list[str] | None) -> dict[str, str]:
    """What is to follow which ends; the service knows which there are."""
    reactions = dict(parse_pair(word, "/retry/on") for word in words or ())
    for name, reaction in reactions.items():
        if reaction not in ("fail", "retry"):
            raise InvalidInputError.at(
                f"/retry/on/{name}", "takes fail or retry; what grows stands in a document (--file)"
            )
    return reactions


def _try_out(client: Client, document: dict[str, Any], as_json: bool) -> None:
    found = client.try_out(document)
    if as_json:
        print_json(found)
    else:
        tell("\n".join(to_lines(found)))


def _submit(
    client: Client, document: dict[str, Any], key: str | None, *, wait_too: bool, timeout_s: float | None, as_json: bool
) -> None:
    job = client.submit(document, idempotency_key=key)
    if not wait_too:
        _print_submitted(job, as_json)
        return
    say(f"job {job['id']} submitted")
    _wait_and_exit(client, job["id"], timeout_s, as_json)


def wait_for(job_id: JobId, timeout: Timeout = None, as_json: AsJson = False) -> None:
    """Wait until a job has ended; the exit code tells how (0 succeeded, 1 failed, 6 cancelled)."""
    with open_client() as client:
        _wait_and_exit(client, resolve_job(client, job_id), timeout, as_json)


def _wait_and_exit(client: Client, job_id: str, timeout_s: float | None, as_json: bool) -> None:
    job = wait(client, job_id, timeout_s)
    if as_json:
        print_json(job)
    raise typer.Exit(finish(client, job))


def rerun(job_id: JobId, as_json: AsJson = False) -> None:
    """Submit a job once more, exactly as it was: the same inputs, parameters and image digest; prints the new job's id."""
    with open_client() as client:
        _print_submitted(client.rerun(resolve_job(client, job_id)), as_json)


def _print_submitted(job: Any, as_json: bool) -> None:
    for warning in job.get("warnings") or ():
        say(f"warning: {warning}")
    if as_json:
        print_json(job)
        return
    sys.stdout.write(job["id"] + "\n")
    if sys.stdout.isatty():
        say(f"{job['counts']['total']} tasks; `swath wait last` follows them")


def _from_words(
    client: Client, image: str | None, words: list[str], over: list[str] | None, range_: str | None, array: str | None
) -> dict[str, Any]:
    """The document of a job that stands on the command line."""
    if image is None:
        raise typer.BadParameter("name an image, or a document with --file", param_hint="IMAGE")
    interface = Interface.from_manifest(client.image(image)["manifest"])
    inputs, parameters = parse_words(words, interface)
    document: dict[str, Any] = {"image": image}
    arrays = [over_files(over)] if over else []
    arrays += [over_range(range_)] if range_ else []
    arrays += [over_values(array)] if array else []
    if len(arrays) > 1:
        raise InvalidInputError.at("/array", "a job has one: --over, --range or --array")
    if arrays:
        document["array"] = arrays[0]
        if arrays[0]["over"] in interface.files:
            inputs[arrays[0]["over"]] = {"item": True}
    return document | ({"inputs": inputs} if inputs else {}) | ({"parameters": parameters} if parameters else {})


def _from_file(file: str, *beside: Any) -> Any:
    """The document in a file (`-`: stdin), or several, which stand alone but for the options."""
    if any(beside):
        raise typer.BadParameter("the document says it all: no image, inputs or array beside it", param_hint="--file")
    return parse_json(read_text(file), file, dict, list)


def _options(**given: Any) -> dict[str, Any]:
    """The fields of the document that options set."""
    return {field: value for field, value in given.items() if value not in (None, {}, [])}


def _pairs(words: list[str] | None, what: str) -> dict[str, str]:
    return dict(parse_pair(word, what) for word in words or ())


def _resources(
    cpus: float | None,
    mem: str | None,
    disk: str | None,
    gpus: int | None,
    ports: int | None,
    others: list[str] | None,
) -> dict[str, Any]:
    if cpus is not None and not math.isfinite(cpus):
        raise typer.BadParameter("must be a number", param_hint="--cpus")
    amounts = {
        "cpus": cpus,
        "mem": None if mem is None else parse_size(mem),
        "disk": None if disk is None else parse_size(disk),
        "gpus": gpus,
        "ports": ports,
        "custom": dict(map(parse_amount, others or ())) or None,
    }
    return {name: value for name, value in amounts.items() if value is not None}
