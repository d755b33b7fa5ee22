"""`swath images`: list, show, register."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from swath.cli import image_states
from swath.cli.console import duration, print_fields, print_json, print_table, say, size, when
from swath.cli.jobdoc import parse_json, read_text
from swath.cli.options import AsJson, open_client
from swath.cli.push import push
from swath.domain.errors import NotFoundError
from swath.domain.manifest import FILE, SWATH_FILE
from swath.domain.resources import to_digits

Reference = Annotated[str, typer.Argument(metavar="IMAGE", help="`ndvi` (newest version) or `ndvi:1.0.0`.")]


def add_commands(app: typer.Typer) -> None:
    """Add `images` with its own commands; without one, it lists."""
    group = typer.Typer(invoke_without_command=True, help="The catalogue of processing images.")
    group.callback()(list_images)
    group.command("list")(list_again)
    group.command("show")(show)
    group.command("register")(register)
    group.command("push")(push)
    image_states.add_commands(group)
    app.add_typer(group, name="images", rich_help_panel="Cluster and images")


def list_images(ctx: typer.Context, as_json: AsJson = False) -> None:
    """The catalogue of processing images; alone, it lists them.

    \b
      swath images
      swath images show ndvi
      swath images register ./images/ndvi
      swath images deprecate ndvi:1.1.0 --why "wrong over water"
    """
    if ctx.invoked_subcommand is None:
        list_again(as_json=as_json)


def list_again(
    text: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="In name, title, tags or labels.")] = None,
    state: Annotated[str | None, typer.Option(help="Such as ACTIVE or DEPRECATED.")] = None,
    owner: Annotated[str | None, typer.Option(help="Whose images.")] = None,
    project: Annotated[str | None, typer.Option(help="That may run them.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="KEY=VALUE; several times for several.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the image versions, or those that are searched for."""
    state = state.upper() if state else None
    with open_client() as client:
        found = client.images(text=text, state=state, owner=owner, project=project, label=label)
    if as_json:
        print_json(found)
        return
    rows = (
        (
            f"{image['name']}:{image['version']}",
            image.get("state"),
            _short(image),
            _where(image),
            _job(image).get("title"),
        )
        for image in found
    )
    print_table(
        ("image", "state", "digest", "runs from", "title"),
        rows,
        empty="no images; `swath images register DIR` adds one",
    )


def show(reference: Reference, as_json: AsJson = False) -> None:
    """Show what an image does and takes."""
    with open_client() as client:
        image = client.image(reference)
        if as_json:
            print_json(image)
            return
        usage = client.image_usage(f"{image['name']}:{image['version']}")
    job = _job(image)
    interface, amounts = job.get("interface", {}), job.get("resources", {}).get("scalar", [])
    print_fields(
        [
            ("image", f"{image['name']}:{image['version']}"),
            ("title", job.get("title")),
            ("description", job.get("description")),
            ("state", image["state"]),
            ("owner", image["owner"]),
            ("for projects", ", ".join(image["projects"] or ())),
            ("runs from", _where(image)),
            ("digest", image["digest"]),
            *_provenance(image),
            ("used", _use(usage)),
            ("command", interface.get("command")),
            ("resources", ", ".join(f"{entry['name']} {to_digits(entry['value'])}" for entry in amounts)),
            ("time-out", f"{job['timeout']} s" if job.get("timeout") else None),
        ]
    )
    print_table(("input", "type", "required", "description"), _inputs(interface), empty="it takes nothing")
    codes = [(error["code"], error["name"], error.get("category", "job")) for error in job.get("errors", [])]
    if codes:
        print_table((">exit", "error", "fault of"), codes, empty="")


def _short(image: dict[str, Any]) -> str:
    """What tells versions of one name apart: an image that was built anew from other files is another."""
    return str(image.get("digest") or "").partition(":")[2][:12]


def _provenance(image: dict[str, Any]) -> list[tuple[str, Any]]:
    """What is known of where it comes from."""
    moved = image["tag_digest"] and image["tag_digest"] != image["digest"]
    tag = f"{image['tag']} has moved to {image['tag_digest']}" if moved else image["tag"]
    return [
        ("tag", tag),
        ("platform", image["platform"]),
        ("size", size(image["size"]) if image["size"] is not None else None),
        ("layers", len(image["layers"] or ()) or None),
        ("pushed by", image["pushed_by"]),
        *sorted((image["provenance"] or {}).items()),
        ("signed by", image["signed_by"]),
        ("packages", len(image["packages"] or ()) or None),
        ("missing", f"from its registry, since {when(image['missing_since'])}" if image["missing_since"] else None),
        ("measured", tell_profile(image["profile"] or {})),
    ]


def tell_profile(profile: dict[str, Any]) -> str | None:
    """ "passed: 2.5 s, 2.0 s of CPU, 300 of 512 MiB" """
    if not profile:
        return None
    figures = [
        f"{profile['run_s']:.1f} s" if profile.get("run_s") is not None else None,
        f"{profile['cpu_s']:.1f} s of CPU" if profile.get("cpu_s") is not None else None,
        f"{profile['max_mem']:.0f} of {profile['asked']['mem']:.0f} MiB"
        if profile.get("max_mem") is not None
        else None,
    ]
    said = ", ".join(figure for figure in figures if figure)
    return f"{profile.get('verdict')}: {said}" if said else str(profile.get("verdict"))


def _use(usage: dict[str, Any]) -> str | None:
    """ "12 attempts, 1 min, 8.3 % failed (OOM 1)" """
    if not usage["attempts"]:
        return None
    bad = ", ".join(
        f"{name} {count}" for name, count in usage["outcomes"].items() if name not in ("SUCCEEDED", "RUNNING")
    )
    rate = "" if usage["failure_rate"] is None else f", {usage['failure_rate']:.1%} failed"
    return f"{usage['attempts']} attempts, {duration(usage['held_s'])}{rate}" + (f" ({bad})" if bad else "")


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
    reference: Annotated[str | None, typer.Option(help="Where a registry has it: registry/ndvi:1.0.0.")] = None,
    image_id: Annotated[str | None, typer.Option(help="Id in this machine's Docker engine: sha256:...")] = None,
    as_json: AsJson = False,
) -> None:
    """Add an image version to the catalogue.

    \b
      swath images register ./images/ndvi
      swath images register --reference registry.example/ndvi:1.0.0
      swath images register --manifest seed.manifest.json --image-id sha256:...

    Of what a registry has, the manifest is read from the image's labels.
    """
    if context is None and manifest is None and reference is None:
        raise typer.BadParameter("name a build context, a manifest with --manifest, or a --reference", param_hint="DIR")
    if context is not None and not context.is_dir():
        raise NotFoundError(f"there is no directory {context}")
    document = {
        **(_read_manifests(manifest or str((context or Path()) / FILE)) if context or manifest else {}),
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


def _read_manifests(source: str) -> dict[str, Any]:
    """The manifest in a file, and what stands beside it."""
    other = Path(source).with_name(SWATH_FILE)
    return {
        "manifest": parse_json(read_text(source), source, dict),
        "swath_manifest": parse_json(other.read_text(), str(other), dict) if other.is_file() else None,
    }


def _job(image: dict[str, Any]) -> dict[str, Any]:
    return dict((image.get("manifest") or {}).get("job") or {})


def _where(image: dict[str, Any]) -> str:
    return str(image.get("reference") or image.get("image_id") or image.get("context") or "")
