"""docker-compose.yml is valid for Debian's docker-compose (1.29), closed to the network, and would run a task as it stands."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from scheduler.settings import Settings
from tests.fixtures.machine import skip_or_fail

ROOT = Path(__file__).parents[2]
OWN_PROGRAMS = ("migrate", "scheduler", "api")
# docker-compose 1.29 prints YAML only; it is itself a program of the system's Python, with PyYAML.
TO_JSON = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """What deploy/prepare.sh makes, somewhere else than in /var/lib."""
    folder = tmp_path_factory.mktemp("cluster")
    variables = {"SWATH_DIR": str(folder), "SWATH_ENV_FILE": str(folder / "env")}
    if os.getuid() != 0:  # only root can give the token to another user
        variables |= {"SWATH_UID": str(os.getuid()), "SWATH_GID": str(os.getgid())}
    for _ in range(2):  # the second run changes nothing
        subprocess.run(
            [ROOT / "deploy" / "prepare.sh"], env={**os.environ, **variables}, check=True, capture_output=True
        )
    return folder


def compose(*arguments):
    if shutil.which("docker-compose") is None:
        skip_or_fail("docker-compose is absent")
    return subprocess.run(["docker-compose", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def config(directory):
    """The file as docker-compose understands it."""
    done = compose("--env-file", str(directory / "env"), "config")
    assert done.returncode == 0, done.stderr
    read = subprocess.run(
        ["/usr/bin/python3", "-c", TO_JSON], input=done.stdout, capture_output=True, text=True, check=True
    )
    return json.loads(read.stdout)


@pytest.fixture
def scheduler_settings(config, monkeypatch):
    """The scheduler's settings, read as the scheduler reads them."""
    for name, value in config["services"]["scheduler"]["environment"].items():
        monkeypatch.setenv(name, value)
    return Settings()


def test_the_file_is_valid(config):
    """And holds everything that a small cluster needs."""
    expected = {"zookeeper", "mesos-master", "mesos-agent", "postgres", "registry", "prometheus", *OWN_PROGRAMS}
    assert set(config["services"]) == expected


def test_the_file_has_no_top_level_name():
    """docker-compose 1.29 refuses it."""
    assert not re.search(r"^name:", (ROOT / "docker-compose.yml").read_text(), re.MULTILINE)


def test_nothing_starts_without_secrets(tmp_path):
    """The message names the script that makes them."""
    (tmp_path / "env").touch()
    done = compose("--env-file", str(tmp_path / "env"), "config")
    assert done.returncode != 0
    assert "run deploy/prepare.sh" in done.stderr


def test_the_preparation_keeps_secrets_to_their_owner(directory):
    """Token and password, each made once."""
    for name in ("token", "env"):
        assert (directory / name).stat().st_mode & 0o077 == 0
    assert len((directory / "token").read_text().strip()) >= 32
    assert re.search(r"^POSTGRES_PASSWORD=[\w-]{32,}$", (directory / "env").read_text(), re.MULTILINE)


def test_master_and_agent_ask_for_the_credentials_that_our_programs_have(config, directory):
    """Each file is in Mesos' form, its owner's alone, and holds the secrets of .env."""
    read = {
        name: json.loads((directory / "credentials" / name).read_text()) for name in ("master", "agent", "agent-http")
    }
    for name in read:
        assert (directory / "credentials" / name).stat().st_mode & 0o077 == 0, name
    environments = {name: service.get("environment", {}) for name, service in config["services"].items()}
    scheduler, api = environments["scheduler"], environments["api"]
    ours = {"principal": scheduler["SWATH_PRINCIPAL"], "secret": scheduler["SWATH_SECRET"]}
    assert len(ours["secret"]) >= 32
    assert (api["SWATH_AGENT_PRINCIPAL"], api["SWATH_AGENT_SECRET"]) == (ours["principal"], ours["secret"])
    assert read["master"] == {"credentials": [ours, read["agent"]]}
    assert read["agent-http"] == {"credentials": [ours]}
    for name in ("mesos-master", "mesos-agent"):
        assert environments[name]["MESOS_AUTHENTICATE_HTTP_READONLY"] == "true"
        assert environments[name]["MESOS_AUTHENTICATE_HTTP_READWRITE"] == "true"
    for name in ("HTTP_FRAMEWORKS", "FRAMEWORKS", "AGENTS"):
        assert environments["mesos-master"][f"MESOS_AUTHENTICATE_{name}"] == "true"
    for name, variable, file in (
        ("mesos-master", "MESOS_CREDENTIALS", "master"),
        ("mesos-agent", "MESOS_CREDENTIAL", "agent"),
        ("mesos-agent", "MESOS_HTTP_CREDENTIALS", "agent-http"),
    ):
        mount = f"{directory / 'credentials' / file}:{environments[name][variable]}:ro"
        assert mount in config["services"][name]["volumes"]


def test_an_environment_of_an_earlier_version_gets_the_secret_that_it_lacks(tmp_path):
    """And keeps what it has."""
    (tmp_path / "env").write_text("POSTGRES_PASSWORD=kept\n")
    variables = {"SWATH_DIR": str(tmp_path), "SWATH_ENV_FILE": str(tmp_path / "env")}
    variables |= {"SWATH_UID": str(os.getuid()), "SWATH_GID": str(os.getgid())}
    subprocess.run([ROOT / "deploy" / "prepare.sh"], env={**os.environ, **variables}, check=True, capture_output=True)
    assert re.fullmatch(r"POSTGRES_PASSWORD=kept\nSWATH_SECRET=[\w-]{32,}\n", (tmp_path / "env").read_text())


def test_published_ports_are_the_loopbacks(config):
    """And what shares the host's network listens there alone."""
    for name, service in config["services"].items():
        for port in service.get("ports", ()):
            assert str(port).startswith("127.0.0.1:"), name
    environments = {name: service.get("environment", {}) for name, service in config["services"].items()}
    assert environments["mesos-master"]["MESOS_IP"] == environments["mesos-agent"]["MESOS_IP"] == "127.0.0.1"
    assert environments["api"]["SWATH_API_HOST"] == "127.0.0.1"
    assert "--web.listen-address=127.0.0.1:9090" in config["services"]["prometheus"]["command"]


def test_our_own_programs_run_closed(config):
    """Not as root, on a read-only file system, without capabilities or the engine's socket."""
    for name in OWN_PROGRAMS:
        service = config["services"][name]
        assert not service["user"].startswith("0:"), name
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"]), name
        assert not any("docker.sock" in volume for volume in service.get("volumes", ())), name


def test_everything_that_stays_has_a_health_check(config):
    """So that what depends on it waits."""
    without = {name for name, service in config["services"].items() if "healthcheck" not in service}
    assert without == {"migrate"}
    for name in ("scheduler", "api"):
        condition = config["services"][name]["depends_on"]["migrate"]["condition"]
        assert condition == "service_completed_successfully"


def test_the_executor_is_a_container_of_the_same_image(config, scheduler_settings):
    """With the engine's socket, and the agent's work directory under its own path (DESIGN.md 4.2)."""
    executor = scheduler_settings.make_executor()
    container = executor["container"]
    assert container["docker"]["image"] == config["services"]["scheduler"]["image"]
    assert container["docker"]["network"] == "HOST"  # from a bridge it cannot reach the agent (transcript 14)
    paths = {volume["host_path"]: volume["container_path"] for volume in container["volumes"]}
    assert all(host == inside for host, inside in paths.items())
    work_dir = config["services"]["mesos-agent"]["environment"]["MESOS_WORK_DIR"]
    assert {"/var/run/docker.sock", work_dir, str(scheduler_settings.outputs_root)} <= set(paths)
    assert executor["command"]["value"] == "exec python -m executor"


def test_the_executor_allows_no_process_runtime(scheduler_settings):
    """A cluster runs containers only (ADR 7), on inputs below one directory."""
    assert scheduler_settings.executor_env["SWATH_PROCESS_RUNTIME"] == "0"
    assert scheduler_settings.executor_env["SWATH_INPUT_ROOTS"] != "/"


def test_the_api_sees_inputs_and_outputs_where_the_executor_does(config, scheduler_settings):
    """Read-only, under the same paths."""
    volumes = config["services"]["api"]["volumes"]
    for path in (str(scheduler_settings.outputs_root), scheduler_settings.executor_env["SWATH_INPUT_ROOTS"]):
        assert f"{path}:{path}:ro" in volumes


def test_every_image_name_can_be_changed():
    """By a variable with a default."""
    images = re.findall(r"^\s*image: (.*)$", (ROOT / "docker-compose.yml").read_text(), re.MULTILINE)
    assert len(images) == 7
    assert all(
        re.fullmatch(r"\$\{[A-Z_]+_IMAGE:-[^}]+\}", image) or image.startswith("${MESOS_IMAGE:-") for image in images
    )


def test_prometheus_collects_from_the_ports_that_are_served(config):
    """The api's and the scheduler's, with the api's token."""
    text = (ROOT / "deploy" / "prometheus.yml").read_text()
    environments = {name: config["services"][name]["environment"] for name in ("api", "scheduler")}
    assert f'"127.0.0.1:{environments["api"]["SWATH_API_PORT"]}"' in text
    assert f'"127.0.0.1:{environments["scheduler"]["SWATH_HTTP_PORT"]}"' in text
    assert environments["api"]["SWATH_TOKEN_FILE"] in text
