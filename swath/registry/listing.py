"""Lists that come in pages: tags and repositories."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from swath.domain.errors import RegistryMalformedError
from swath.registry.exchange import Answer, Question
from swath.registry.manifests import read_document
from swath.registry.talk import Talk

PAGE = 1000  # entries
LARGEST_PAGE = 2 * 1024 * 1024  # bytes
MOST_ENTRIES = 100_000
MOST_PAGES = 2000  # a registry may make them smaller than asked for
_NEXT = re.compile(r'<([^<>]{1,2000})>\s*;\s*rel="?next"?', re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """A list of a registry."""

    path: str
    field: str  # of its JSON
    scope: str
    what: str  # in messages
    is_entry: Callable[[str], bool]


def list_pages(talk: Talk, host: str, listing: Listing) -> list[str]:
    """All entries of a list, page by page; raises RegistryMalformedError for what is none, or has no end."""

    def read(answer: Answer) -> tuple[list[str], str | None]:
        return _read_entries(answer, listing), _find_next(answer, listing)

    found: dict[str, None] = {}
    query: str | None = f"n={PAGE}"
    asked: set[str] = set()
    while query is not None:
        asked.add(query)
        question = Question(
            path=f"{listing.path}?{query}",
            scope=listing.scope,
            what=listing.what,
            limit=LARGEST_PAGE,
            accept="application/json",
        )
        entries, query = talk.ask(host, question, read, mirrored=False)
        found |= dict.fromkeys(entries)
        if query in asked or len(asked) >= MOST_PAGES or len(found) > MOST_ENTRIES:
            raise RegistryMalformedError(f"{listing.what} has no end: {len(found)} entries on {len(asked)} pages")
    return list(found)


def _read_entries(answer: Answer, listing: Listing) -> list[str]:
    values = read_document(answer.body, listing.what).get(listing.field)
    if values is None:  # what has no tags any more says null
        return []
    if not isinstance(values, list) or not all(isinstance(value, str) and listing.is_entry(value) for value in values):
        raise RegistryMalformedError(f"{listing.what} is no list of {listing.field}")
    return values


def _find_next(answer: Answer, listing: Listing) -> str | None:
    """The query of the next page. Only that counts of a link: behind a proxy, registries often misname themselves."""
    link = _NEXT.search(answer.headers.get("link", ""))
    if link is None:
        return None
    try:
        url = httpx.URL(f"http://registry/{listing.path}").join(link[1])
    except (httpx.InvalidURL, ValueError) as error:
        raise RegistryMalformedError(f"{listing.what} has a next page without an address") from error
    if not url.path.endswith("/" + listing.path):
        raise RegistryMalformedError(f"{listing.what} has its next page elsewhere")
    return url.query.decode("ascii")
