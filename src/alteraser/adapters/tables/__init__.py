"""Other libraries' files that are a table of items, similarities or weights: functions of the data,
without factors.

    table = find(path).read(path, options)
    rule = definition(table, data, options)
        # how the library makes such a table; refused where it did not
    write(table, rule.table(remaining), out)

What comes out is what the library's own ``fit`` gives on the remaining data, to rounding. To add a
format, write its module beside ``implicit_knn.py`` with an object ``ADAPTER``, and its line into
``TABLES``.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from alteraser.adapters.tables.contract import ItemTable, TableAdapter, TableRule, fitting

TABLES: dict[str, str] = {
    "implicit-knn": "alteraser.adapters.tables.implicit_knn",
    "recbole-ease": "alteraser.adapters.tables.recbole_ease",
    "recbole-itemknn": "alteraser.adapters.tables.recbole_knn",
    "recbole-pop": "alteraser.adapters.tables.recbole_pop",
    "cornac-ease": "alteraser.adapters.tables.cornac_ease",
    "cornac-itemknn": "alteraser.adapters.tables.cornac_knn",
    "lenskit-itemknn": "alteraser.adapters.tables.cosine_lists",
    "ease-weights": "alteraser.adapters.tables.ease_weights",
}
"""Formats by their name, and the module that knows each."""


def find_table(path: Path) -> TableAdapter | None:
    """The adapter that recognizes what is at ``path`` by its content; None: no table."""
    adapters: list[TableAdapter] = [import_module(module).ADAPTER for module in TABLES.values()]
    return next((adapter for adapter in adapters if adapter.recognizes(path)), None)


__all__ = ["TABLES", "ItemTable", "TableAdapter", "TableRule", "find_table", "fitting"]
