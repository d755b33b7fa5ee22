"""What a registry's notification says; what it does not say is passed by."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.domain.errors import InvalidInputError
from swath.registry.manifests import MANIFESTS
from swath.registry.notifications import read_envelope

DIGEST = "sha256:" + "1" * 64


def an_event(action: str = "push", *, host: Any = "registry.example:5000", **target: Any) -> dict[str, Any]:
    """As docker-registry sends it."""
    said = {"mediaType": MANIFESTS[1], "digest": DIGEST, "repository": "eo/ndvi", "tag": "1.0.0", "size": 500, **target}
    return {
        "id": "320678d8",
        "timestamp": "2026-08-15T10:20:30.1Z",
        "action": action,
        "target": said,
        "request": {"id": "6df24a34", "addr": "10.0.0.1:4711", "host": host, "method": "PUT", "useragent": "docker/20"},
        "actor": {"name": "ci"},
        "source": {"addr": "registry:5000", "instanceID": "a53db899"},
    }


def read(*events: Any) -> list[tuple[str, str]]:
    """(action, reference) of what matters."""
    found, _ = read_envelope(json.dumps({"events": events}).encode())
    return [(entry.action.value, str(entry.reference)) for entry in found]


def test_pushed_and_deleted_manifests_are_read_once() -> None:
    """With host, repository, tag and digest; the same event sent again says nothing more."""
    gone = an_event("delete", mediaType="", tag="")
    assert read(an_event(), an_event(), gone) == [
        ("push", f"registry.example:5000/eo/ndvi:1.0.0@{DIGEST}"),
        ("delete", f"registry.example:5000/eo/ndvi@{DIGEST}"),
    ]


@pytest.mark.parametrize(
    "event",
    [
        an_event("pull"),
        an_event("mount"),
        an_event("a new one"),
        an_event(mediaType="application/octet-stream"),
        an_event(mediaType=None),
        an_event(digest="sha256:short"),
        an_event(digest=None),
        an_event(repository="../../etc"),
        an_event(repository=7),
        an_event(tag="a b"),
        an_event(tag="1@sha256:2"),
        an_event(host="https://registry.example"),
        an_event(host=None),
        an_event(host="registry.example/other"),
        {},
        7,
        None,
        {"action": "push", "target": [], "request": "x"},
        {"action": ["push"], "target": {}, "request": {}},
    ],
)
def test_what_is_of_no_use_is_passed_by(event: Any) -> None:
    """Layers, pulls, what only a later registry knows, and what is no name at all."""
    found, passed_by = read_envelope(json.dumps({"events": [event]}).encode())
    assert (found, passed_by) == ([], 1)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"events": {}}', b'{"events": NaN}', json.dumps({"events": [1] * 1001}).encode()]
)
def test_what_is_no_envelope_is_refused(body: bytes) -> None:
    """InvalidInputError: nobody's registry sends that."""
    with pytest.raises(InvalidInputError):
        read_envelope(body)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["action", "target", "request", "digest", "host", "tag"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.lists(_JSON, max_size=5))
def test_no_event_whatever_it_is_stops_the_others(events: list[Any]) -> None:
    """What is pushed beside it is still read."""
    assert ("push", f"registry.example:5000/eo/ndvi:1.0.0@{DIGEST}") in read(*events, an_event())
