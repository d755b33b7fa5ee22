"""What executors and the scheduler say of images: exact when it is theirs, refused when it is nonsense."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.domain import images
from swath.domain.errors import InvalidInputError
from swath.domain.images import MOST_BYTES, MOST_IMAGES, HeldImage, ImagesReport, PrefetchOrder, read_message

ID = "sha256:" + "a" * 64
NDVI = HeldImage(names=(ID, f"registry/ndvi@{ID}"), size=300 * 2**20, layers={"0123456789abcdef": 7})
REPORT = ImagesReport(engine=True, processes=False, images=(NDVI,))


def said(**changed: Any) -> bytes:
    """The report with something else in it."""
    return json.dumps({**json.loads(REPORT.to_json()), **changed}).encode()


def of_image(**changed: Any) -> bytes:
    """The report with something else about its image."""
    (image,) = json.loads(REPORT.to_json())["images"]
    return said(images=[{**image, **changed}])


@pytest.mark.parametrize("message", [REPORT, PrefetchOrder(reference=f"registry/ndvi@{ID}")])
def test_a_message_is_read_as_it_was_meant(message: ImagesReport | PrefetchOrder):
    """There and back again; the kind tells which it is."""
    assert read_message(message.to_json().encode()) == message


def test_what_a_newer_version_says_is_passed_by():
    """Other fields anywhere, and other kinds."""
    (image,) = json.loads(REPORT.to_json())["images"]
    assert read_message(said(version=7, mood="good", images=[{**image, "colour": "blue"}])) is not None
    assert read_message(b'{"kind": "greeting", "version": 1}') is None


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\xff", b"[]", b"7", b"{}", b'{"kind": 7}', b'{"kind": "images"}', b"[" * 2000, b'{"kind": NaN}'),
        *(
            said(engine="yes"),
            said(processes=1),
            said(images={}),
            said(images=[[]]),
            said(images=[7]),
            said(version=-1),
        ),
        *(said(version=1.5), said(version=True), said(images=[{"names": [ID], "size": 1}] * (MOST_IMAGES + 1))),
        *(of_image(names=[]), of_image(names=ID), of_image(names=[7]), of_image(names=["a b"]), of_image(names=["\0"])),
        *(of_image(names=["\ud800"]), of_image(names=["x" * 301]), of_image(names=[ID] * 9), of_image(size=-1)),
        *(of_image(size=10**18), of_image(size=True), of_image(size="1"), of_image(size=1e3), of_image(layers=[1])),
        *(
            of_image(layers={"zz": 1}),
            of_image(layers={"0" * 16: -1}),
            of_image(layers={f"{n:016x}": 1 for n in range(129)}),
        ),
        *(
            b'{"kind": "prefetch"}',
            b'{"kind": "prefetch", "reference": 7}',
            b'{"kind": "prefetch", "reference": "a\\nb"}',
        ),
        b'{"kind": "greeting"}' + b" " * MOST_BYTES,
    ],
)
def test_nonsense_is_refused(data: bytes):
    """Whatever somebody on an agent has written: InvalidInputError and nothing else."""
    with pytest.raises(InvalidInputError):
        read_message(data)


@given(
    st.binary(max_size=200) | st.from_regex(rb'\{"kind": ?"(images|prefetch)", ?"[a-z]+": ?.{0,40}\}', fullmatch=True)
)
def test_no_bytes_make_anything_else_of_it(data: bytes):
    """A message, nothing, or InvalidInputError."""
    with suppress(InvalidInputError):
        read_message(data)


def test_a_report_holds_so_many_images_and_bytes_and_no_more():
    """The first ones stay; what is made can be read."""
    small = [HeldImage(names=(f"sha256:{number:064x}",), size=1) for number in range(300)]
    report = ImagesReport.of(small, engine=True, processes=False)
    assert report.images == tuple(small[:MOST_IMAGES])
    layers = {f"{number:016x}": 2**40 for number in range(127)}
    large = [HeldImage(names=(f"sha256:{number:064x}",), size=1, layers=layers) for number in range(30)]
    report = ImagesReport.of(large, engine=True, processes=False)
    assert 10 < len(report.images) < 30
    assert report.images == tuple(large[: len(report.images)])
    assert read_message(report.to_json().encode()) == report


def test_an_image_that_thousands_hold_is_kept_once():
    """Equal JSON is one value; JSON that differs under the same name is another, and is checked anew."""
    first, second = ImagesReport.from_json(REPORT.to_json()), ImagesReport.from_json(REPORT.to_json())
    assert first.images[0] is second.images[0]
    (other,) = ImagesReport.from_value(json.loads(of_image(size=7))).images
    assert other.size == 7
    with pytest.raises(InvalidInputError):
        read_message(of_image(size=-7))


def test_made_up_images_fill_no_memory(monkeypatch: pytest.MonkeyPatch):
    """Of those checked before, so many are remembered and no more."""
    monkeypatch.setattr(images, "_MOST_KNOWN", 3)
    monkeypatch.setattr(images, "_known", {})
    for number in range(20):
        read_message(of_image(names=[f"sha256:{number}"]))
        assert len(images._known) <= 3
