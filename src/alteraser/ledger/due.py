"""By when a request has to be answered: a month of the calendar (GDPR 12(3)), or 45 days (CCPA, 11
CCR 7021).
"""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, time, timedelta

from alteraser.errors import InvalidInput

REGULATIONS = ("gdpr", "ccpa")


def a_month_after(moment: datetime) -> datetime:
    """The same day of the next month, or its last one where there is no such day.

    >>> a_month_after(datetime(2026, 1, 31, 9, tzinfo=UTC)).isoformat()
    '2026-02-28T09:00:00+00:00'
    """
    year, month = moment.year + moment.month // 12, moment.month % 12 + 1
    return moment.replace(
        year=year, month=month, day=min(moment.day, calendar.monthrange(year, month)[1])
    )


def due(received: datetime, regulation: str, asked: datetime | None = None) -> datetime:
    """The end of the period that ``regulation`` gives, counted from receipt; ``asked`` where that
    is earlier. InvalidInput where it is over at the receipt: nobody could keep it.
    """
    if asked is not None and asked <= received:
        raise InvalidInput(
            f"due: {written(asked)} is over already; leave it out for the regulation's period, or "
            "name a time to come",
            code="due",
        )
    end = a_month_after(received) if regulation == "gdpr" else received + timedelta(days=45)
    return end if asked is None else min(end, asked)


def moment(text: str, what: str = "due") -> datetime:
    """ISO 8601 as a time in UTC, a date as its end; InvalidInput for anything else.

    >>> moment("2026-03-01").isoformat(), moment("2026-03-01T12:00:00+01:00").isoformat()
    ('2026-03-01T23:59:59+00:00', '2026-03-01T11:00:00+00:00')
    """
    try:
        if len(text) == 10:
            return datetime.combine(date.fromisoformat(text), time(23, 59, 59), UTC)
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(
            f"{what}: expected ISO 8601, such as 2026-03-01 or 2026-03-01T12:00:00Z"
        ) from None


def written(at: datetime) -> str:
    """As it is stored and shown: UTC, to the millisecond, so that text sorts as time does.

    >>> written(datetime(2026, 3, 1, 12, tzinfo=UTC))
    '2026-03-01T12:00:00.000Z'
    """
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
