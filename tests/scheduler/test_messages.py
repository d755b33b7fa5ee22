"""Mesos' own messages, as recorded, become the core's events; the core's calls become Mesos' messages."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from scheduler.core import effects as fx
from scheduler.core import events as ev
from scheduler.core.from_mesos import to_agents, to_event
from scheduler.settings import Settings
from scheduler.to_mesos import Writer
from swath.domain.attempts import Attempt, AttemptSpec
from swath.domain.errors import WireError
from swath.domain.resources import Resources
from swath.domain.states import Observation
from swath.wire.endpoints import TlsOptions
from tests.scheduler.world import IMAGE, MANIFEST, NOON, a_job
from tests.wire.certificates import Authority

AGENT = "3c0fce3f-1a59-4266-acea-812768158413-S0"
CPUS = {"name": "cpus", "type": "SCALAR", "scalar": {"value": 3.4}, "role": "*", "allocation_info": {"role": "eo"}}
PORTS = {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 1, "end": 2}]}, "role": "*"}
TAPE = {"name": "tape", "type": "SCALAR", "scalar": {"value": 0.5}, "role": "*"}
RESERVED = {**CPUS, "reservations": [{"type": "STATIC", "role": "eo"}]}
OFFER = {
    "id": {"value": "o1"},
    "framework_id": {"value": "f1"},
    "agent_id": {"value": AGENT},
    "hostname": "node1",
    "url": {"scheme": "http", "address": {"hostname": "node1", "ip": "10.0.0.1", "port": 15101}, "path": "/slave(1)"},
    "resources": [CPUS, PORTS, RESERVED, TAPE],
    "executor_ids": [{"value": "ex-1"}],
    "attributes": [
        {"name": "rack", "type": "TEXT", "text": {"value": "r1"}},
        {"name": "level", "type": "SCALAR", "scalar": {"value": 3.0}},
    ],
    "domain": {"fault_domain": {"region": {"name": "ispra"}, "zone": {"name": "a"}}},
    "allocation_info": {"role": "eo"},
}


def test_m18_an_offer_is_read_without_what_is_reserved():
    """M18: reserved resources are not for tasks that ask for unreserved ones."""
    event = to_event({"type": "OFFERS", "offers": {"offers": [OFFER]}})
    assert isinstance(event, ev.Offered)
    (offer,) = event.offers
    assert offer.resources == Resources(cpus_m=3400, ports=2, custom=(("tape", 500),))
    assert list(offer.ports) == [1, 2]
    assert offer.url == "http://10.0.0.1:15101"
    assert offer.executor_ids == {"ex-1"}
    assert offer.attributes == {"rack": "r1", "level": "3"}
    assert (offer.region, offer.zone) == ("ispra", "a")


def test_an_update_keeps_its_uuid_as_it_came_and_its_data_decoded():
    """The uuid goes back in the acknowledgement, base64 as it was."""
    status = {
        "task_id": {"value": "t1"},
        "state": "TASK_FINISHED",
        "source": "SOURCE_EXECUTOR",
        "agent_id": {"value": AGENT},
        "uuid": "++TEiM2vQI2WxGfFWEx5MA==",
        "data": "eyJhIjoxfQ==",
    }
    assert to_event({"type": "UPDATE", "update": {"status": status}}) == ev.Update(
        task_id="t1",
        observation=Observation.FINISHED,
        agent_id=AGENT,
        uuid="++TEiM2vQI2WxGfFWEx5MA==",
        source="SOURCE_EXECUTOR",
        data=b'{"a":1}',
    )


def test_subscribed_tells_the_framework_id_and_the_leading_master():
    """Transcript 01."""
    info = {"ip": 16777343, "port": 15100, "hostname": "node0", "address": {"ip": "127.0.0.1", "port": 15100}}
    message = {"type": "SUBSCRIBED", "subscribed": {"framework_id": {"value": "f1"}, "master_info": info}}
    assert to_event(message) == ev.Subscribed(framework_id="f1", master="127.0.0.1:15100")


def test_the_list_of_agents_has_totals_what_is_given_away_and_the_address_behind_the_pid():
    """Transcript 12: GET_AGENTS."""
    entry = {
        "agent_info": {"hostname": "node1", "port": 15461, "id": {"value": AGENT}},
        "active": True,
        "deactivated": False,
        "pid": "slave(1)@10.0.0.1:15461",
        "total_resources": [{**CPUS, "scalar": {"value": 4.0}}, PORTS],
        "allocated_resources": [{**CPUS, "scalar": {"value": 0.5}, "allocation_info": {"role": "other"}}],
    }
    listed = to_agents({"type": "GET_AGENTS", "get_agents": {"agents": [entry]}}, NOON)
    (agent,) = listed.agents
    assert (agent.url, agent.total, agent.active) == ("http://10.0.0.1:15461", Resources(cpus_m=4000, ports=2), True)
    assert listed.allocated == {AGENT: Resources(cpus_m=500)}


@pytest.mark.parametrize(
    "message",
    [
        {"type": "UPDATE", "update": {}},
        {"type": "UPDATE", "update": {"status": {"task_id": {"value": "t"}, "state": "TASK_DANCING"}}},
        {"type": "OFFERS", "offers": {"offers": [{}]}},
        {"type": "SUBSCRIBED"},
    ],
)
def test_a_message_without_what_it_must_have_is_a_wire_error(message: dict):
    """Somebody else's mistake never looks like ours."""
    with pytest.raises(WireError):
        to_event(message)


def test_an_event_that_means_nothing_to_us_is_none():
    """Whatever a later Mesos sends."""
    assert to_event({"type": "NEWS"}) is None


def a_launch(**job: object) -> fx.Launch:
    record = a_job(**job)
    attempt = Attempt(
        id="A1",
        job_id=record.id,
        task_index=0,
        number=1,
        slot_id="A1",
        agent_id="a1",
        hostname="node1",
        resources=Resources(cpus_m=20, mem=8, ports=3, custom=(("tape", 500),)),
        ports=(31001, 31000, 31007),
        executor_id="swath-abc",
        launched_at=NOON,
    )
    return fx.Launch(attempt=attempt, job=record)


def a_writer(item: object = None) -> Writer:
    executor = {"executor_id": {"value": "swath-abc"}}
    return Writer(
        role="eo",
        framework={"user": "me", "roles": ["eo"]},
        executor=executor,
        outputs_root="/out",
        read_items=lambda job, indices: dict.fromkeys(indices, item),
    )


def test_m37_an_accept_carries_the_attempt_spec_and_its_time_out():
    """AttemptSpec in `data`, max_completion_time (M37), kill_policy (M36), allocation_info (M18)."""
    launch = a_launch(timeout_s=60)
    accept = fx.Accept(agent_id="a1", offer_ids=("o1", "o2"), launches=(launch,), refuse_s=600)
    message = a_writer().write(accept)
    assert message is not None
    assert [entry["value"] for entry in message["accept"]["offer_ids"]] == ["o1", "o2"]
    assert message["accept"]["filters"] == {"refuse_seconds": 600}
    (task,) = message["accept"]["operations"][0]["launch"]["task_infos"]
    spec = AttemptSpec.from_json(b64decode(task["data"]))
    assert (spec.attempt, spec.image.context, spec.timeout_s) == ("A1", "builtin:true", 60)
    assert spec.outputs_root == "/out"
    assert (spec.ports, spec.resources["custom"]) == ([31001, 31000, 31007], {"tape": 0.5})
    ports = next(entry for entry in task["resources"] if entry["name"] == "ports")
    assert ports["ranges"]["range"] == [{"begin": 31000, "end": 31001}, {"begin": 31007, "end": 31007}]
    assert task["max_completion_time"] == {"nanoseconds": 60_000_000_000}
    assert task["kill_policy"]["grace_period"]["nanoseconds"] > 0
    assert {entry["allocation_info"]["role"] for entry in task["resources"]} == {"eo"}


def test_the_manifest_of_an_image_that_is_registered_again_is_read_again():
    """It is read once for all launches of an image; what is said anew of the same digest counts from then on."""
    writer = a_writer(item={"href": "/data/x.tif"})
    launch = a_launch(array={"over": "F", "items": [1]})
    interface = {"command": "cat $F", "inputs": {"files": [{"name": "F"}]}}
    manifest = {**MANIFEST, "job": {**MANIFEST["job"], "interface": interface}}
    again = replace(launch.job.image, manifest=manifest, registered_at=NOON + timedelta(days=1))
    found = [_find_files(writer, replace(launch, job=replace(launch.job, image=image))) for image in (IMAGE, again)]
    assert found == [{}, {"F": ["/data/x.tif"]}]


def _find_files(writer: Writer, launch: fx.Launch) -> dict[str, list[str]]:
    message = writer.write(fx.Accept(agent_id="a1", offer_ids=("o1",), launches=(launch,), refuse_s=600))
    assert message is not None
    (task,) = message["accept"]["operations"][0]["launch"]["task_infos"]
    return dict(AttemptSpec.from_json(b64decode(task["data"])).files)


def test_a_task_that_cannot_be_described_is_left_out_and_remembered():
    """Its offers go back when nothing else is launched on them."""
    writer = a_writer(item=17)
    launch = a_launch(array={"over": "SCENE", "items": [17]}, inputs={"SCENE": {"item": True}})
    message = writer.write(fx.Accept(agent_id="a1", offer_ids=("o1",), launches=(launch,), refuse_s=5))
    assert message is not None
    assert message["type"] == "DECLINE"
    (refused,) = writer.take_refused()
    assert refused.attempt_id == "A1"
    assert "href" in refused.message
    assert writer.take_refused() == []


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (fx.Decline(offer_ids=("o1",), refuse_s=1), "DECLINE"),
        (fx.Revive(), "REVIVE"),
        (fx.Suppress(), "SUPPRESS"),
        (fx.Acknowledge(agent_id="a", task_id="t", uuid="u"), "ACKNOWLEDGE"),
        (fx.Kill(task_id="t", agent_id="a"), "KILL"),
        (fx.Reconcile(tasks=(("t", "a"),)), "RECONCILE"),
    ],
)
def test_every_call_has_its_message(call: fx.Call, kind: str):
    """One message each."""
    message = a_writer().write(call)
    assert message is not None
    assert message["type"] == kind


def settings(**more: object) -> Settings:
    given = {"database_url": "sqlite:///x", "outputs_root": "/out", "executor_command": "run", **more}
    return Settings(**given)


def test_the_matchers_policy_is_a_setting_and_what_is_none_is_refused() -> None:
    """A preset with changes; an unknown name or an impossible value stops the start with its name."""
    policy = settings(policy="fair,past_weight=0.5,most_starting=20").make_core_settings().policy
    assert (policy.fair, policy.past_weight, policy.most_starting) == (True, 0.5, 20)
    for wrong in ("best", "fair,past_wait=1", "fifo,most_kept=-1"):
        with pytest.raises(ValidationError, match=r"policy"):
            settings(policy=wrong)


def test_the_executor_id_changes_with_the_executor_and_only_with_it():
    """DESIGN.md 4.2: versions run side by side; another ExecutorInfo under one id is TASK_ERROR."""

    def name(**more: object) -> str:
        return settings(**more).make_core_settings().executor_id

    assert name() == name(log_format="json")
    assert len({name(), name(executor_command="other"), name(executor_env={"A": "1"}), name(executor_mem=64)}) == 4
    assert name(executor_env={"A": "1", "B": "2"}) == name(executor_env={"B": "2", "A": "1"})


def test_m23_the_framework_knows_partitions():
    """M23, M35: the capabilities that let Mesos say UNREACHABLE, GONE and KILLING."""
    info = settings().make_framework()
    assert info["failover_timeout"] >= 7 * 86400
    assert info["checkpoint"] is True
    kinds = {entry["type"] for entry in info["capabilities"]}
    assert kinds >= {"PARTITION_AWARE", "TASK_KILLING_STATE", "MULTI_ROLE"}


def test_settings_come_from_the_environment_and_never_show_the_secret(monkeypatch: pytest.MonkeyPatch):
    """EXECUTOR_ENV is JSON."""
    for name, value in {
        "DATABASE_URL": "sqlite:///x",
        "OUTPUTS_ROOT": "/out",
        "EXECUTOR_COMMAND": "run",
        "EXECUTOR_ENV": json.dumps({"A": "1"}),
        "SECRET": "hunter2",
    }.items():
        monkeypatch.setenv(f"SWATH_{name}", value)
    made = Settings()
    assert made.executor_env == {"A": "1"}
    assert "hunter2" not in repr(made)


def test_m13_settings_name_the_files_of_tls(tmp_path: Path):
    """An authority, a certificate with its key, and whether names are verified; nothing of it means a plain wire."""
    authority = Authority(tmp_path)
    pair = authority.sign("scheduler")
    assert settings().make_tls() is None
    files = {"ca_file": authority.pair.certificate, "cert_file": pair.certificate, "key_file": pair.key}
    assert settings(**files, tls_verify_hostname=False).make_tls() == TlsOptions(
        **{name: str(path) for name, path in files.items()}, verify_hostname=False
    )


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"ca_file": "nowhere"}, "ca_file: .*nowhere"),
        ({"ca_file": "ca.csr"}, "do not serve for TLS"),
        ({"cert_file": "ca.pem", "key_file": "other.key"}, "do not serve for TLS"),
        ({"key_file": "other.key"}, "cert_file, which is not set"),
        ({"cert_file": "ca.pem"}, "do not serve for TLS"),
    ],
    ids=["absent", "no certificate", "another's key", "key alone", "no key"],
)
def test_m13_unusable_files_are_refused_at_the_start(tmp_path: Path, files: dict[str, str], words: str):
    """With the setting's name and the reason, not in the first connection."""
    Authority(tmp_path).sign("other")
    (tmp_path / "ca.csr").write_text("no certificate")
    with pytest.raises(ValidationError, match=words):
        settings(**{name: tmp_path / file for name, file in files.items()})
