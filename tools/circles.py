"""Imports that lead back to where they began, and private names of other packages: python
tools/circles.py [FOLDER].

A circle is a set of files each of which is reached from each by imports, those inside of functions
and those for types alone included: none of them can be read, moved or tested without all. Names
that begin with ``_`` belong to their package. Prints every one; exit code 1 if there is any.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

Graph = dict[str, set[str]]


def modules(root: Path) -> dict[str, Path]:
    """Every module of the package in the folder ``root``, by its dotted name."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = [root.name, *path.relative_to(root).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """(line, module, name) of every absolute import; the name is empty for ``import module``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.lineno, node.module, alias.name) for alias in node.names)


def graph(known: dict[str, Path]) -> tuple[Graph, list[str]]:
    """(who imports whom, private names of other packages that are imported)."""
    edges: Graph = {name: set() for name in known}
    private = []
    for name, path in known.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for line, module, what in imported(ast.parse(path.read_text(encoding="utf-8"))):
            target = f"{module}.{what}" if f"{module}.{what}" in known else module
            if target in known and target != name:
                edges[name].add(target)
            home = module if f"{module}.{what}" in known else module.rpartition(".")[0]
            hidden = [
                part
                for part in (*module.split("."), what)
                if part.startswith("_") and not part.startswith("__")
            ]
            if (
                module in known
                and hidden
                and home != package
                and not package.startswith(f"{home}.")
            ):
                private.append(f"{path}:{line}: {module}.{what} is private to {home}")
    return edges, private


def circles(edges: Graph) -> list[frozenset[str]]:
    """Sets of more than one file that reach each other (R. Tarjan, SIAM Journal on Computing,
    1972).

    >>> circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [frozenset({"b", "c"})]
    True
    """
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        number[node] = low[node] = len(number)
        stack.append(node)
        for other in sorted(edges[node]):
            if other not in number:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == number[node]:
            place = stack.index(node)
            members, stack[place:] = frozenset(stack[place:]), []
            if len(members) > 1:
                found.append(members)

    sys.setrecursionlimit(10_000)
    for node in sorted(edges):
        if node not in number:
            visit(node)
    return found


def main(arguments: list[str]) -> int:
    """Print what there is; 1 where there is something."""
    root = Path(arguments[0]) if arguments else Path(__file__).parents[1] / "src" / "alteraser"
    edges, private = graph(modules(root))
    found = circles(edges)
    for circle in sorted(found, key=sorted):
        print(f"circle: {', '.join(sorted(circle))}")
    print(*private, sep="\n" if private else "")
    return 1 if found or private else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
