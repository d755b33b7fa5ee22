"""Several jobs submitted together, which may wait for each other by their names: all of them are stored, or none."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from api.dependencies import make_sibling
from api.errors import MOST_ERRORS
from api.image_gate import ImageGate
from api.inputs import FileCheck
from api.schemas import JobDocument
from api.submission import admit, to_spec
from swath.domain.dependencies import CyclicError, in_order
from swath.domain.errors import CannotRunError, InvalidInputError, Problem
from swath.domain.ids import make_ulid
from swath.store.api_store import ApiStore
from swath.store.rows import Submission


def admit_together(
    documents: Sequence[JobDocument],
    store: ApiStore,
    files: Callable[[], FileCheck | None],
    now: datetime,
    *,
    gate: ImageGate,
) -> list[Submission]:
    """The jobs of the documents in their order, checked, each with an id that is later than those it waits for.

    Raises InvalidInputError for names that serve twice and for jobs that wait for each other, CannotRunError with everything
    that keeps some of them from ever running.
    """
    names = [document.name or document.image.partition(":")[0] for document in documents]
    _check_names(names)
    ids = _make_ids(names, documents, now)
    resolved = [_resolve(document, ids) for document in documents]
    siblings = {ids[name]: make_sibling(ids[name], to_spec(entry)) for name, entry in zip(names, resolved, strict=True)}
    submissions: list[Submission] = []
    problems: list[Problem] = []
    for place, (name, document) in enumerate(zip(names, resolved, strict=True)):
        try:
            admitted = admit(document, store, files(), now, gate=gate, siblings=siblings)
        except InvalidInputError as error:
            problems += [Problem(f"/jobs/{place}{found.path}", found.message) for found in error.problems]
            continue
        submissions.append(
            Submission(
                job_id=ids[name],
                spec=admitted.spec,
                image=admitted.image,
                resources=admitted.resources,
                warnings=admitted.warnings,
            )
        )
    if problems:
        raise CannotRunError(problems[:MOST_ERRORS])
    return submissions


def _check_names(names: Sequence[str]) -> None:
    first: dict[str, int] = {}
    problems = [
        Problem(f"/jobs/{place}/name", f"{name!r} is the name of /jobs/{first[name]} too: give each job one of its own")
        for place, name in enumerate(names)
        if first.setdefault(name, place) != place
    ]
    if problems:
        raise InvalidInputError(problems)


def _make_ids(names: Sequence[str], documents: Sequence[JobDocument], now: datetime) -> Mapping[str, str]:
    """An id for each name, in the order in which the jobs can run: whoever reads them by id meets none before its time."""
    after = {name: [entry.job for entry in document.after] for name, document in zip(names, documents, strict=True)}
    try:
        order = in_order(after)
    except CyclicError as error:
        raise _refuse_cycle(error, names, documents) from None
    return dict(zip(order, sorted(make_ulid(now, os.urandom(10)) for _ in order), strict=True))


def _refuse_cycle(error: CyclicError, names: Sequence[str], documents: Sequence[JobDocument]) -> InvalidInputError:
    place = names.index(error.cycle[0])
    entry = next(at for at, entry in enumerate(documents[place].after) if entry.job == error.cycle[1])
    message = "a job cannot wait for itself" if len(error.cycle) == 2 else f"the jobs wait for each other: {error}"
    return InvalidInputError.at(f"/jobs/{place}/after/{entry}/job", message)


def _resolve(document: JobDocument, ids: Mapping[str, str]) -> JobDocument:
    """The document with the ids of the batch's jobs in place of their names."""
    if not document.after:
        return document
    after = [entry.model_copy(update={"job": ids.get(entry.job, entry.job)}) for entry in document.after]
    return document.model_copy(update={"after": after})
