"""The operator API and the plain GET endpoints of master and agents."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import psutil

from local import agent_json, master_maintenance, state_json
from local.agent import Agent
from local.calls import CallError, read_operator_call
from local.files import FilesApi
from local.master import Master
from local.master_operator import CALLS
from local.master_state import MasterState
from local.messages import OperatorCall
from local.replies import FileReply, Reply, make_json, make_text, not_found, refuse_method
from local.statuses import VERSION

Json = dict[str, Any]
Query = dict[str, list[str]]
Later = Callable[[], Reply | FileReply]
Answer = TypeVar("Answer")
_FILE_CALLS = ("READ_FILE", "LIST_FILES")
_VERSION_INFO = {"version": VERSION, "build_date": "", "build_time": 0.0, "build_user": ""}
_V1 = "/api/v1"


def _wrap(kind: str, content: Json | None) -> Json:
    return {"type": kind} if content is None else {"type": kind, kind.lower(): content}


def _to_metrics(metrics: dict[str, float]) -> Json:
    return {"metrics": [{"name": name, "value": value} for name, value in sorted(metrics.items())]}


def answer_master(
    master: Master, method: str, path: str, query: Query, body: bytes, now: float
) -> Reply | OperatorCall:
    """The answer; or a call that the master itself must answer, for it changes something."""
    state = master.state
    if path.startswith(_V1):
        return _answer_master_v1(state, method, body, now)
    if path == "/redirect":
        return make_text(307, "", (b"location", f"//{state.hostname}:{state.port}".encode()))
    if path.startswith("/files/"):
        return make_text(404)  # the master has no files to show
    if path == "/tasks":
        return _answer_tasks(state, query)
    if path == "/metrics/snapshot":
        return make_json(state_json.make_metrics(state, now))
    document = _MASTER_PAGES.get(path)
    return _answer_common(path) if document is None else make_json(document(state))


def answer_agent(
    agent: Agent, files: FilesApi, method: str, path: str, query: Query, body: bytes, now: float
) -> Reply | Later:
    """The answer, or for what lies on a disk a function that makes it on a thread: the disk may be slow."""
    if path.startswith(_V1):
        return _answer_agent_v1(agent, files, method, body, now)
    if path.startswith("/files/"):
        return lambda: files.answer(path, query)
    if path == "/state":
        return make_json(agent_json.make_state(agent))
    if path == "/containers":
        return make_json(agent_json.make_containers(agent, now, _measure))
    if path == "/monitor/statistics":
        containers = agent_json.make_containers(agent, now, _measure)
        return make_json([{k: v for k, v in c.items() if k not in ("container_id", "status")} for c in containers])
    if path == "/metrics/snapshot":
        return make_json(agent_json.make_metrics(agent))
    return _answer_common(path)


def _answer_common(path: str) -> Reply:
    if path == "/health":
        return make_text(200)
    return make_json(_VERSION_INFO) if path == "/version" else not_found()


def _answer_v1(
    method: str, body: bytes, machine: str, known: Iterable[str], answer: Callable[[Json], Answer]
) -> Reply | Answer:
    if method != "POST":
        return refuse_method(method)
    try:
        return answer(read_operator_call(body, machine, frozenset(known)))
    except CallError as error:
        return make_text(400, str(error))


def _answer_agent_v1(agent: Agent, files: FilesApi, method: str, body: bytes, now: float) -> Reply | Later:
    def answer(call: Json) -> Reply | Later:
        kind = call["type"]
        if kind == "READ_FILE":
            return lambda: _make_file_reply(kind, files.read_file(call["read_file"]))
        if kind == "LIST_FILES":
            return lambda: _make_file_reply(kind, files.list_files(call["list_files"]))
        return make_json(_wrap(kind, _AGENT_CALLS[kind](agent, now)))

    return _answer_v1(method, body, "agent", (*_AGENT_CALLS, *_FILE_CALLS), answer)


def _answer_master_v1(state: MasterState, method: str, body: bytes, now: float) -> Reply | OperatorCall:
    def answer(call: Json) -> Reply | OperatorCall:
        kind = call["type"]
        if kind in CALLS:
            return OperatorCall(call=call)
        # The master has no files to show.
        return make_text(404) if kind in _FILE_CALLS else make_json(_wrap(kind, _MASTER_CALLS[kind](state, now)))

    return _answer_v1(method, body, "master", (*_MASTER_CALLS, *CALLS, *_FILE_CALLS), answer)


def _make_file_reply(kind: str, content: Json | None) -> Reply:
    return make_text(404) if content is None else make_json(_wrap(kind, content))


def _answer_tasks(state: MasterState, query: Query) -> Reply:
    """?limit= and ?offset= of /tasks."""
    try:
        offset, limit = (int(query.get(name, [default])[0]) for name, default in (("offset", "0"), ("limit", "100")))
    except ValueError:
        return make_text(400, "Failed to parse offset or limit")
    return make_json({"tasks": state_json.make_tasks(state)["tasks"][offset : offset + limit]})


_MASTER_PAGES: dict[str, Callable[[MasterState], Json]] = {
    "/state": state_json.make_state,
    "/slaves": state_json.make_slaves,
    "/frameworks": state_json.make_frameworks,
    "/roles": state_json.get_roles,
    "/maintenance/schedule": lambda state: master_maintenance.get_schedule(state)["schedule"],
    "/maintenance/status": lambda state: master_maintenance.get_status(state)["status"],
}
_MASTER_CALLS: dict[str, Callable[[MasterState, float], Json | None]] = {
    "GET_HEALTH": lambda state, now: {"healthy": True},
    "GET_VERSION": lambda state, now: {"version_info": _VERSION_INFO},
    "GET_METRICS": lambda state, now: _to_metrics(state_json.make_metrics(state, now)),
    "GET_STATE": lambda state, now: state_json.get_state(state),
    "GET_AGENTS": lambda state, now: state_json.get_agents(state),
    "GET_FRAMEWORKS": lambda state, now: state_json.get_frameworks(state),
    "GET_EXECUTORS": lambda state, now: state_json.get_executors(state),
    "GET_TASKS": lambda state, now: state_json.get_tasks(state),
    "GET_ROLES": lambda state, now: state_json.get_roles(state),
    "GET_MASTER": lambda state, now: state_json.get_master(state),
    "GET_OPERATIONS": lambda state, now: {},
    "GET_MAINTENANCE_STATUS": lambda state, now: master_maintenance.get_status(state),
    "GET_MAINTENANCE_SCHEDULE": lambda state, now: master_maintenance.get_schedule(state),
}
_AGENT_CALLS: dict[str, Callable[[Agent, float], Json | None]] = {
    "GET_HEALTH": lambda agent, now: {"healthy": True},
    "GET_VERSION": lambda agent, now: {"version_info": _VERSION_INFO},
    "GET_METRICS": lambda agent, now: _to_metrics(agent_json.make_metrics(agent)),
    "GET_STATE": lambda agent, now: agent_json.get_state(agent),
    "GET_AGENT": lambda agent, now: agent_json.get_agent(agent),
    "GET_FRAMEWORKS": lambda agent, now: agent_json.get_frameworks(agent),
    "GET_EXECUTORS": lambda agent, now: agent_json.get_executors(agent),
    "GET_CONTAINERS": lambda agent, now: agent_json.get_containers(agent, now, _measure),
    "GET_TASKS": lambda agent, now: agent_json.get_tasks(agent),
}


def _measure(pid: int) -> Json:
    """Cpu times and resident memory of an executor's process and its children."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        times = [p.cpu_times() for p in family]
        return {
            "cpus_user_time_secs": sum(t.user for t in times),
            "cpus_system_time_secs": sum(t.system for t in times),
            "mem_rss_bytes": sum(p.memory_info().rss for p in family),
            "processes": len(family),
        }
    except psutil.Error:
        return {}
