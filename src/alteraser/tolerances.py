"""Tolerances that people give: shares of something that was 1 before anything was done."""

from __future__ import annotations

from alteraser.errors import InvalidInput


def checked_tolerance(value: float, name: str = "tolerance") -> float:
    """``value`` again. Raises InvalidInput, naming it ``name``, for one that is not above 0 and at
    most 1.

    With 0 nothing could ever be reached, and above 1 everything is before it begins.

    >>> checked_tolerance(0.3)
    0.3
    >>> checked_tolerance(30, "--tolerance")
    Traceback (most recent call last):
    alteraser.errors.InvalidInput: --tolerance 30: expected a number above 0 and at most 1,
    such as 1e-3
    """
    if not 0 < value <= 1:
        raise InvalidInput(
            f"{name} {value:g}: expected a number above 0 and at most 1, such as 1e-3"
        )
    return value
