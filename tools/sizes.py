"""Functions and classes that are more than a reader can hold: python tools/sizes.py [FOLDER].

    complexity    1 + branches, loops, handlers, conditional expressions, and/or, comprehensions
        at most 15
    parameters    without self
        at most 12
    attributes    that a class puts into self
        at most 18

Compiled kernels are left out, whose loops are unrolled by hand and who take arrays and no objects;
parsers too, which are as complex as what they read; and the options of commands, which are
parameters of one function. What is over nevertheless stands in ``OVER`` with its size: it may
shrink, and nothing is added. Exit code 1 for anything else.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

LIMITS = {"complexity": 15, "parameters": 12, "attributes": 18}
KERNELS = re.compile(r"(^|/)(_?kernels?(/|\.py)|_(counting|pairs)\.py)")
PARSERS = re.compile(r"(^|/)(readers/|_pickle|_torch_zip|_hdf5|npz|_spark_folder|map_files)")
OPTIONS = re.compile(r"^(cli/|bench/)")

OVER: dict[str, int] = {
    "adapters/choose.py:plan complexity": 21,
    "cli/ours.py:_asked complexity": 17,
    "cli/train.py:train complexity": 16,
    "verbs/choose.py:choose complexity": 19,
    "verbs/verify.py:verify complexity": 23,
}


class Branches(ast.NodeVisitor):
    """Counts the ways through a function; functions inside of it count as part of it."""

    def __init__(self) -> None:
        self.count = 1

    def generic_visit(self, node: ast.AST) -> None:
        """Add what ``node`` branches by."""
        if isinstance(node, ast.If | ast.For | ast.While | ast.ExceptHandler | ast.IfExp):
            self.count += 1
        elif isinstance(node, ast.BoolOp):
            self.count += len(node.values) - 1
        elif isinstance(node, ast.comprehension):
            self.count += 1 + len(node.ifs)
        elif isinstance(node, ast.Match):
            self.count += len(node.cases)
        super().generic_visit(node)


def complexity(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Ways through the body.

    >>> source = "def f(a, b):\\n    return [x for x in a if x] if a or b else b"
    >>> complexity(ast.parse(source).body[0])
    5
    """
    counter = Branches()
    for statement in function.body:
        counter.visit(statement)
    return counter.count


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many arguments it takes, ``self`` and ``cls`` left out."""
    taken = function.args
    names = [argument.arg for argument in (*taken.posonlyargs, *taken.args, *taken.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def attributes(kind: ast.ClassDef) -> int:
    """How many names its methods assign on ``self``."""
    stored = (
        node
        for node in ast.walk(kind)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    )
    return len(
        {
            node.attr
            for node in stored
            if isinstance(node.value, ast.Name) and node.value.id == "self"
        }
    )


def measured(path: str, tree: ast.AST, within: str = "") -> Iterator[tuple[str, int]]:
    """(``file:name measure``, size) of everything under ``tree`` that is held to a limit."""
    for node in ast.iter_child_nodes(tree):
        name = within
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{within}.{node.name}".lstrip(".")
            if not PARSERS.search(path):
                yield f"{path}:{name} complexity", complexity(node)
            if not OPTIONS.search(path):
                yield f"{path}:{name} parameters", parameters(node)
        elif isinstance(node, ast.ClassDef):
            name = f"{within}.{node.name}".lstrip(".")
            yield f"{path}:{name} attributes", attributes(node)
        yield from measured(path, node, name)


def main(arguments: list[str]) -> int:
    """Print what is over its limit; 1 where it is not known to be, or larger than it was."""
    root = Path(arguments[0]) if arguments else Path(__file__).parents[1] / "src" / "alteraser"
    over = {}
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if not KERNELS.search(name):
            found = measured(name, ast.parse(path.read_text(encoding="utf-8")))
            over |= {what: size for what, size in found if size > LIMITS[what.rpartition(" ")[2]]}
    grown = {what: size for what, size in over.items() if size > OVER.get(what, 0)}
    for what, size in sorted(grown.items()):
        print(f"{what} {size}, at most {OVER.get(what) or LIMITS[what.rpartition(' ')[2]]}")
    for what in sorted(OVER.keys() - over.keys()):
        print(f"{what} is within its limit: strike it off OVER")
    return 1 if grown or OVER.keys() - over.keys() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
