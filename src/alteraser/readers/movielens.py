"""The rating files of MovieLens, which have no header: ``ratings.dat`` (1M, 10M) and ``u.data`` (100K)."""

from __future__ import annotations

import re

from alteraser.readers._raw import Format
from alteraser.readers._source import Head
from alteraser.readers._text import Dialect, read_delimited

_COLUMNS = ("user_id", "item_id", "rating", "timestamp")
_DAT = re.compile(r"[^:\s]+::[^:\s]+::[^:\s]+::[^:\s]+")
_DATA = re.compile(r"[0-9]+\t[0-9]+\t[0-9.]+\t[0-9]+")

_DOUBLE_COLON = Dialect(":", names=("user_id", "", "item_id", "", "rating", "", "timestamp"), quotes=False)
_TAB = Dialect("\t", names=_COLUMNS, quotes=False)


def _is_dat(head: Head) -> bool:
    return _DAT.fullmatch(head.line) is not None


def _is_data(head: Head) -> bool:
    return _DATA.fullmatch(head.line) is not None


RATINGS_DAT = Format(
    "MovieLens ratings.dat",
    (),
    _is_dat,
    lambda source, wanted: read_delimited(source, _DOUBLE_COLON, wanted),
    folder="ratings.dat",
)
U_DATA = Format(
    "MovieLens u.data",
    (),
    _is_data,
    lambda source, wanted: read_delimited(source, _TAB, wanted),
    folder="u.data",
)
