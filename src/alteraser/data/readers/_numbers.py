"""Text columns become numbers only where nothing is lost: writing the number gives the same text
back.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

STYLE = b"text_style"
"""Field metadata: how the numbers of a column looked as text, so that they can be written alike."""

_POINT = b"point"  # whole numbers end in .0


def typed(
    column: pa.ChunkedArray, *, fractions: bool
) -> tuple[pa.ChunkedArray, dict[bytes, bytes]]:
    """The column as int64 if every value is a canonical integer, as float64 if fractions are
    allowed and every value is the shortest way to write its number, else as the strings it came as.

    Canonical means no sign but a minus, no leading zeros, no spaces: ``007`` and ``+1`` stay
    strings.
    """
    if not len(column):
        return column, {}
    for kind in [pa.int64(), pa.float64()] if fractions else [pa.int64()]:
        try:
            numbers = pc.cast(column, kind)
        except pa.ArrowInvalid:
            continue
        for style in ({}, {STYLE: _POINT}) if kind == pa.float64() else ({},):
            if pc.all(pc.equal(as_text(numbers, style), column)).as_py():
                return numbers, style
    return column, {}


def as_text(numbers: pa.ChunkedArray, style: dict[bytes, bytes]) -> pa.ChunkedArray:
    """Numbers written the way their column was, ``4`` or ``4.0``."""
    text = pc.cast(numbers, pa.string())
    if style.get(STYLE) != _POINT:
        return text
    whole = pc.match_substring_regex(text, r"^-?[0-9]+$")
    return pc.if_else(whole, pc.binary_join_element_wise(text, "0", "."), text)
