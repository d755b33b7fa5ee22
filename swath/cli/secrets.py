"""`swath secrets`: set, list, remove, rotate, new-key. A value is typed or piped, and never stands on a command line."""

from __future__ import annotations

import base64
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from swath.cli.console import print_json, print_table, say
from swath.cli.options import AsJson, open_client
from swath.cli.var import write_private
from swath.domain.errors import InvalidInputError

Name = Annotated[str, typer.Argument(metavar="NAME", help="What the secret is called.")]
Project = Annotated[str, typer.Option(help="Whose it is.")]


def add_commands(app: typer.Typer) -> None:
    """Add `secrets` with its own commands; without one, it lists."""
    group = typer.Typer(invoke_without_command=True, help="Secrets that tasks are given.")
    group.callback()(list_secrets)
    group.command("set")(set_secret)
    group.command("list")(list_again)
    group.command("remove")(remove)
    group.command("rotate")(rotate)
    group.command("new-key")(new_key)
    app.add_typer(group, name="secrets", rich_help_panel="Cluster and images")


def list_secrets(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Secrets that tasks are given; alone, it lists them, without their values.

    \b
      swath secrets set EARTHDATA_TOKEN < token.txt
      swath secrets set EARTHDATA_TOKEN --project forest
      swath secrets remove EARTHDATA_TOKEN
    """
    if ctx.invoked_subcommand is None:
        list_again(as_json=as_json)


def set_secret(name: Name, project: Project = "default", as_json: AsJson = False) -> None:
    """Keep a secret, or replace it; its value is asked for, or read from stdin without its last line end."""
    if sys.stdin.isatty():
        value = typer.prompt(f"value of {name}", hide_input=True, confirmation_prompt=True)
    else:
        value = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    if not value:
        raise InvalidInputError.at("/value", "is empty; pipe it, or type it when it is asked for")
    with open_client() as client:
        kept = client.set_secret(name, value, project=project)
    if as_json:
        print_json(kept)
    else:
        say(f"secret {name} of {project} is kept; attempts that start from now on get it")


def list_again(
    project: Annotated[str | None, typer.Option(help="Of this one only.")] = None, as_json: AsJson = False
) -> None:
    """List the secrets, without their values."""
    with open_client() as client:
        found = client.secrets(project=project)
    if as_json:
        print_json(found)
        return
    rows = ((secret["project"], secret["name"], secret["changed_by"], secret["changed_at"]) for secret in found)
    print_table(("project", "secret", "set by", "at"), rows, empty="no secrets; `swath secrets set` keeps one")


def remove(name: Name, project: Project = "default", as_json: AsJson = False) -> None:
    """Forget a secret: attempts that start from now on and want it fail."""
    with open_client() as client:
        client.remove_secret(name, project=project)
    if as_json:
        print_json({"removed": name, "project": project})
    else:
        say(f"secret {name} of {project} is forgotten")


def rotate(as_json: AsJson = False) -> None:
    """Seal all secrets by the key file's first key; afterwards the others may be taken out of it."""
    with open_client() as client:
        sealed = client.rotate_secrets()
    if as_json:
        print_json({"sealed": sealed})
    else:
        say(f"{sealed} secrets are sealed by the first key")


def new_key(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="SWATH_SECRETS_KEY_FILE of the api and the scheduler.")],
    as_json: AsJson = False,
) -> None:
    """Put a new key before those in the file, or make the file: it seals from now on, and the others still open."""
    known = file.read_text(encoding="ascii") if file.exists() else ""
    write_private(file, make_key() + "\n" + known)
    if as_json:
        print_json({"file": str(file), "keys": len(known.split()) + 1})
    else:
        say(f"{file} begins with a new key; `swath secrets rotate` seals all by it")


def make_key() -> str:
    """A key of Fernet's form."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode()
