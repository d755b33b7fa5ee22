"""Back-off: later and later, up to a limit, and for ever."""

from swath.domain.backoff import back_off_s


def test_the_wait_doubles_up_to_the_limit():
    """5, 10, 20, 30, 30 s."""
    assert [back_off_s(5, repeats, longest_s=30) for repeats in range(5)] == [5, 10, 20, 30, 30]


def test_what_has_been_repeated_for_days_waits_as_long_as_ever():
    """2.0 ** 1024 is no float."""
    assert back_off_s(5, 5000, longest_s=120) == 120
