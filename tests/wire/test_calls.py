"""Builders: what they make is, field by field, what a real Mesos accepted."""

import base64
import json
import math
from dataclasses import replace

import pytest

from swath.domain.resources import Resources
from swath.wire import calls, executor_calls
from swath.wire.enums import MesosTaskState, Reason, Source
from swath.wire.resources import make_resources, to_ports, to_resources

SCHEDULER_SCENARIOS = [
    "01-custom-executor-basics",
    "06-scheduler-failover",
    "07-master-restart",
    "09a-offers-filters",
    "09c-maintenance-inverse-offers",
    "10-kill-teardown-failover-timeout",
    "14-docker-custom-executor",
    "15-http-variants",
    "16-several-offers-of-one-agent",
]
EXECUTOR_SCENARIOS = [
    "01-custom-executor-basics",
    "04a-agent-restart-sigterm",
    "04b-agent-restart-kill9",
    "14-docker-custom-executor",
]

# Calls and fields that Swath never makes: `force`, labels in a status, a role in the singular, REQUEST, the operator's.
FOREIGN = ("REQUEST", "GET_STATE", "GET_VERSION", "HEARTBEAT")


def accepted(folder, scenario, kind):
    """The requests of a scenario that were answered with 2xx, once each."""
    requests = []
    for path in sorted((folder / scenario).glob(f"{kind}-calls*.jsonl")):
        for line in path.read_text().splitlines():
            record = json.loads(line)
            request = record.get("request")
            is_good = str(record.get("status", "")).split()[1:2] in (["200"], ["202"])
            if is_good and isinstance(request, dict) and request.get("type") not in FOREIGN and request not in requests:
                requests.append(request)
    assert requests, f"{scenario} has no {kind} calls"
    return requests


def value(message):
    return None if message is None else message["value"]


def seconds(duration):
    return None if duration is None else duration["nanoseconds"] / 1e9


def data(text):
    return None if text is None else base64.b64decode(text)


def labels(message):
    return None if message is None else {label["key"]: label.get("value", "") for label in message["labels"]}


def rebuild_executor(info):
    variables = info["command"]["environment"]["variables"]
    return calls.make_executor_info(
        value(info["executor_id"]),
        command=info["command"]["value"],
        environment={variable["name"]: variable["value"] for variable in variables},
        resources=to_resources(info["resources"]),
        role="eo",
        name=info["name"],
        source=info.get("source"),
        framework_id=value(info.get("framework_id")),
        container=info.get("container"),
        shutdown_grace_s=seconds(info.get("shutdown_grace_period")),
        data=data(info.get("data")),
        labels=labels(info.get("labels")),
    )


def rebuild_task(info):
    return calls.make_task_info(
        value(info["task_id"]),
        name=info["name"],
        agent_id=value(info["agent_id"]),
        resources=to_resources(info["resources"]),
        role="eo",
        executor=rebuild_executor(info["executor"]),
        data=data(info.get("data")),
        kill_grace_s=seconds(info.get("kill_policy", {}).get("grace_period")),
        max_completion_s=seconds(info.get("max_completion_time")),
        labels=labels(info.get("labels")),
    )


def rebuild_framework(info):
    made = calls.make_framework_info(
        user=info["user"],
        name=info["name"],
        role=info["roles"][0],
        checkpoint=info["checkpoint"],
        failover_timeout_s=info["failover_timeout"],
        capabilities=[capability["type"] for capability in info["capabilities"]],
        principal=info.get("principal"),
        offer_filters=info.get("offer_filters"),
    )
    return made | ({"id": info["id"]} if "id" in info else {})


def refuse_s(body):
    return body.get("filters", {}).get("refuse_seconds")


def ids(messages):
    return [message["value"] for message in messages]


def rebuild(request):
    """The same call out of the builders, from the values that the recorded one carries; None for what Swath never sends."""
    kind = request["type"]
    body = request.get(kind.lower(), {})
    if kind == "SUBSCRIBE":
        info = body["framework_info"]
        if (
            body.keys() - {"framework_info", "suppressed_roles"}
            or len(info.get("roles", [])) != 1
            or "failover_timeout" not in info
        ):
            return None
        return calls.make_subscribe(rebuild_framework(info), body.get("suppressed_roles", ()))
    if kind == "ACCEPT":
        operations = body["operations"]
        if len(operations) != 1 or operations[0]["type"] != "LAUNCH":
            return None
        tasks = [rebuild_task(info) for info in operations[0]["launch"]["task_infos"]]
        return calls.make_accept(ids(body["offer_ids"]), tasks, refuse_s(body))
    if kind == "RECONCILE":
        pairs = [(value(task["task_id"]), value(task.get("agent_id"))) for task in body["tasks"]]
        return calls.make_reconcile(pairs)
    if kind == "UPDATE_FRAMEWORK":
        if len(body["framework_info"]["roles"]) != 1:
            return None
        info = rebuild_framework(body["framework_info"])
        return calls.make_update_framework(info, body.get("suppressed_roles", ()), body.get("offer_constraints"))
    if kind in ("REVIVE", "SUPPRESS"):
        build = calls.make_revive if kind == "REVIVE" else calls.make_suppress
        return None if "role" in body else build(body.get("roles", ()))
    makers = {
        "DECLINE": lambda: calls.make_decline(ids(body["offer_ids"]), refuse_s(body)),
        "ACCEPT_INVERSE_OFFERS": lambda: calls.make_accept_inverse_offers(
            ids(body["inverse_offer_ids"]), refuse_s(body)
        ),
        "DECLINE_INVERSE_OFFERS": lambda: calls.make_decline_inverse_offers(
            ids(body["inverse_offer_ids"]), refuse_s(body)
        ),
        "ACKNOWLEDGE": lambda: calls.make_acknowledge(value(body["agent_id"]), value(body["task_id"]), body["uuid"]),
        "KILL": lambda: calls.make_kill(
            value(body["task_id"]),
            value(body.get("agent_id")),
            seconds(body.get("kill_policy", {}).get("grace_period")),
        ),
        "MESSAGE": lambda: calls.make_message(value(body["agent_id"]), value(body["executor_id"]), data(body["data"])),
        "SHUTDOWN": lambda: calls.make_shutdown(value(body["executor_id"]), value(body["agent_id"])),
        "TEARDOWN": calls.make_teardown,
    }
    return makers[kind]()


@pytest.mark.parametrize("scenario", SCHEDULER_SCENARIOS)
def test_a_scheduler_call_is_the_recorded_one(transcripts_folder, scenario):
    """Rebuilt from its values, every accepted call of the scenario is equal to the recorded JSON."""
    compared = 0
    for request in accepted(transcripts_folder, scenario, "sched"):
        built = rebuild(request)
        if built is None:
            continue
        if request["type"] != "SUBSCRIBE":
            built = calls.with_framework_id(built, value(request["framework_id"]))
        assert built == request
        compared += 1
    assert compared


def rebuild_executor_call(request):
    framework_id, executor_id = value(request["framework_id"]), value(request["executor_id"])
    body = request[request["type"].lower()]
    if request["type"] == "SUBSCRIBE":
        updates = [update["status"] for update in body["unacknowledged_updates"]]
        return executor_calls.make_executor_subscribe(framework_id, executor_id, body["unacknowledged_tasks"], updates)
    if request["type"] == "MESSAGE":
        return executor_calls.make_executor_message(framework_id, executor_id, data(body["data"]))
    status = body["status"]
    if "labels" in status or "timestamp" not in status:  # the recorder's own experiments
        return None
    made = executor_calls.make_status(
        value(status["task_id"]),
        status["state"],
        executor_id=executor_id,
        uuid=data(status["uuid"]),
        timestamp=status["timestamp"],
        data=data(status.get("data")) or b"",
        message=status.get("message", ""),
        healthy=status.get("healthy"),
    )
    return executor_calls.make_update(framework_id, executor_id, made)


@pytest.mark.parametrize("scenario", EXECUTOR_SCENARIOS)
def test_an_executor_call_is_the_recorded_one(transcripts_folder, scenario):
    """The same for SUBSCRIBE, UPDATE and MESSAGE of an executor."""
    rebuilt = [(rebuild_executor_call(request), request) for request in accepted(transcripts_folder, scenario, "exec")]
    compared = [(built, request) for built, request in rebuilt if built is not None]
    assert compared
    for built, request in compared:
        assert built == request


def test_states_reasons_and_sources_are_those_that_mesos_says(transcripts_folder):
    """No recorded update carries a name that the enums lack."""
    for path in transcripts_folder.glob("*/sched-stream*.jsonl"):
        for line in path.read_text().splitlines():
            event = json.loads(line).get("event") or {}
            if event.get("type") == "UPDATE":
                status = event["update"]["status"]
                MesosTaskState(status["state"])
                Source(status["source"])
                assert "reason" not in status or Reason(status["reason"])


def recorded_offers(transcripts_folder):
    """The offers of the scenario with ports, attributes and odd resources."""
    lines = (transcripts_folder / "11-attributes-domains-ports" / "sched-stream.jsonl").read_text().splitlines()
    events = [json.loads(line).get("event") or {} for line in lines]
    return [offer for event in events if event.get("type") == "OFFERS" for offer in event["offers"]["offers"]]


def test_m18_an_offer_counts_what_a_task_could_use(transcripts_folder):
    """Of an agent with static reservations the unreserved part: 4 cpus, 2048 MiB, its ports, and the scalar "scratch"."""
    offers = recorded_offers(transcripts_folder)
    reserved = next(offer for offer in offers if any("reservations" in entry for entry in offer["resources"]))
    found = to_resources(reserved["resources"])
    assert found == Resources(cpus_m=4000, mem=2048, disk=4096, ports=111, custom=(("scratch", 10_000),))
    assert to_ports(reserved["resources"]).spans == ((31000, 31100), (32000, 32011))


def test_what_a_real_mesos_offers_after_a_launch_is_what_the_launch_has_left(transcripts_folder):
    """Three ports in two ranges and 3 of "scratch" were taken, in words that this module would have used."""
    calls_made = accepted(transcripts_folder, "11-attributes-domains-ports", "sched")
    tasks = [
        task
        for call in calls_made
        if call["type"] == "ACCEPT"
        for operation in call["accept"]["operations"]
        for task in operation["launch"]["task_infos"]
    ]
    launched = next(task for task in tasks if task["task_id"]["value"] == "port1")["resources"]
    ports = to_ports(launched)
    assert list(ports) == [31000, 31001, 32000]
    assert make_resources(to_resources(launched), "eo", ports) == launched
    offers = [offer["resources"] for offer in recorded_offers(transcripts_folder)]
    left = next(entries for entries in offers if dict(to_resources(entries).custom).get("scratch") == 7000)
    whole = next(entries for entries in offers if to_resources(entries).ports == 111)
    assert to_ports(left) == to_ports(whole).minus(ports)


@pytest.mark.parametrize(
    ("pieces", "spans"),
    [
        ([(5, 9), (1, 2)], ((1, 3), (5, 10))),
        ([(1, 5), (3, 9), (10, 10)], ((1, 11),)),
        ([(9, 5)], ()),
        ([(-5, 3), (65530, 10**30)], ((1, 4), (65530, 65536))),
        ([], ()),
    ],
)
def test_ranges_of_ports_are_merged_and_disjoint(pieces, spans):
    """Whatever an agent claims; what is no port is left out."""
    claimed = [{"begin": begin, "end": end} for begin, end in pieces]
    entry = {"name": "ports", "type": "RANGES", "ranges": {"range": claimed}}
    assert to_ports([entry]).spans == spans
    assert to_resources([entry]).ports == sum(end - first for first, end in spans)
    assert to_ports([{**entry, "role": "eo"}, {**entry, "revocable": {}}, {**entry, "name": "sports"}]).spans == ()


def test_custom_scalars_keep_three_digits():
    """As Mesos counts; what is reserved or revocable is not ours, and a name that could be none is not used."""
    entry = {"name": "licences", "type": "SCALAR", "scalar": {"value": 1.0004}}
    assert to_resources([entry, entry]).custom == (("licences", 2001),)
    assert to_resources([{**entry, "role": "eo"}, {**entry, "revocable": {}}, {**entry, "name": "a b"}]) == Resources()
    assert to_resources([{**entry, "scalar": {"value": 0.0001}}]).custom == ()
    assert to_resources([{**entry, "type": "SET"}, {"name": "ports", "type": "SCALAR", "scalar": {"value": 3}}]) == (
        Resources()
    )


def test_resources_survive_the_wire():
    """What is made comes back; nothing is said about what is not needed."""
    wanted = Resources(cpus_m=20, mem=8, ports=3, custom=(("licences", 1500),))
    made = make_resources(wanted, "swath", [9, 7, 8])
    assert [entry["name"] for entry in made] == ["cpus", "mem", "licences", "ports"]
    assert made[3]["ranges"] == {"range": [{"begin": 7, "end": 9}]}
    assert {entry["allocation_info"]["role"] for entry in made} == {"swath"}
    assert to_resources(made) == wanted
    scalars = made[:3]
    assert to_resources(scalars + scalars) == replace(wanted, ports=0).scaled(2)


@pytest.mark.parametrize(
    ("claimed", "used"), [(3e9, 10**9), (1e300, 10**9), (math.inf, 10**9), (-5.0, 0), (math.nan, 0), (12.9, 12)]
)
def test_an_agents_absurd_claims_are_bounded(claimed, used):
    """Whatever --resources an operator has put on an agent, the amount is a sane whole number."""
    entries = [{"name": name, "scalar": {"value": claimed}} for name in ("mem", "disk", "gpus")]
    assert to_resources(entries) == Resources(mem=used, disk=used, gpus=used)
    assert to_resources([{"name": "cpus", "scalar": {"value": claimed}}]).cpus_m in range(10**9 + 1)


def test_the_safe_framework_is_the_default():
    """A week to come back, checkpoints, partition-aware; no GPUs unless asked for (M2, M3, M23, M33)."""
    info = calls.make_framework_info(user="eo", name="swath", role="swath", webui_url="http://localhost")
    assert info["failover_timeout"] == 604800.0
    assert info["checkpoint"] is True
    assert [capability["type"] for capability in info["capabilities"]] == [
        "PARTITION_AWARE",
        "TASK_KILLING_STATE",
        "MULTI_ROLE",
    ]
    assert info["webui_url"] == "http://localhost"
