"""Looks at registries: by itself now and then, and when one says that something came or went.

What a registry says is a hint: what is written down is what it answers when it is asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import count

import structlog

from api.catalogue import Catalogue
from api.image_schemas import ImageDocument
from api.watch import Watch
from swath.domain.errors import NotInRegistryError, RegistryError
from swath.domain.references import Reference
from swath.domain.rights import Caller
from swath.registry.client import RegistryClient
from swath.registry.notifications import Action, Happening
from swath.store.sighting_store import SightedRow, SightingStore

DEADLINE_S = 10.0  # for one question
TAGGED_AFTER_S = 1.0  # by when a pushed manifest has its tag
_PAGE = 200
_NEVER_S = 24 * 3600.0  # a check that is switched off looks whether it should end, and no more

log = structlog.get_logger()


class Lookout:
    """Keeps the catalogue's word of registries true."""

    def __init__(
        self,
        store: SightingStore,
        registries: RegistryClient,
        catalogue: Catalogue,
        *,
        every_s: float,
        now: Callable[[], datetime],
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._registries = registries
        self._catalogue = catalogue
        self._every_s = every_s  # 0: never
        self._now = now
        self._wait = wait
        self.watch = Watch("registries", self.look)

    def look(self) -> float:
        """Ask for every version's digest and tag; the seconds until it is time again."""
        if not self._every_s:
            return _NEVER_S
        silent: set[str] = set()  # registries that do not answer are asked once in a round
        tags: set[str] = set()
        for row in self._rows():
            reference = Reference.parse(row.reference)
            if reference.host in silent or self.watch.stopped:
                continue
            try:
                self._look_at(row, reference)
                if row.tag is not None and row.tag not in tags:
                    tags.add(row.tag)
                    self._look_at_tag(Reference.parse(row.tag))
            except RegistryError as error:
                silent.add(reference.host)
                log.warning("registry_unread", registry=reference.host, reason=str(error))
        return self._every_s

    def on_happening(self, happening: Happening, caller: Caller) -> str | None:
        """Do what an event of a registry asks for: the version that was registered.

        Raises InvalidInputError, ConflictError or ForbiddenError for what the catalogue does not take, RegistryError where
        the registry does not bear it out.
        """
        reference = happening.reference
        if happening.action is Action.DELETE:
            for image_id in self._store.find_ids(str(reference)):
                row = SightedRow(id=image_id, reference=str(reference), tag=None, missing_since=None)
                self._look_at(row, reference)
            return None
        try:
            return str(self._catalogue.register(ImageDocument(reference=str(reference)), caller=caller))
        finally:  # a tag has moved, too, where the catalogue does not take what it means now
            if reference.tag is not None:
                self._look_at_pushed_tag(reference)

    def _look_at(self, row: SightedRow, reference: Reference) -> None:
        try:
            self._registries.resolve(reference, deadline_s=DEADLINE_S)
        except NotInRegistryError as error:
            if row.missing_since is None:
                self._store.see_digest(row.id, missing_since=self._now())
                log.warning("image_missing", reference=str(reference), reason=str(error))
        else:
            if row.missing_since is not None:
                self._store.see_digest(row.id, missing_since=None)
                log.info("image_back", reference=str(reference))

    def _look_at_pushed_tag(self, pushed: Reference) -> None:
        """Twice where it means another digest: the distribution project's registry tells of a push before it moves the tag."""
        tag = Reference(host=pushed.host, repository=pushed.repository, tag=pushed.tag)
        if self._look_at_tag(tag) != pushed.digest:
            self._wait(TAGGED_AFTER_S)
            self._look_at_tag(tag)

    def _look_at_tag(self, tag: Reference) -> str | None:
        """Note what the tag means now; None where it is gone: what was registered by it is there all the same."""
        try:
            digest = self._registries.resolve(tag, deadline_s=DEADLINE_S).digest
        except NotInRegistryError:
            return None
        self._store.see_tag(str(tag), digest)
        return digest

    def _rows(self) -> Iterator[SightedRow]:
        after = 0
        for _ in count():
            page = self._store.list_page(after, _PAGE)
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].id
