"""`swath images promote|reject|deprecate|retire|history|own|compare`: what becomes of image versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from swath.cli.console import print_fields, print_json, print_table, say, size
from swath.cli.options import AsJson, open_client

Version = Annotated[
    str, typer.Argument(metavar="IMAGE", help="`ndvi:1.0.0`, or with its digest `ndvi:1.0.0@sha256:...`.")
]
Why = Annotated[str, typer.Option("--why", "-m", help="Kept with the change.")]


_WIDEST = 60  # characters of a value in a table


def add_commands(group: typer.Typer) -> None:
    """Add the commands to `swath images`."""
    for name, state, text in (
        ("promote", "ACTIVE", "Let a version run, and serve its name."),
        ("reject", "REJECTED", "Refuse a version that was not active yet; jobs of it are refused."),
        ("deprecate", "DEPRECATED", "Warn whoever runs a version; the one before serves the name again."),
        ("retire", "RETIRED", "End a version for good: jobs of it are refused. What runs goes on."),
    ):
        group.command(name, help=text)(_make_move(state))
    for command in (history, own, compare):
        group.command()(command)


def _make_move(state: str) -> Callable[..., None]:
    def move(reference: Version, why: Why, as_json: AsJson = False) -> None:
        with open_client() as client:
            image = client.move_image(reference, state, why)
        if as_json:
            print_json(image)
        else:
            say(f"{image['name']}:{image['version']} is {image['state']}")

    return move


def history(reference: Version, as_json: AsJson = False) -> None:
    """What became of a version: states, by whom, when and why."""
    with open_client() as client:
        lines = client.image_transitions(reference)
    if as_json:
        print_json(lines)
        return
    rows = ((line["at"], line["before"], line["after"], line["user"], line["why"]) for line in lines)
    print_table(("at", "from", "to", "by", "why"), rows, empty="nothing is known of it")


def own(
    name: Annotated[str, typer.Argument(metavar="NAME", help="`ndvi`.")],
    owner: Annotated[str | None, typer.Option(help="Whose it is from now on.")] = None,
    project: Annotated[
        list[str] | None, typer.Option(help="May run it, with all below it; several times for several.")
    ] = None,
    everybody: Annotated[bool, typer.Option("--everybody", help="Every project may run it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say whose an image is, and which projects may run it; what is not said stays."""
    if everybody and project:
        raise typer.BadParameter("is everybody or some projects, not both", param_hint="--everybody")
    with open_client() as client:
        known = client.image(name)
        projects = None if everybody else project or known["projects"]
        image = client.own_image(name, owner or known["owner"] or "nobody", projects)
    if as_json:
        print_json(image)
    else:
        say(f"{name} is {image['owner']}'s, for {', '.join(image['projects'] or ()) or 'every project'}")


def compare(
    before: Version,
    after: Annotated[str, typer.Argument(metavar="OTHER", help="Another version: `1.1.0`, `ndvi:1.1.0@sha256:...`.")],
    as_json: AsJson = False,
) -> None:
    """Show what differs between two versions: manifest, size, layers, packages."""
    other = after if ":" in after.partition("@")[0] else f"{before.partition(':')[0]}:{after}"
    with open_client() as client:
        found = client.compare_images(before, other)
    if as_json:
        print_json(found)
        return
    print_fields(_to_fields(found))
    rows = ((entry["path"], _short(entry["before"]), _short(entry["after"])) for entry in found["manifest"])
    print_table(("manifest", "before", "after"), rows, empty="the manifests are the same")
    if found["packages"]:
        print_table(("package", "before", "after"), _to_packages(found["packages"]), empty="the packages are the same")


def _to_fields(found: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    layers = found["layers"]
    yield "before", found["before"]
    yield "after", found["after"]
    if None not in found["size"].values():
        yield "size", f"{size(found['size']['before'])} before, {size(found['size']['after'])} after"
    if layers:
        shared, added = size(layers["shared_bytes"]), size(layers["added_bytes"])
        yield "layers", f"{layers['shared']} shared ({shared}), {layers['added']} new ({added})"


def _to_packages(packages: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    yield from ((name, None, version) for name, version in packages["added"].items())
    yield from ((name, version, None) for name, version in packages["removed"].items())
    yield from ((name, *versions) for name, versions in packages["changed"].items())


def _short(value: Any) -> Any:
    """What fits into a table; None stays, which is shown as nothing."""
    text = None if value is None else str(value)
    return text if text is None or len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."
