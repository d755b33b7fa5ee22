"""Fire times of cron expressions in a time zone, by cronsim: as Debian's cron has them where clocks are put forward or back.

A fire time in the hour that clocks skip comes at the end of that hour; in the hour that comes twice, once, if the expression
names hours and minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from swath.domain.schedules import CatchUp, Firing

MOST_CAUGHT_UP = 100  # fire times of one schedule: the last ones
LATE_S = 60.0  # a fire time that is looked at so late counts as missed
_FIELDS = 5


class BadCronError(ValueError):
    """An expression that means nothing, or nothing that ever comes."""


class BadZoneError(ValueError):
    """A time zone that nobody knows."""


class Cron:
    """An expression of five fields in a time zone."""

    def __init__(self, expression: str, zone: str) -> None:
        """Raises BadCronError and BadZoneError."""
        self._expression = expression
        if zone not in available_timezones():
            raise BadZoneError(f"{zone!r} is no time zone; Europe/Rome and UTC are")
        self._zone = ZoneInfo(zone)
        if len(expression.split()) != _FIELDS:
            raise BadCronError("needs five fields: minute, hour, day of the month, month, day of the week")
        try:
            CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC))
        except CronSimError as error:
            raise BadCronError(f"cannot be understood: {str(error).lower()}") from None

    def local(self, at: datetime) -> datetime:
        """The time as the schedule's zone has it."""
        return at.astimezone(self._zone)

    def after(self, at: datetime, count: int = 1) -> list[datetime]:
        """The next fire times later than `at`, UTC; fewer where there are no more in decades."""
        return list(islice(self._walk(at, reverse=False), count))

    def until(self, at: datetime, since: datetime, most: int) -> list[datetime]:
        """The last fire times up to `at`, none before `since`, in order."""
        found: list[datetime] = []
        for fire_at in islice(self._walk(at.replace(microsecond=0) + timedelta(seconds=1), reverse=True), most):
            if fire_at < since:
                break
            found.append(fire_at)
        return found[::-1]

    def _walk(self, at: datetime, *, reverse: bool) -> Iterator[datetime]:
        for fire_at in CronSim(self._expression, at.astimezone(self._zone), reverse):
            yield fire_at.astimezone(UTC)


def find_firing(cron: Cron, *, next_at: datetime, catch_up: CatchUp, now: datetime) -> Firing | None:
    """What is due at `now` of a schedule whose fire times before `next_at` have been dealt with; None for nothing yet."""
    if next_at > now:
        return None
    due = cron.until(now, next_at, MOST_CAUGHT_UP if catch_up is CatchUp.ALL else 1) or [next_at]
    at = due[0]
    after = cron.after(at)
    return Firing(
        at=at,
        missed=catch_up is CatchUp.NONE and (now - at).total_seconds() > LATE_S,
        message=f"fire times from {next_at:%Y-%m-%dT%H:%M:%SZ} on were missed" if at > next_at else None,
        next_at=after[0] if after else None,
    )
