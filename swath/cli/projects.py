"""`swath projects`: list, show, set, remove."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Annotated, Any

import typer

from swath.cli.consent import remark_on_health
from swath.cli.console import amounts, print_fields, print_json, print_table, say, when
from swath.cli.jobdoc import parse_size, to_number
from swath.cli.options import AsJson, open_client, parse_pair
from swath.client import Client
from swath.documents import Project
from swath.domain.errors import InvalidInputError, NotFoundError
from swath.domain.projects import PLAIN
from swath.domain.resources import to_digits

Name = Annotated[str, typer.Argument(metavar="PROJECT", help="The project's name.")]
_SIZES = ("mem", "disk")
_NONE = "none"
_WIDTH = 20  # of a bar


def add_commands(app: typer.Typer) -> None:
    """Add `projects` with its own commands; without one, it lists."""
    group = typer.Typer(invoke_without_command=True, help="Share the cluster out: weights, quotas, who holds what.")
    group.callback()(list_projects)
    group.command("list")(list_again)
    group.command("show")(show)
    group.command("set")(set_project)
    group.command("remove")(remove)
    app.add_typer(group, name="projects", rich_help_panel="Cluster and images")


def list_projects(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List projects with what they hold beside what they could have; alone, it lists them.

    \b
      swath projects
      swath projects set land --weight 2 --quota cpus=100 --quota mem=400G
      swath projects set forest --parent land --max-running 500
    """
    if ctx.invoked_subcommand is None:
        list_again(as_json)


def list_again(as_json: AsJson = False) -> None:
    """List the projects as a tree. A bar shows the share that is held; `|` in it is the fair share."""
    with open_client() as client:
        found = client.projects()
    if as_json:
        print_json(found)
        return
    columns = ("project", ">weight", ">jobs", ">tasks", "share | fair share", ">share", ">fair", ">past", ">of quota")
    print_table(columns, map(_project_row, found), empty="no projects; whatever a job names is one with the defaults")


def _project_row(project: Project) -> tuple[Any, ...]:
    name = "  " * project["depth"] + project["name"] + ("" if project["declared"] else " (not declared)")
    shares = (project["share"], project["fair_share"], project["past_share"], project["quota_use"])
    work = (project["open_jobs"], project["tasks"])
    return (name, f"{project['weight']:g}", *work, make_bar(*shares[:2]), *map(percent, shares))


def make_bar(share: float, fair: float, width: int = _WIDTH) -> str:
    """`share` as a part of the width, with a mark where `fair` ends."""
    cells = ["█" if cell < round(share * width) else "·" for cell in range(width)]
    cells[min(width - 1, int(fair * width))] = "|"
    return "".join(cells)


def percent(part: float | None) -> str:
    """A part of one; "-" for none."""
    return "-" if part is None else f"{100 * part:.1f} %"


def show(name: Name, as_json: AsJson = False) -> None:
    """Show one project: its limits, and what each of its users holds."""
    with open_client() as client:
        project = client.project(name)
    if as_json:
        print_json(project)
        return
    print_fields(_fields(project))
    _warn(project)
    users = project["users"] or []
    if users:
        rows = ((user["user"], user["tasks"], amounts(user["held"]), percent(user["share"])) for user in users)
        print_table(("user", ">tasks", "holds", ">share"), rows, empty="")


def _fields(project: Project) -> Iterable[tuple[str, Any]]:
    changed = project["changed_by"] and f"{when(project['changed_at'])} by {project['changed_by']}"
    return (
        ("project", project["name"]),
        ("below", project["parent"]),
        ("declared", (changed or "yes") if project["declared"] else "no: it has the defaults"),
        ("state", "the scheduler has not taken the last change in yet" if project["pending"] else None),
        ("weight", f"{project['weight']:g}"),
        ("quota", _limits(project["quota"], project["max_running"])),
        ("of each user", _limits(project["user_quota"], project["user_max_running"])),
        ("of quota", percent(project["quota_use"]) if project["quota_use"] is not None else None),
        ("open jobs", str(project["open_jobs"])),
        ("tasks", str(project["tasks"])),
        ("holds", amounts(project["held"])),
        ("share", f"{percent(project['share'])} of the cluster"),
        ("fair share", percent(project["fair_share"])),
        ("past share", percent(project["past_share"])),
    )


def _limits(quota: dict[str, Any], max_running: int | None) -> str:
    said = [f"{name} {to_digits(quota[name])}" for name in PLAIN if name in quota]
    said += [f"{name} {to_digits(value)}" for name, value in (quota.get("custom") or {}).items()]
    return ", ".join([*said, *([] if max_running is None else [f"{max_running} tasks"])])


def set_project(
    name: Name,
    parent: Annotated[str | None, typer.Option(help="The project that it is below; none for the root.")] = None,
    weight: Annotated[float | None, typer.Option(help="Its part among its siblings, more than 0.")] = None,
    quota: Annotated[
        list[str] | None, typer.Option(help="cpus=100, mem=400G, NAME=none: with all below it (repeatable).")
    ] = None,
    max_running: Annotated[
        str | None, typer.Option(help="Tasks at a time, with all below it; none for no limit.")
    ] = None,
    user_quota: Annotated[list[str] | None, typer.Option(help="The same for each of its users (repeatable).")] = None,
    user_max_running: Annotated[str | None, typer.Option(help="Tasks of each of its users at a time.")] = None,
    as_json: AsJson = False,
) -> None:
    """Declare a project or change it: what no option names stays. A lowered limit kills nothing.

    \b
      swath projects set land --weight 2 --quota cpus=100 --quota mem=400G
      swath projects set land --quota cpus=none --max-running none
    """
    if weight is not None and not isfinite(weight):
        raise InvalidInputError.at("--weight", f"must be a number, is {weight}")
    changes: dict[str, Any] = {} if weight is None else {"weight": weight}
    if parent is not None:
        changes["parent"] = None if parent == _NONE else parent
    for key, word in (("max_running", max_running), ("user_max_running", user_max_running)):
        if word is not None:
            changes[key] = _to_limit(key, word)
    with open_client() as client:
        document = _read_declared(client, name) | changes
        document["quota"] = _with_words(document["quota"], quota, "--quota")
        document["user_quota"] = _with_words(document["user_quota"], user_quota, "--user-quota")
        project = client.set_project(name, document)
        _tell(client, project, as_json)


def _tell(client: Client, project: Project, as_json: bool) -> None:
    if as_json:
        print_json(project)
        return
    limits = _limits(project["quota"], project["max_running"]) or "no limits"
    if each := _limits(project["user_quota"], project["user_max_running"]):
        limits += f"; each of its users: {each}"
    say(f"project {project['name']} has weight {project['weight']:g} below {project['parent'] or 'the root'}, {limits}")
    _warn(project)
    if project["pending"]:
        remark_on_health(client)


def _warn(project: Project) -> None:
    for warning in project.get("warnings") or ():
        say(f"warning: {warning}")


_SAID = ("parent", "weight", "quota", "max_running", "user_quota", "user_max_running")


def _read_declared(client: Client, name: str) -> dict[str, Any]:
    """What was declared of the project, or the defaults."""
    try:
        found = dict(client.project(name))
    except NotFoundError:
        return {"quota": {}, "user_quota": {}}
    return {key: found[key] for key in _SAID}


def _with_words(quota: dict[str, Any], words: list[str] | None, option: str) -> dict[str, Any]:
    """The quota with what NAME=AMOUNT or NAME=none say about it."""
    plain = {name: value for name, value in quota.items() if name != "custom"}
    custom = dict(quota.get("custom") or {})
    for word in words or ():
        name, amount = parse_pair(word, option)
        place = plain if name in PLAIN else custom
        place.pop(name, None)
        if amount != _NONE:
            place[name] = _to_amount(name, amount, option)
    return plain | ({"custom": custom} if custom else {})


def _to_amount(name: str, text: str, option: str) -> float:
    if name in _SIZES:
        return parse_size(text)
    try:
        return to_number(text)
    except ValueError:
        raise InvalidInputError.at(option, f"{name} must be a number or {_NONE}, is {text!r}") from None


def _to_limit(key: str, text: str) -> int | None:
    try:
        return None if text == _NONE else int(text)
    except ValueError:
        option = f"--{key.replace('_', '-')}"
        raise InvalidInputError.at(option, f"must be a whole number or {_NONE}, is {text!r}") from None


def remove(name: Name, as_json: AsJson = False) -> None:
    """Forget what was declared of a project that has no open jobs and none below it."""
    with open_client() as client:
        client.remove_project(name)
    if as_json:
        print_json({"removed": name})
    else:
        say(f"project {name} is forgotten: jobs that name it would have the defaults")
