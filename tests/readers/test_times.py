"""Dates and times as text: every way ISO 8601 is written, against Python's own calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alteraser.data.readers import ReadingOptions, read_table
from alteraser.errors import InvalidInput

WHEN = ReadingOptions(timestamp_column="when")


def read(texts: list[str], kind: pa.DataType | None = None) -> list[int]:
    rows = list(range(len(texts)))
    when = pa.array(texts, kind or pa.string())
    return read_table(pa.table({"user_id": rows, "item_id": rows, "when": when}), WHEN)[
        "timestamp"
    ].to_pylist()


moments = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1))
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(
    st.lists(st.tuples(moments, st.none() | zones, st.sampled_from("T ")), min_size=1, max_size=6)
)
def test_iso_text_is_epoch_seconds_rounded_down(cases):
    texts, expected = [], []
    for moment, zone, between in cases:
        known = moment.replace(tzinfo=zone or UTC)
        texts.append(moment.replace(tzinfo=zone).isoformat(between))
        expected.append((known - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1))
    assert read(texts) == expected


@pytest.mark.parametrize(
    "text",
    [
        "2010-10-19T23:55:27Z",
        "2010-10-19 23:55:27",
        "2010-10-20T01:55:27+0200",
        "2010-10-19T23:55:27.999999999z",
        "2010-10-19 23:55:27 UTC",
        "2010-10-19T23:55:27,5",
        "2010-10-20 01:55:27+02",
    ],
)
def test_ways_of_writing_one_moment(text):
    assert read([text]) == [1287532527]


def test_dates_alone_and_other_columns_of_text():
    assert read(["2005-09-06", "1969-12-31"]) == [1125964800, -86400]
    for kind in (pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())):
        assert read(["2005-09-06", "2005-09-06"], kind) == [1125964800] * 2
    assert read(["1125964800", "-1"]) == [1125964800, -1]


def test_files_of_text_hold_times(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("user_id,item_id,when\n1,2,2005-09-06\n1,3,1970-01-01 00:00:01\n")
    assert read_table(path, WHEN)["timestamp"].to_pylist() == [1125964800, 1]
    path = tmp_path / "r.jsonl"
    path.write_text('{"user_id":1,"item_id":2,"when":"2005-09-06T00:00:00Z"}\n')
    assert read_table(path, WHEN)["timestamp"].to_pylist() == [1125964800]


@pytest.mark.parametrize(
    "odd", ["2010-13-01", "yesterday", "1125964800", "2010-10-19T25:00", "", "2010-02-30"]
)
def test_what_is_no_time_is_refused_with_its_row(odd):
    with pytest.raises(
        InvalidInput,
        match=rf"row 3, column 'when': '{odd}' is not a date or time.*2010-10-19T23:55",
    ):
        read(["2005-09-06", "2005-09-06T01:00:00Z", odd])
