"""Times of rows that are added, beside those that are there."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from alteraser.data.selection import UNITS
from alteraser.errors import InvalidInput
from alteraser.service.moments import Unit

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECONDS = int(AT.timestamp())


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("other", UNITS)
def test_a_number_is_in_the_unit_of_the_others(unit: str, other: str) -> None:
    mine, theirs = (SECONDS * UNITS[x] for x in (unit, other))
    there = Unit.of(np.array([0, mine]))
    rows = [{}, {"timestamp": AT.isoformat()}, {"timestamp": mine}, {"timestamp": 0}]
    assert there.of_rows(rows, AT) == [mine, mine, mine, 0]
    if unit == other:
        there.check(np.array([theirs, 1]), "rows.csv")
        return
    with pytest.raises(InvalidInput, match=rf"interactions\[1\].* {other} since .* in {unit}"):
        there.of_rows([{}, {"timestamp": theirs}], AT)
    with pytest.raises(InvalidInput, match=rf"rows.csv: by its size in {other} since 1970"):
        there.check(np.array([theirs, 1]), "rows.csv")


def test_an_early_date_is_a_date_whatever_its_number_looks_like() -> None:
    there = Unit.of(np.array([SECONDS * 1000]))
    assert there.of_rows([{"timestamp": "1970-01-02"}], AT) == [86_400_000]


@pytest.mark.parametrize("times", [None, np.empty(0, np.int64), np.zeros(3, np.int64)])
def test_where_no_time_says_a_unit_numbers_are_as_they_are(times: np.ndarray | None) -> None:
    there = Unit.of(times)
    rows = [{"timestamp": SECONDS * 1000}, {"timestamp": SECONDS}, {}]
    assert there.of_rows(rows, AT) == [SECONDS * 1000, SECONDS, SECONDS]
    there.check(np.array([SECONDS * 1000]), "rows.csv")
