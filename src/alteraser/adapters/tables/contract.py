"""What a table of items is, and what an adapter of one must be able to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from alteraser.adapters.options import ForeignOptions
from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions
from alteraser.errors import IntegrityError


@dataclass(frozen=True, eq=False)
class ItemTable:
    """Somebody else's table as its file holds it."""

    path: Path
    format: str
    values: Any
    """(n, n), sparse or dense, or (n, 1) where there is one number of each; read-only"""
    item_ids: IdMap | None = None
    """Where the file has them"""
    user_ids: IdMap | None = None
    """Where the file holds interactions, and so has rows of people"""
    pairs: Any = None
    """(m, n) sparse: the interactions that it holds, which it was made of"""
    state: Any = None
    """Whatever the adapter wants to find again in ``write``"""

    @property
    def items(self) -> int:
        """How many there are, n."""
        return int(self.values.shape[0])


class TableRule(Protocol):
    """How a library makes a table of data: a value object."""

    @property
    def name(self) -> str:
        """``BM25Recommender``, …"""
        ...

    @property
    def formula(self) -> str:
        """One line, its settings as numbers."""
        ...

    @property
    def limit(self) -> float:
        """What ``apart`` may be of a table that was made so: rounding, of the file's digits."""
        ...

    @property
    def hint(self) -> str:
        """Why a table may be another one although the data are right, for the refusal; or none."""
        ...

    def table(self, data: Interactions, *, threads: int = 0) -> Any:
        """The table of ``data`` (confidence: the entries that the library was given)."""
        ...

    def apart(self, values: Any, data: Interactions) -> float:
        """How far ``values`` are from what other code makes of ``data``, over the largest entry; ∞
        for other lists.
        """
        ...


class TableAdapter(Protocol):
    """Reads and writes tables of one format."""

    name: str

    def recognizes(self, path: Path) -> bool:
        """By content. Never raises."""
        ...

    def read(self, path: Path, options: ForeignOptions) -> ItemTable:
        """The table. Raises InvalidInput and IntegrityError."""
        ...

    def rules(self, table: ItemTable, options: ForeignOptions) -> Sequence[TableRule]:
        """How it may have been made, the likeliest first. InvalidInput for what the file does not
        say and must be.
        """
        ...

    def write(self, table: ItemTable, values: Any, out: Path, remaining: Interactions) -> None:
        """The same kind of file at ``out``, all or nothing, that the library loads.

        ``remaining`` is what ``values`` were made of, for files that hold it.
        """
        ...


def fitting(
    table: ItemTable, rules: Sequence[TableRule], data: Interactions, *, unchecked: bool = False
) -> TableRule:
    """The first of ``rules`` that makes ``table`` of ``data``; IntegrityError, saying how near they
    came, for none.

    With ``unchecked`` the nearest one.
    """
    apart = [rule.apart(table.values, data) for rule in rules]
    for rule, found in zip(rules, apart, strict=True):
        if found <= rule.limit:
            return rule
    if unchecked:
        return rules[min(range(len(rules)), key=lambda place: apart[place])]
    tried = ", ".join(
        f"{rule.name} ({found:.1e})" for rule, found in zip(rules, apart, strict=True)
    )
    hints = "".join(f" {rule.hint}." for rule in rules if rule.hint)
    raise IntegrityError(
        f"{table.path} is not what its library makes of these data: {tried} of the largest entry "
        f"apart.{hints} Give the data that it was fitted on, with the same --rating, or "
        "--unchecked to make it anew all the same",
        path=str(table.path),
    )
