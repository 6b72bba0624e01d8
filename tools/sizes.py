"""What is more than a reader can hold: python tools/sizes.py [FOLDER].

    complexity    1 + branches, loops, handlers, conditional expressions, and/or, comprehensions
        at most 15
    parameters    without self
        at most 12
    attributes    that a class puts into self
        at most 18
    classes       of one public name
        at most 1: who meets a name knows what it is, without looking who imported it from where

Compiled kernels are left out, whose loops are unrolled by hand and who take arrays and no objects;
parsers too, which are as complex as what they read; and the options of commands, which are
parameters of one function. Exit code 1 where anything else is over.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

LIMITS = {"complexity": 15, "parameters": 12, "attributes": 18, "classes": 1}
KERNELS = re.compile(r"(^|/)(_?kernels?(/|\.py)|_(counting|pairs)\.py)")
PARSERS = re.compile(r"(^|/)(readers/|_pickle|_torch_zip|_hdf5|npz|_spark_folder|map_files)")
OPTIONS = re.compile(r"^(cli/|bench/)")


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


def public_classes(path: str, tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(name, ``path``) of every class of a module that no ``_`` hides.

    >>> list(public_classes("a.py", ast.parse("class A: ...\nclass _B: ...")))
    [('A', 'a.py')]
    """
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, path


def limit(what: str) -> int:
    """What ``what``, which ends with a measure, may be at most."""
    return LIMITS[what.rpartition(" ")[2]]


def main(arguments: list[str]) -> int:
    """Print what is over its limit; 1 where something is."""
    root = Path(arguments[0]) if arguments else Path(__file__).parents[1] / "src" / "alteraser"
    over, named = {}, defaultdict[str, list[str]](list)
    for path in sorted(root.rglob("*.py")):
        name, tree = path.relative_to(root).as_posix(), ast.parse(path.read_text(encoding="utf-8"))
        for kind, where in public_classes(name, tree):
            named[kind].append(where)
        if not KERNELS.search(name):
            over |= {what: size for what, size in measured(name, tree) if size > limit(what)}
    for kind, where in named.items():
        if len(where) > LIMITS["classes"]:
            over[f"{' and '.join(where)}:{kind} classes"] = len(where)
    for what, size in sorted(over.items()):
        print(f"{what} {size}, at most {limit(what)}")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
