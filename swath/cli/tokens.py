"""`swath tokens`: create, list, revoke."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from swath.cli.console import print_json, print_table, say, when
from swath.cli.options import AsJson, open_client, parse_duration
from swath.domain.rights import TokenScope

Name = Annotated[str, typer.Argument(metavar="NAME", help="What the token is called.")]


def add_commands(app: typer.Typer) -> None:
    """Add `tokens` with its own commands; without one, it lists."""
    group = typer.Typer(invoke_without_command=True, help="Tokens that can do one thing: for CI, for a registry.")
    group.callback()(list_tokens)
    group.command("create")(create)
    group.command("list")(list_again)
    group.command("revoke")(revoke)
    app.add_typer(group, name="tokens", rich_help_panel="Cluster and images")


def list_tokens(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Tokens that can do one thing, for CI and for a registry; alone, it lists them.

    \b
      swath tokens create ci-ndvi --scope push --image ndvi --expires 90d
      swath tokens create registry --scope notify
      swath tokens revoke ci-ndvi
    """
    if ctx.invoked_subcommand is None:
        list_again(as_json)


def create(
    name: Name,
    scope: Annotated[TokenScope, typer.Option(help="push: images of CI; notify: a registry's webhook.")],
    image: Annotated[list[str] | None, typer.Option(help="Name of an image that it may push (repeatable).")] = None,
    user: Annotated[str | None, typer.Option(help="In whose name; yours by default.")] = None,
    project: Annotated[str | None, typer.Option(help="Whose resources verifications take.")] = None,
    expires: Annotated[str, typer.Option(help="How long it lasts: 90, 5m, 1h, 30d.")] = "90d",
    as_json: AsJson = False,
) -> None:
    """Make a token and print its text, which is kept nowhere: alone on stdout, so that it can be sent on."""
    lasts_s = parse_duration(expires, "--expires")
    with open_client() as client:
        made = client.create_token(name, scope, images=image or (), user=user, project=project, lasts_s=lasts_s)
    if as_json:
        print_json(made)
        return
    sys.stdout.write(made["token"] + "\n")
    say(f"token {name} for {_reach(made)} runs out {when(made['expires_at'])}; it is not shown again")


def list_again(as_json: AsJson = False) -> None:
    """List the tokens, without their texts."""
    with open_client() as client:
        found = client.tokens()
    if as_json:
        print_json(found)
        return
    rows = ((token["name"], _reach(token), token["user"], token["project"], _until(token)) for token in found)
    print_table(("token", "for", "user", "project", "until"), rows, empty="no tokens; `swath tokens create` makes one")


def revoke(
    name: Annotated[str, typer.Argument(metavar="TOKEN", help="Its name or id.")], as_json: AsJson = False
) -> None:
    """Take a token back: the next request with it is refused."""
    with open_client() as client:
        client.revoke_token(name)
    if as_json:
        print_json({"revoked": name})
    else:
        say(f"token {name} is revoked")


def _reach(token: dict[str, Any]) -> str:
    return " ".join([token["scope"], *token["images"]])


def _until(token: dict[str, Any]) -> str:
    return when(token["expires_at"]) + (" (has run out)" if token["expired"] else "")
