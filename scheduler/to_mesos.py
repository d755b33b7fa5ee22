"""From the core's calls to Mesos' messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

from scheduler.core import effects as fx
from scheduler.core.events import LaunchRefused
from scheduler.core.specs import KILL_GRACE_S, make_spec, timeout_s
from swath.domain.attempts import AttemptSpec
from swath.domain.errors import UserError
from swath.domain.manifest import Manifest
from swath.domain.secret_messages import SecretsAnswer
from swath.domain.slots import SlotSpec, WorkOrder, is_shared, own_part
from swath.store.rows import ImageRow
from swath.wire import calls as wire

Items = Callable[[str, Iterable[int]], Mapping[int, Any]]  # a job's id and indices of tasks -> elements of its array
_Found = Mapping[tuple[str, int], Any]  # the same by job and index

IMAGES = 256  # whose manifests are known at a time


@dataclass(frozen=True, kw_only=True, slots=True)
class Writer:
    """Puts calls into Mesos' words; what it has to know is the same for all of them."""

    role: str
    framework: wire.Message  # FrameworkInfo
    executor: wire.Message  # ExecutorInfo
    outputs_root: str
    read_items: Items
    answer_secrets: Callable[[fx.SendSecrets], SecretsAnswer | None] = lambda call: None  # a scheduler without secrets
    refused: list[LaunchRefused] = field(default_factory=list)  # launches for which there were no words
    file_inputs: dict[tuple[int, datetime], frozenset[str]] = field(default_factory=dict)  # by image

    def write_all(self, calls: Sequence[fx.Call]) -> list[tuple[fx.Call, wire.Message]]:
        """The calls that are for Mesos' scheduler API, each with its message.

        Items are read first, once a job: they lie in chunks, and the launches of many slots are of the same one.
        """
        launches = [launch for call in calls if isinstance(call, fx.Accept | fx.HandOver) for launch in call.launches]
        items = self._read_items(launches)
        return [(call, message) for call in calls if (message := self.write(call, items)) is not None]

    def write(self, call: fx.Call, items: _Found | None = None) -> wire.Message | None:
        """The message of a call; None for what is not for Mesos' scheduler API. `items`: where they have been read."""
        match call:
            case fx.Accept():
                return self._accept(call, self._read_items(call.launches) if items is None else items)
            case fx.HandOver():
                return self._hand_over(call, self._read_items(call.launches) if items is None else items)
            case fx.Decline():
                return wire.make_decline(call.offer_ids, call.refuse_s)
            case fx.Revive():
                return wire.make_revive()
            case fx.Suppress():
                return wire.make_suppress()
            case fx.Acknowledge():
                return wire.make_acknowledge(call.agent_id, call.task_id, call.uuid)
            case fx.Kill():
                return wire.make_kill(call.task_id, call.agent_id)
            case fx.Reconcile():
                return wire.make_reconcile(call.tasks)
            case fx.AnswerInverse():
                make = wire.make_accept_inverse_offers if call.accept else wire.make_decline_inverse_offers
                return make(call.offer_ids, call.refuse_s)
            case fx.Message():
                return wire.make_message(call.agent_id, call.executor_id, call.data)
            case fx.SendSecrets():
                if (answer := self.answer_secrets(call)) is None:
                    return None
                return wire.make_message(call.agent_id, call.executor_id, answer.to_json().encode())
            case fx.UpdateFramework():
                return self._update_framework(call)
            case fx.Teardown():
                return wire.make_teardown()
            case _:
                return None

    def _update_framework(self, call: fx.UpdateFramework) -> wire.Message:
        filters = {self.role: wire.make_offer_filter(call.minimums)}
        suppressed = (self.role,) if call.suppressed else ()
        return wire.make_update_framework({**self.framework, "offer_filters": filters}, suppressed)

    def take_refused(self) -> list[LaunchRefused]:
        """The launches refused since the last time."""
        taken = list(self.refused)
        self.refused.clear()
        return taken

    def _accept(self, call: fx.Accept, items: _Found) -> wire.Message:
        hands = [list(hand) for _, hand in groupby(call.launches, key=lambda launch: launch.attempt.slot_id)]
        tasks = [task for hand in hands if (task := self._task(hand, items)) is not None]
        if not tasks:
            return wire.make_decline(call.offer_ids, call.refuse_s)
        return wire.make_accept(call.offer_ids, tasks, call.refuse_s)

    def _hand_over(self, call: fx.HandOver, items: _Found) -> wire.Message | None:
        work = [own_part(spec) for launch in call.launches if (spec := self._spec(launch, items)) is not None]
        if not work:
            return None
        order = WorkOrder(slot=call.slot_id, work=tuple(work))
        return wire.make_message(call.agent_id, call.executor_id, order.to_json().encode())

    def _read_items(self, launches: Iterable[fx.Launch]) -> _Found:
        wanted: dict[str, list[int]] = {}
        for launch in launches:
            wanted.setdefault(launch.job.id, []).append(launch.attempt.task_index)
        return {
            (job_id, index): item
            for job_id, indices in wanted.items()
            for index, item in self.read_items(job_id, indices).items()
        }

    def _find_file_inputs(self, image: ImageRow) -> frozenset[str]:
        """The names; each image's manifest is read once, as long as not too many others come in between."""
        key = (image.id, image.registered_at)
        if key not in self.file_inputs:
            if len(self.file_inputs) >= IMAGES:
                self.file_inputs.clear()
            self.file_inputs[key] = Manifest.from_json(image.manifest).file_inputs
        return self.file_inputs[key]

    def _spec(self, launch: fx.Launch, items: _Found) -> AttemptSpec | None:
        """What an executor is told; an item that no spec can be made of is remembered, and fails by itself alone."""
        attempt = launch.attempt
        try:
            inputs = self._find_file_inputs(launch.job.image)
            return make_spec(launch, items[(attempt.job_id, attempt.task_index)], inputs, self.outputs_root)
        except (UserError, LookupError) as error:
            self.refused.append(LaunchRefused(attempt_id=attempt.id, message=str(error)))
            return None

    def _task(self, hand: Sequence[fx.Launch], items: _Found) -> wire.Message | None:
        """TaskInfo of one slot: of an attempt that has it to itself, or of the first ones that share it."""
        launch, attempt = hand[0], hand[0].attempt
        specs = [spec for one in hand if (spec := self._spec(one, items)) is not None]
        if not specs:
            return None
        shared = is_shared(attempt)
        return wire.make_task_info(
            attempt.slot_id,
            name=launch.job.name if shared else f"{launch.job.name}.{attempt.task_index}",
            agent_id=attempt.agent_id,
            resources=attempt.resources,
            role=self.role,
            executor=self.executor,
            data=(SlotSpec.of(specs) if shared else specs[0]).to_json().encode(),
            kill_grace_s=KILL_GRACE_S,
            max_completion_s=None if shared else timeout_s(launch.job),
            ports=attempt.ports,
        )
