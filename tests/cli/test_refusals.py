"""Every command, walked over: --json, and what is said and which exit code there is when it cannot do what it was told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import Result

from swath.cli.main import app
from tests.cli.conftest import JOB_ID, StandIn, a_job, an_agent

Swath = Callable[..., Result]
FIELDS = {"type", "title", "status", "detail", "instance", "exit_code"}
# What has to be said beside what is required, or otherwise than by a name.
WORDS = {
    "submit": ("true",),
    "schedules add": ("nightly", "* * * * *", "--file", "-"),
    "tokens create": ("ci", "--scope", "push"),
    "images push": (f"registry.example/eo/ndvi:1@sha256:{'1' * 64}", "--no-push"),
}
# They look at this machine, not at a cluster.
ALONE = {
    "up",
    "down",
    "demo",
    "doctor",
    "completion",
    "simulate",
    "images register",
    "images push",
    "schedules add",
    "secrets new-key",
}


def _walk(command: Any, way: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    inner = getattr(command, "commands", {})
    if not inner or command.invoke_without_command:
        yield way, command
    for name, entry in inner.items():
        yield from _walk(entry, (*way, name))


COMMANDS = dict(_walk(typer.main.get_command(app)))
ASKING = [way for way in COMMANDS if " ".join(way) not in ALONE]


def _words(way: tuple[str, ...]) -> tuple[str, ...]:
    """The command with as many words behind it as it needs to be understood."""
    parameters = COMMANDS[way].params
    needed = [word for parameter in parameters if parameter.required for word in _word_for(parameter)]
    yes = ["--yes"] if any("--yes" in parameter.opts for parameter in parameters) else []
    return (*way, *WORDS.get(" ".join(way), (*needed, *yes)))


def _word_for(parameter: Any) -> list[str]:
    option = [parameter.opts[0]] if parameter.opts[0].startswith("-") else []
    return [*option, JOB_ID if parameter.name.startswith("job") else "a1"]


NAMING = [way for way in ASKING if any(parameter.required for parameter in COMMANDS[way].params)]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that write files do so in no checkout."""
    monkeypatch.chdir(tmp_path)


def the_problem(done: Result) -> dict[str, Any]:
    """The last line of stderr, which has the fields of the API's problems."""
    assert done.stdout == ""
    document: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    assert document.keys() >= FIELDS
    assert document["exit_code"] == done.exit_code
    return document


@pytest.mark.parametrize("way", COMMANDS, ids=" ".join)
def test_every_command_takes_json(way: tuple[str, ...]) -> None:
    """There is none whose answer a program could not read."""
    assert any("--json" in parameter.opts for parameter in COMMANDS[way].params)


@pytest.mark.parametrize("way", ASKING, ids=" ".join)
def test_every_command_ends_with_5_where_no_cluster_answers(
    swath: Swath, monkeypatch: pytest.MonkeyPatch, way: tuple[str, ...]
) -> None:
    """And says so in a problem document, whether --json stands behind the command or before it."""
    monkeypatch.setenv("SWATH_URL", "http://127.0.0.1:1")
    words = _words(way)
    for line in ((*words, "--json"), ("--json", *words)):
        done = swath(*line, input="x")
        assert done.exit_code == 5, done.output
        assert the_problem(done)["type"] == "urn:swath:problem:unreachable"
    done = swath(*words, input="x")
    assert (done.exit_code, "error: the API at http://127.0.0.1:1 does not answer" in done.stderr) == (5, True)


@pytest.mark.parametrize("way", [way for way in NAMING if way != ("projects", "set")], ids=" ".join)
def test_every_command_ends_with_3_where_there_is_no_such_thing(
    api: StandIn, swath: Swath, way: tuple[str, ...]
) -> None:
    """The service's own document is shown, with the exit code."""
    done = swath(*_words(way), "--json", input="x")
    assert done.exit_code == 3, done.output
    assert api.asked
    document = json.loads(done.stderr.splitlines()[-1])
    assert (document["type"], document["exit_code"]) == ("urn:swath:problem:not-found", 3)


@pytest.mark.parametrize("way", COMMANDS, ids=" ".join)
def test_every_command_ends_with_2_where_its_words_are_wrong(api: StandIn, swath: Swath, way: tuple[str, ...]) -> None:
    """An option that there is not; nobody is asked."""
    done = swath(*_words(way), "--wat", "--json")
    assert done.exit_code == 2
    assert the_problem(done)["type"] == "urn:swath:problem:usage"
    assert api.asked == []


def test_no_value_of_an_option_is_refused_in_the_validators_words(api: StandIn, swath: Swath) -> None:
    """Each option with what can be no number: 2, in our words. An option of a text is followed by one that there is not."""
    options = {
        parameter.opts[0]: way
        for way, command in COMMANDS.items()
        for parameter in command.params
        if parameter.opts[0].startswith("--") and not parameter.is_flag
    }
    assert len(options) > 70
    for option, way in options.items():
        done = swath(*_words(way), f"{option}=-x", "--json", "--no-such-option")
        assert done.exit_code == 2, (option, done.output)
        assert not any(word in done.stderr for word in ("Input", "should", "valid")), done.stderr


@pytest.mark.parametrize(
    ("words", "path", "message"),
    [
        (("jobs", "--limit", "0"), "--limit", "must be at least 1"),
        (("jobs", "--limit", "x"), "--limit", "must be a whole number"),
        (("up", "--agents", "65"), "--agents", "must be at most 64"),
        (("submit", "true", "--cpus", "x"), "--cpus", "must be a number"),
        (("show", JOB_ID, "x"), "index", "must be a whole number"),
        (("submit", "true", "--mem", "much"), "/resources", "must look like 2048, 512M or 2G, is 'much'"),
        (("projects", "set", "land", "--quota", "cpus"), "--quota", "must look like NAME=VALUE, is 'cpus'"),
        (("drain",), None, None),
        ((), None, None),
    ],
)
def test_a_wrong_word_is_named_in_our_words(
    api: StandIn, swath: Swath, words: tuple[str, ...], path: str | None, message: str | None
) -> None:
    """For programs by its name, for people in a sentence."""
    document = the_problem(swath("--json", *words))
    assert document["exit_code"] == 2
    assert document.get("errors", [{"path": None, "message": None}]) == [{"path": path, "message": message}]
    assert message is None or message.replace(" ", "") in swath(*words).stderr.replace("│", "").translate(_NO_BLANKS)


_NO_BLANKS = str.maketrans("", "", " \n")


def test_what_json_cannot_say_is_refused_by_its_place(api: StandIn, swath: Swath) -> None:
    """2, not a fault: NaN and infinity in options and documents."""
    manifest = {"job": {"interface": {"inputs": {"json": [{"name": "X", "type": "number"}]}}}}
    api.answer("GET", "/v1/images/true", {"manifest": manifest})
    for words, text in (
        (("--mem", "nan"), None),
        (("--disk", "1e400"), None),
        (("--resource", "tape=inf"), None),
        (("--prefer", "region=ispra nan"), None),
        (("X=NaN",), None),
        (("X=" + "[" * 100_000,), None),
        (("--name", "a\udcff"), None),
        (("--file", "-"), '{"image": "true", "priority": Infinity}'),
    ):
        image = () if text else ("true",)
        assert swath("submit", *image, *words, input=text).exit_code == 2, words
    assert not [entry for entry in api.asked if entry[0] == "POST"]


def test_a_refused_document_is_the_services_own(api: StandIn, swath: Swath) -> None:
    """4, with every field that the service has said."""
    problems = [{"path": "/name", "message": "is too long"}]
    api.refuse("POST", "/v1/jobs", 422, "cannot-run", "refused", problems)
    done = swath("submit", "--file", "-", "--json", input='{"image": "true"}')
    assert done.exit_code == 4
    document = json.loads(done.stderr)
    assert (document["type"], document["errors"]) == ("urn:swath:problem:cannot-run", problems)
    assert document["exit_code"] == 4


def test_what_no_service_of_ours_said_is_a_document_all_the_same(api: StandIn, swath: Swath) -> None:
    """A proxy's page between us and the cluster."""
    api.answer("GET", "/v1/jobs", "<html>Bad gateway</html>", 502)
    done = swath("jobs", "--json")
    assert done.exit_code == 5
    assert "502" in the_problem(done)["detail"]


def test_a_file_that_is_not_there_ends_with_3(api: StandIn, swath: Swath, tmp_path: Path) -> None:
    """Wherever a command reads one."""
    missing = str(tmp_path / "missing")
    api.answer("GET", "/v1/images/true", {"manifest": {"job": {}}})
    for words in (
        ("submit", "--file", missing),
        ("submit", "true", "--array", f"A={missing}"),
        ("submit", "true", "--over", f"A=@{missing}"),
        ("submit", "true", "--over", f"A={missing}/*"),
        ("schedules", "add", "nightly", "* * * * *", "--file", missing),
        ("images", "register", missing),
        ("images", "register", "--manifest", missing),
        ("simulate", missing),
        ("simulate", "--cluster", missing),
        ("demo", "--input", missing),
    ):
        done = swath(*words, "--json")
        assert done.exit_code == 3, (words, done.output)
        assert "missing" in the_problem(done)["detail"]


def test_what_is_removed_is_told_to_programs(api: StandIn, swath: Swath) -> None:
    """Though there is nothing left to show."""
    for name, words in (("projects", "land"), ("schedules", "nightly")):
        api.answer("DELETE", f"/v1/{name}/{words}", "", 204)
        assert json.loads(swath(name, "remove", words, "--json").stdout) == {"removed": words}


def test_json_may_be_asked_for_before_everything(api: StandIn, swath: Swath) -> None:
    """The answer is that of --json behind it."""
    api.has_job(a_job())
    api.answer("GET", "/v1/agents", {"items": [an_agent()]})
    for words in (("jobs",), ("agents",), ("agents", "list"), ("show", JOB_ID)):
        assert json.loads(swath("--json", *words).stdout) == json.loads(swath(*words, "--json").stdout)
