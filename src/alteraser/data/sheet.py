"""A table of interactions, parsed once and its ids converted once: all that a command needs of DATA
comes from here.

interactions      what a model is trained on, or stands for
without           the original rows with every column, without what was forgotten
below_threshold   which rows of a request match rows that no model saw
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.data.ids import Coded, IdMap
from alteraser.data.interactions import Interactions, naming
from alteraser.data.readers import Raw, ReadingOptions, Settled, as_rows, parse, settle, times
from alteraser.data.selection import Mask, Selection
from alteraser.runtime import events as happened


@dataclass(frozen=True, eq=False)
class Sheet:
    """The rows of a source as they are stored, and what they are as interactions."""

    source: Any
    """The path, for messages; or a table in memory"""
    reading: ReadingOptions
    raw: Raw
    settled: Settled
    users: Coded
    """The user of every row, those below the threshold included"""
    items: Coded

    @classmethod
    def read(
        cls,
        source: Any,
        reading: ReadingOptions,
        *,
        every_column: bool = False,
        names: Mapping[str, str | None] | None = None,
    ) -> Sheet:
        """Parse ``source``; ``every_column`` where rows of it are to be written again.

        Raises as ``read_table``, which says what ``names`` are.
        """
        raw = parse(source, reading, every_column=every_column, names=names)
        settled = settle(raw, reading)
        return cls(
            source, reading, raw, settled, *(Coded(*IdMap.build(ids)) for ids in settled.ids)
        )

    @property
    def kept(self) -> tuple[Coded, Coded]:
        """Users and items of the rows that are interactions."""
        kept = self.settled.kept
        return (
            (self.users, self.items)
            if kept is None
            else (self.users.take(kept), self.items.take(kept))
        )

    def interactions(self, known: tuple[IdMap, IdMap] | None = None) -> Interactions:
        """The interactions, in the rows of the maps ``known`` or of their own ids.

        Raises IntegrityError for an id that the maps do not have.
        """
        with naming(self.source):
            found = Interactions.from_coded(
                *self.kept,
                self.settled.columns,
                duplicates=self.reading.duplicates,
                known=known,
                notes=self.settled.notes,
            )
        happened.emit(
            "read", interactions=len(found), users=len(found.users), items=len(found.items)
        )
        return found

    @cached_property
    def rows(self) -> pa.Table:
        """The rows with every column that was read, to write some of them elsewhere."""
        return as_rows(self.raw, self.reading)

    def without(self, removed: Interactions, selection: Selection | None = None) -> pa.Table:
        """``rows`` without any of a (user, item) pair in ``removed``.

        Rows below a rating threshold, or duplicates of a pair, go as well when their pair was
        forgotten: they are data about the same event. So do rows that ``selection`` names (its
        window in the unit of the times) and that no model ever saw, such as a forgotten user's
        ratings below the threshold. Reading the result with the same options gives exactly the
        remaining interactions.
        """
        sides = self.reading.user_column, self.reading.item_column
        users, items = (
            self.users.within(removed.users, sides[0]),
            self.items.within(removed.items, sides[1]),
        )
        # then a pair may stay of which some rows go, and the request says which
        events = removed.events is not None
        forgotten = np.zeros(len(users), bool) if events else removed.locate(users, items) >= 0
        if selection is not None:
            forgotten |= self.find(selection, (removed.users, removed.items))[0]
        return (
            self.rows
            if not forgotten.any()
            else self.rows.filter(pa.array(np.logical_not(forgotten)))
        )

    def find(self, selection: Selection, known: tuple[IdMap, IdMap]) -> tuple[Mask, Mask]:
        """(which rows ``selection`` names, which of its entries name any), ids of the kinds of the
        maps ``known``.
        """
        users = self.users.converted(known[0].kind, "user_id")
        items = self.items.converted(known[1].kind, "item_id")
        times = None if selection.window is None else self.times
        return selection.find(users.ids, items.ids, users.rows, items.rows, times, self.groups)

    def below_threshold(self, known: tuple[IdMap, IdMap]) -> Callable[[Selection], Mask] | None:
        """Tells which entries of a selection name any row, the threshold left out; None where there
        is none.

        ``known`` are the maps whose types ids are converted to.
        """
        if self.reading.threshold is None:
            return None
        return lambda selection: self.find(selection, known)[1]

    @cached_property
    def groups(self) -> Coded | None:
        """The session or basket of every row, where a column says it."""
        name = self.reading.group_column
        return None if name is None else Coded(*IdMap.build(self.raw.table[name]))

    @cached_property
    def times(self) -> npt.NDArray[np.int64]:
        """When each row was, (rows,)."""
        name = self.reading.timestamp_column
        assert name is not None
        return np.asarray(times(self.raw.table[name], name, self.raw.where).to_numpy())

    @property
    def path(self) -> Path | None:
        """The file or folder; None for a table in memory."""
        return Path(self.source) if isinstance(self.source, str | Path) else None
