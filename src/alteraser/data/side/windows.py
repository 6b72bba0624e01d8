"""A window of time over several relations, each of which counts its times in a unit of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.data.selection import Age, Window, moment, unit_of
from alteraser.data.side.given import MAIN, Given
from alteraser.errors import InvalidInput

Rows = npt.NDArray[Any]


def times_of(given: Given, of: str | None = None) -> dict[str, Rows]:
    """By the name that its file was given by, the times of all rows of a relation; ``of``: of that
    one alone. The sorts of one file of triples share a column, so they share its unit.
    """
    found: dict[str, list[Rows]] = {}
    for links in given.links:
        if links.times is not None and len(links) and of in (None, links.name, links.group):
            found.setdefault(links.group, []).append(links.times)
    return {name: np.concatenate(times) for name, times in found.items()}


def settled_in(window: Window, times: Mapping[str, Rows]) -> dict[str, Window]:
    """By relation, the window in the unit of its times.

    Raises InvalidInput, of code ``window``, that names the relation for a window that its times
    cannot have, and where units differ for a whole number: what is a day in one would be a thousand
    days or none in another.

    >>> units = {"data": np.array([978_300_760]), "views": np.array([978_300_760_000])}
    >>> settled_in(Window("2001-01-01"), units)["views"].since
    978307200000
    >>> settled_in(Window(978_307_200), units)
    Traceback (most recent call last):
    alteraser.errors.InvalidInput: --since 978307200: the times of data are in s, those of views ...
    """
    units = {name: unit_of(rows) for name, rows in times.items() if np.any(rows)}
    ends = {"--since": window.since, "--until": window.until}
    # 0 is 1970 in every unit; an age is counted back from each relation's own newest time
    numbers = {
        name: at
        for name, at in ends.items()
        if not isinstance(at, Age) and isinstance(moment(at, name), int) and moment(at, name)
    }
    if numbers and len(set(units.values())) > 1:
        first, *others = units
        raise InvalidInput(
            f"{' '.join(f'{name} {at}' for name, at in numbers.items())}: the times of {first} are "
            f"in {units[first]}, "
            + ", ".join(f"those of {name} in {units[name]}" for name in others)
            + ". Write dates, such as 2026-03-01, which mean the same in all of them, or name one "
            "relation with --from",
            code="window",
        )
    return {
        name: window.settled(rows, whose="the data" if name == MAIN else name)
        for name, rows in times.items()
    }
