"""The day that ages are counted from, as a setting of kinds whose counts fade."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

from alteraser.runtime.late import late

if TYPE_CHECKING:
    from alteraser.models.closed_form import by_day
else:
    by_day = late("alteraser.models.closed_form.by_day")


def _is_a_day(day: str) -> str:
    by_day.day_of(day)
    return day


Day = Annotated[str, AfterValidator(_is_a_day)]
"""``YYYY-MM-DD``; ValueError for anything else"""


def only_with(as_of: str | None, fades: float | None, setting: str, words: str) -> None:
    """ValueError for a day where ``setting``, in ``words``, is not given: then nothing fades.

    >>> only_with("2026-03-01", 7.0, "half_life", "a half-life")
    """
    if as_of is not None and fades is None:
        raise ValueError(
            f"as_of, the day that ages are counted from, goes with {words}: give {setting} as well"
        )
