"""Figures of a source tree, a column each: python tools/figures.py FOLDER…

    files, functions, lines of code     lines that are not blank
    complexity above 10, above 15       as sizes.py counts, outside kernels and parsers
    parameters above 12                 outside kernels and the options of commands
    attributes above 18                 of a class
    names of several classes            public ones
    circles of files, private names     as circles.py finds them

Limits are held by ``make lint``; here is where one stands, to compare two commits by.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from pathlib import Path

import circles
import sizes


def figures(root: Path) -> dict[str, int]:
    """The figures of the package in the folder ``root``, by name."""
    found: Counter[str] = Counter()
    named: Counter[str] = Counter()
    for path in sorted(root.rglob("*.py")):
        name, text = path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        found["files"] += 1
        found["lines of code"] += sum(bool(line.strip()) for line in text.splitlines())
        named.update(kind for kind, _ in sizes.public_classes(name, tree))
        found["functions"] += sum(
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(tree)
        )
        if sizes.KERNELS.search(name):
            continue
        for what, size in sizes.measured(name, tree):
            measure = what.rpartition(" ")[2]
            found["complexity above 10"] += measure == "complexity" and size > 10
            found[f"{measure} above {sizes.LIMITS[measure]}"] += size > sizes.LIMITS[measure]
    edges, private = circles.graph(circles.modules(root))
    found["names of several classes"] = sum(count > 1 for count in named.values())
    found["circles of files"] = len(circles.circles(edges))
    found["private names"] = len(private)
    return dict(found)


def main(arguments: list[str]) -> int:
    """Print a row per figure, a column per folder."""
    columns = [figures(Path(folder)) for folder in arguments]
    for name in dict.fromkeys(name for column in columns for name in column):
        print(f"{name:26}", *(f"{column.get(name, 0):>10,}" for column in columns))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
