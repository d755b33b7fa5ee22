"""`swath images`: list, show, register."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from swath.cli.console import print_fields, print_json, print_table, say
from swath.cli.jobdoc import parse_json, read_text
from swath.cli.options import AsJson, open_client
from swath.domain.errors import NotFoundError
from swath.domain.resources import to_digits

Reference = Annotated[str, typer.Argument(metavar="IMAGE", help="`ndvi` (newest version) or `ndvi:1.0.0`.")]
MANIFEST, OTHER_MANIFEST = "seed.manifest.json", "swath.manifest.json"


def add_commands(app: typer.Typer) -> None:
    """Add `images` with its own commands; without one, it lists."""
    group = typer.Typer(invoke_without_command=True, help="List, show and register processing images.")
    group.callback()(list_images)
    group.command("list")(list_again)
    group.command("show")(show)
    group.command("register")(register)
    app.add_typer(group, name="images", rich_help_panel="Cluster and images")


def list_images(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List, show and register processing images; alone, it lists them.

    \b
      swath images
      swath images show ndvi
      swath images register ./images/ndvi
    """
    if ctx.invoked_subcommand is None:
        list_again(as_json)


def list_again(as_json: AsJson = False) -> None:
    """List the image versions."""
    with open_client() as client:
        found = client.images()
    if as_json:
        print_json(found)
        return
    rows = ((f"{image['name']}:{image['version']}", _where(image), _job(image).get("title", "")) for image in found)
    print_table(("image", "runs from", "title"), rows, empty="no images; `swath images register DIR` adds one")


def show(reference: Reference, as_json: AsJson = False) -> None:
    """Show what an image does and takes."""
    with open_client() as client:
        image = client.image(reference)
    if as_json:
        print_json(image)
        return
    job = _job(image)
    interface, amounts = job.get("interface", {}), job.get("resources", {}).get("scalar", [])
    print_fields(
        [
            ("image", f"{image['name']}:{image['version']}"),
            ("title", job.get("title")),
            ("description", job.get("description")),
            ("runs from", _where(image)),
            ("command", interface.get("command")),
            ("resources", ", ".join(f"{entry['name']} {to_digits(entry['value'])}" for entry in amounts)),
            ("time-out", f"{job['timeout']} s" if job.get("timeout") else None),
        ]
    )
    print_table(("input", "type", "required", "description"), _inputs(interface), empty="it takes nothing")
    codes = [(error["code"], error["name"], error.get("category", "job")) for error in job.get("errors", [])]
    if codes:
        print_table((">exit", "error", "fault of"), codes, empty="")


def _inputs(interface: dict[str, Any]) -> list[tuple[Any, ...]]:
    declared = interface.get("inputs", {})
    files = [
        (entry["name"], "files" if entry.get("multiple") else "file", *_details(entry))
        for entry in declared.get("files", [])
    ]
    return files + [
        (entry["name"], entry.get("type", "string"), *_details(entry)) for entry in declared.get("json", [])
    ]


def _details(entry: dict[str, Any]) -> tuple[str, str]:
    return ("yes" if entry.get("required", True) else "no", ", ".join(entry.get("mediaTypes", [])))


def register(
    context: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Build context with seed.manifest.json; runs as a process.")
    ] = None,
    manifest: Annotated[str | None, typer.Option(help="File with the Seed manifest (default: in DIR).")] = None,
    reference: Annotated[str | None, typer.Option(help="Where a registry has it: registry/ndvi@sha256:...")] = None,
    image_id: Annotated[str | None, typer.Option(help="Id in this machine's Docker engine: sha256:...")] = None,
    as_json: AsJson = False,
) -> None:
    """Add an image version to the catalogue.

    \b
      swath images register ./images/ndvi
      swath images register --manifest seed.manifest.json --reference registry.example/ndvi@sha256:...
    """
    if context is None and manifest is None:
        raise typer.BadParameter("name a build context, or a manifest with --manifest", param_hint="DIR")
    if context is not None and not context.is_dir():
        raise NotFoundError(f"there is no directory {context}")
    source = manifest or str((context or Path()) / MANIFEST)
    other = Path(source).with_name(OTHER_MANIFEST)
    document = {
        "manifest": parse_json(read_text(source), source, dict),
        "swath_manifest": parse_json(other.read_text(), str(other), dict) if other.is_file() else None,
        "reference": reference,
        "image_id": image_id,
        "context": str(context.absolute()) if context else None,
    }
    with open_client() as client:
        image = client.register_image(document)
    if as_json:
        print_json(image)
    else:
        say(f"registered {image['name']}:{image['version']}")


def _job(image: dict[str, Any]) -> dict[str, Any]:
    return dict((image.get("manifest") or {}).get("job") or {})


def _where(image: dict[str, Any]) -> str:
    return str(image.get("reference") or image.get("image_id") or image.get("context") or "")
