"""The names of images in registries."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from swath.domain.errors import InvalidInputError
from swath.domain.references import Reference

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("ndvi", "docker.io/library/ndvi", "ndvi"),
        ("ndvi:1.2.0", "docker.io/library/ndvi:1.2.0", "ndvi:1.2.0"),
        ("eo/ndvi", "docker.io/eo/ndvi", "eo/ndvi"),
        ("docker.io/ndvi", "docker.io/library/ndvi", "ndvi"),
        ("index.docker.io/eo/ndvi", "docker.io/eo/ndvi", "eo/ndvi"),
        ("localhost/ndvi", "localhost/ndvi", "localhost/ndvi"),
        ("localhost:5000/ndvi:1", "localhost:5000/ndvi:1", "localhost:5000/ndvi:1"),
        ("Registry.Example/eo/ndvi", "registry.example/eo/ndvi", "registry.example/eo/ndvi"),
        ("[::1]:5000/ndvi", "[::1]:5000/ndvi", "[::1]:5000/ndvi"),
        (f"registry.example:5000/a/b/c:t@{DIGEST}",) + (f"registry.example:5000/a/b/c:t@{DIGEST}",) * 2,
        ("a__b/c--d.e_f", "docker.io/a__b/c--d.e_f", "a__b/c--d.e_f"),
    ],
)
def test_a_name_is_read_as_docker_reads_it(text, full, familiar):
    """Docker Hub where no host stands, and its `library` where no owner does; both can be left out again."""
    reference = Reference.parse(text)
    assert (str(reference), reference.familiar) == (full, familiar)
    assert Reference.parse(full) == Reference.parse(familiar) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":1",
        "ndvi:",
        "ndvi@",
        "NDVI",
        "eo/NDVI",
        "eo//ndvi",
        "/ndvi",
        "ndvi/",
        "a..b",
        "a___b",
        "-a",
        "a-",
        "ndvi:.1",
        "ndvi:" + "t" * 129,
        "ndvi:1\n",
        "ndvi\n",
        "ndvi@sha256:abc",
        "ndvi@sha256:" + "A" * 64,
        "ndvi@md5:" + "a" * 32,
        "ndvi@sha256:" + "a" * 64 + "@sha256:" + "a" * 64,
        "a" * 64,
        "0" * 64 + ":1",
        "registry.example:0/ndvi",
        "registry.example:65536/ndvi",
        "registry.example:/ndvi",
        "-registry.example/ndvi",
        "user:secret@registry.example/ndvi",
        "https://registry.example/ndvi",
        "registry.example/../ndvi",
        "registry.example/ndvi?x=1",
        "registry.example/" + "a" * 250,
        "registry.exämple/ndvi",
        "ndvi:١",
        "x" * 10_000,
    ],
)
def test_what_is_no_reference_is_refused_with_a_reason(text):
    """InvalidInputError at the path that was asked for."""
    with pytest.raises(InvalidInputError) as caught:
        Reference.parse(text, "/reference")
    assert caught.value.problems[0].path == "/reference"


def test_capitals_are_the_usual_mistake_and_told():
    """The message names small letters."""
    with pytest.raises(InvalidInputError, match="small letters"):
        Reference.parse("registry.example/NDVI:1")


def test_a_digest_counts_before_a_tag():
    """`target` is what the registry is asked for; `pinned` leaves the digest alone."""
    reference = Reference.parse(f"registry.example/ndvi:1@{DIGEST}")
    assert reference.target == DIGEST
    assert str(reference.pinned(DIGEST)) == f"registry.example/ndvi@{DIGEST}"
    assert Reference.parse("ndvi").target == "latest"


@given(st.text(alphabet="ab01.:/@-_Z[]\n", max_size=40))
@example("Z/0")  # in small letters it would be Docker Hub's z/0
def test_any_text_is_refused_or_read_back_the_same(text):
    """What is printed is read as what was printed."""
    try:
        reference = Reference.parse(text)
    except InvalidInputError:
        return
    assert Reference.parse(str(reference)) == Reference.parse(reference.familiar) == reference
