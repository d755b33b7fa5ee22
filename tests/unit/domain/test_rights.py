"""What a token's scope reaches."""

import pytest

from swath.domain.errors import ForbiddenError
from swath.domain.rights import TOKEN_TEXT, Caller, TokenScope, split_token, to_token

ULID = "01JD0000000000000000000000"
CI = Caller(user="ci", scope=TokenScope.PUSH, images=("ndvi", "ndvi-fast"))
REGISTRY = Caller(user="registry", scope=TokenScope.NOTIFY)


@pytest.mark.parametrize(
    ("caller", "method", "path"),
    [
        (CI, "POST", "/v1/images"),
        (CI, "GET", "/v1/images/ndvi"),
        (CI, "GET", "/v1/images/ndvi/1.0.0"),
        (CI, "GET", "/v1/images/ndvi-fast/1.0.0/transitions"),
        (CI, "GET", "/v1/images/ndvi-fast/1.0.0/verification"),
        (REGISTRY, "POST", "/v1/registry/notifications"),
        (Caller(user="ada"), "DELETE", "/v1/tokens/x"),
    ],
)
def test_what_a_token_is_for_is_let_through(caller, method, path):
    """And whoever runs the cluster may do everything."""
    caller.check(method, path)


@pytest.mark.parametrize(
    ("caller", "method", "path"),
    [
        (CI, "GET", "/v1/images"),
        (CI, "GET", "/v1/images/other"),
        (CI, "GET", "/v1/images/ndvi2"),
        (CI, "GET", "/v1/images/ndvi/1.0.0/compare"),
        (CI, "GET", "/v1/images/ndvi/1.0.0/usage"),
        (CI, "GET", "/v1/images/other/../ndvi"),
        (CI, "GET", "/v1/images//ndvi"),
        (CI, "GET", "/v1/images/\n"),
        (CI, "PUT", "/v1/images/ndvi"),
        (CI, "POST", "/v1/images/ndvi/1.0.0/state"),
        (CI, "POST", "/v1/images/"),
        (CI, "post", "/v1/images"),
        (CI, "POST", "/v1/jobs"),
        (CI, "GET", "/v1/jobs"),
        (CI, "POST", "/v1/tokens"),
        (CI, "GET", "/metrics"),
        (CI, "POST", "/v1/registry/notifications"),
        (REGISTRY, "POST", "/v1/images"),
        (REGISTRY, "GET", "/v1/images/ndvi"),
        (REGISTRY, "GET", "/v1/registry/notifications"),
        (Caller(user="x", scope=TokenScope.PUSH), "GET", "/v1/images/ndvi"),
    ],
)
def test_everything_else_is_closed(caller, method, path):
    """Whatever the path is made of."""
    with pytest.raises(ForbiddenError):
        caller.check(method, path)


def test_a_token_for_some_images_registers_no_other():
    """The message names those that it is for."""
    CI.check_image("ndvi")
    Caller(user="ada").check_image("anything")
    with pytest.raises(ForbiddenError, match="is for ndvi, ndvi-fast, not for secret"):
        CI.check_image("secret")


def test_a_tokens_text_is_taken_apart_and_found_in_logs():
    """And what is none is none."""
    text = to_token(ULID, "s-e_c" * 8)
    assert split_token(text) == (ULID, "s-e_c" * 8)
    assert TOKEN_TEXT.sub("[token]", f"saw '{text}' here") == "saw '[token]' here"
    for wrong in (
        "",
        "swath_",
        f"swath_{ULID}",
        f"swath_{ULID}_",
        f"swath_{ULID}_short",
        f"other_{ULID}_{'s' * 40}",
        f"swath_{'!' * 26}_{'s' * 40}",
        f"swath_{ULID}_{'s' * 400}",
        text + "\n",
        text + "é",
    ):
        assert split_token(wrong) is None
